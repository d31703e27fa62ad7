"""Fixtures of several test modules, and the isolation of every test from the machine that it runs on."""

from __future__ import annotations

from isolation import TERMINAL, WORKER  # first: it sets the environment, which others read when they are imported

# isort: split
import gc
import importlib
import os
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from browsers import browser, gpu_browser, package  # noqa: F401
from hypothesis import HealthCheck, settings
from registering import temporary_parts

from enerv_zoo.machine import available_cores
from enerv_zoo.testing.golden import read_golden

GOLDEN = Path(__file__).parent / "golden"

settings.register_profile(
    "every machine", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("every machine")


MARKS = {"browser": {"browser"}, "hub": {"network"}, "bucket": {"network"}, "site": {"network"}}
"""Marks of the tests that use a fixture."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Take as many processes for `-n auto` as this process may use cores, up to four."""
    return min(4, available_cores())


def pytest_collection_modifyitems(items):
    """Mark tests by their fixtures, and skip those that this machine cannot or is not asked to run."""
    reasons = {}
    if not torch.cuda.is_available():
        reasons["gpu"] = "needs a GPU"
    if "ENERV_ZOO_PROCESSES" not in os.environ:
        reasons["slow"] = "not every machine takes so many processes; set ENERV_ZOO_PROCESSES=1 for it"
    for item in items:
        for mark in {mark for name in getattr(item, "fixturenames", ()) for mark in MARKS.get(name, ())}:
            item.add_marker(mark)
        for name, reason in reasons.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish():
    """Keep what the session is made of out of the searches for garbage, which would go through all of it each time."""
    if WORKER:  # where some test will fit
        importlib.import_module("torch._dynamo")  # the largest of what a fit imports
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()


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
