"""float32 where it is asked for, bfloat16 where it is."""

from __future__ import annotations

import pytest
import torch

from enerv_zoo import precision
from enerv_zoo.errors import ConfigError
from enerv_zoo.precision import at_least_float32, choose_precision, plain_float32


@pytest.mark.parametrize(("amx", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_a_cpu_has_matrix_units(monkeypatch, amx, chosen):
    precision._is_fast.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": amx, "avx512_bf16": True}, raising=False)
    assert choose_precision("auto", "cpu") == chosen
    precision._is_fast.cache_clear()
    assert choose_precision("float32", "cpu") == "float32"


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
