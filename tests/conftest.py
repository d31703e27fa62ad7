"""Fixtures of several test modules, and the isolation of every test from the machine that it runs on."""

from __future__ import annotations

from isolation import TERMINAL, WORKER  # first: it sets the environment, which others read when they are imported

# isort: split
import copy
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, settings
from safetensors import safe_open
from torch import Tensor

from enerv_zoo.layers import FrequencyEncoding
from enerv_zoo.machine import available_cores
from enerv_zoo.registry import temporary_parts

GOLDEN = Path(__file__).parent / "golden"

settings.register_profile(
    "every machine", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("every machine")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Share the tests among up to four processes where pytest-xdist is there and the command says nothing of it."""
    if config.pluginmanager.hasplugin("xdist") and not WORKER:
        told = config.option.numprocesses is not None or config.option.tx or config.option.usepdb
        if not told and config.option.dist == "no":
            config.option.numprocesses, config.option.dist = min(4, available_cores()), "worksteal"


def pytest_collection_modifyitems(items):
    """Mark the tests that need a browser, and skip those that this machine cannot or is not asked to run."""
    reasons = {}
    if not torch.cuda.is_available():
        reasons["gpu"] = "needs a GPU"
    if "ENERV_ZOO_PROCESSES" not in os.environ:
        reasons["slow"] = "not every machine takes so many processes; set ENERV_ZOO_PROCESSES=1 for it"
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        for name, reason in reasons.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    """Begin in an empty folder, in a wide terminal, with one seed; leave the environment and the parts as they were."""
    with mock.patch.dict(os.environ, TERMINAL), temporary_parts():
        monkeypatch.chdir(tmp_path)
        torch.manual_seed(0)
        yield


@dataclass
class Golden:
    """Tensors and metadata of one golden file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def config(self) -> dict:
        return json.loads(self.metadata["config"])

    @property
    def state(self) -> dict[str, Tensor]:
        return {name.removeprefix("state/"): t for name, t in self.tensors.items() if name.startswith("state/")}

    @property
    def outputs(self) -> list[Tensor]:
        return [self.tensors[f"output/{i}"] for i in range(len(self.tensors)) if f"output/{i}" in self.tensors]


@pytest.fixture(scope="session")
def golden():
    def read(name: str) -> Golden:
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
            return Golden({key: file.get_tensor(key) for key in file.keys()}, file.metadata())  # noqa: SIM118

    return read


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run a command; gives its exit code, stdout and stderr."""
    from enerv_zoo.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["enerv-zoo", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def in_double(video, index) -> list[Tensor]:
    """What a network draws in float64, but for its frequency encodings, whose float32 rounding is part of it."""
    twin = copy.deepcopy(video).double()
    for part in twin.modules():
        if isinstance(part, FrequencyEncoding):
            part.register_forward_hook(lambda part, inputs, output: output.double())
    with torch.inference_mode():
        return twin.outputs(index)


def assert_draws(video, values: Golden, tolerance: float = 2e-6) -> None:
    """A network draws what the authors' code drew, up to `tolerance` and what float32 rounds on this processor.

    The golden numbers were rounded on one processor; another one adds in another order. How much that is worth is how
    far ours are from ours in float64.
    """
    index = values.tensors["input/index"]
    with torch.inference_mode():
        outputs = video.outputs(index)
    exact = in_double(video, index)
    outputs, exact = (drawn[-len(values.outputs) :] for drawn in (outputs, exact))
    assert len(outputs) == len(values.outputs)
    for ours, wide, theirs in zip(outputs, exact, values.outputs, strict=True):
        assert ours.shape == theirs.shape
        rounding = float((ours - wide).abs().max())
        assert rounding < 1e-5, "a network that amplifies rounding so much proves nothing"
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance + rounding)
