"""float32 where it is asked for, bfloat16 where it is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from enerv_zoo import precision
from enerv_zoo.errors import ConfigError
from enerv_zoo.precision import at_least_float32, choose_precision, plain_float32


@pytest.mark.parametrize(
    ("amx", "instructions", "speedup", "chosen"),
    [
        (True, True, 0.5, "bfloat16"),
        (False, True, 1.7, "bfloat16"),
        (False, True, 0.9, "float32"),
        (False, False, 9.0, "float32"),
    ],
)
def test_auto_is_bfloat16_where_a_cpu_is_faster_in_it(monkeypatch, amx, instructions, speedup, chosen):
    precision.is_bfloat16_fast.cache_clear()
    capabilities = {"amx_bf16": amx, "avx512_bf16": instructions}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(precision, "measured_speedup", lambda: speedup)
    assert choose_precision("auto", "cpu") == chosen
    precision.is_bfloat16_fast.cache_clear()
    assert choose_precision("float32", "cpu") == "float32"


def test_the_measurement_leaves_the_process_as_it_was():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert precision.measured_speedup() > 0
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.is_inference_mode_enabled()


def test_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="precision must be auto, float32 or bfloat16, got 'fp8'"):
        choose_precision("fp8", "cpu")


def test_double_stays_double():
    assert at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32


def test_settings_of_before_come_back():
    def settings():
        cudnn = torch.backends.cudnn
        return cudnn.benchmark, cudnn.allow_tf32, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()

    before = settings()
    with pytest.raises(RuntimeError, match="within"), plain_float32(benchmark=True, deterministic=True):
        assert settings() == (False, False, True, True)
        raise RuntimeError("within")
    assert settings() == before
    with plain_float32(benchmark=True):
        assert settings() == (True, False, False, False)
    assert settings() == before


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="newer than this PyTorch")
@pytest.mark.parametrize("name", ["torch.backends", "torch.backends.cudnn.conv", "torch.backends.cudnn"])
def test_a_host_that_uses_the_newer_setting_is_left_as_it_is(name):
    """In a process of its own, as PyTorch does not take both settings in one."""
    code = f"""
import torch
from enerv_zoo.precision import plain_float32
{name}.fp32_precision = "{"tf32" if name == "torch.backends" else "ieee"}"
def settings():
    return torch.backends.fp32_precision, torch.backends.cudnn.conv.fp32_precision
before = settings()
with plain_float32(benchmark=True, deterministic=True):
    assert settings()[1] in ("ieee", "none"), settings()
assert settings() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cublas_is_told_for_as_long_as_it_takes(monkeypatch):
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.delenv(name, raising=False)
    with plain_float32(benchmark=True, deterministic=True):
        assert os.environ[name] == ":4096:8"
    assert name not in os.environ
    monkeypatch.setenv(name, ":16:8")
    with plain_float32(benchmark=True, deterministic=True):
        assert os.environ[name] == ":16:8"
    assert os.environ[name] == ":16:8"
