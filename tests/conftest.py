"""Fixtures of several test modules, and the isolation of every test from the machine that it runs on."""

from __future__ import annotations

from isolation import TERMINAL, WORKER  # first: it sets the environment, which others read when they are imported

# isort: split
import os
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from browsers import browser, package  # noqa: F401
from hypothesis import HealthCheck, settings

from enerv_zoo.machine import available_cores
from enerv_zoo.registry import temporary_parts
from enerv_zoo.testing.golden import read_golden

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
    """Begin in an empty folder, in a wide terminal, with one seed; leave the environment and the parts as they were.

    Networks of the tests are larger than their few small frames, which the command line refuses otherwise.
    """
    with mock.patch.dict(os.environ, {**TERMINAL, "ENERV_ZOO_YES": "1"}), temporary_parts():
        monkeypatch.chdir(tmp_path)
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def golden():
    return lambda name: read_golden(GOLDEN / f"{name}.safetensors")


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run a command; gives its exit code, stdout and stderr, without lines that come where a machine is slow."""
    from enerv_zoo.cli import main, progress

    monkeypatch.setattr(progress, "FIRST_LINE", float("inf"))

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
