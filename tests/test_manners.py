"""A good guest: the package in a process of somebody else, which is afterwards as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import enerv_zoo as ez

HOST = Path(__file__).with_name("manners.py")
USES = ("fit", "decode", "workers", "evaluate", "compress", "render", "distance")


def play(folder: Path, *arguments: str, **environment: str) -> dict:
    """What a host says of itself; it has two threads, whatever the machine has."""
    settings = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive", "SVT_LOG": "1", **environment}
    done = subprocess.run(
        [sys.executable, HOST, *arguments],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def changes(tmp_path_factory) -> dict:
    """What is not as it was in one process that does all that the package offers, and looks at itself around each."""
    return play(tmp_path_factory.mktemp("host"), "using")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("use", USES)
def test_a_host_is_as_it_was(changes, use):
    assert changes[use] == {}


def test_importing_changes_nothing(tmp_path):
    assert play(tmp_path, "importing") == {}


def test_threads_that_a_fit_starts_do_not_keep_its_ways(tmp_path):
    assert play(tmp_path, "first") == {"flushed": 0, "threads": [2, 2], "filters": []}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a timer of the processor's time is of POSIX, too")
def test_a_keyboard_interrupt_at_any_moment_loses_nothing_that_was_whole(tmp_path):
    seed = str(time.time_ns() % 1_000_000)
    seen = play(tmp_path, "interrupted", seed, OMP_NUM_THREADS="1")
    assert seen["same"], seed
    assert seen["epochs"] == [list(range(1, 41))] * 2, seed
    assert seen["told"], seed
    for kind, text in seen["told"]:
        assert kind == "FitInterrupted" or not text, seed
        assert kind == "KeyboardInterrupt" or "--resume" in text, seed


PLACED = """
import json, sys
import enerv_zoo as ez
try:
    ez.fit("bunny", frames="0:2", resize="64x36", size="80K", epochs=1, device="cpu", distributed=True)
except ez.ConfigError as error:
    print(json.dumps(str(error)))
"""


def test_gradients_are_needed_within_a_fit_and_are_as_they_were_after_it():
    recipe = {"frames": "0:2", "resize": "64x36", "size": "80K", "epochs": 2, "device": "cpu"}

    class Press(ez.Callback):
        def on_step(self, fitter):
            torch.set_grad_enabled(False)  # as PyTorch does where an interrupt comes between its lines
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ez.fit("bunny", **recipe, callbacks=[Press()])
    assert torch.is_grad_enabled()
    with torch.no_grad():
        assert len(ez.fit("bunny", **recipe).history) == 2
        assert not torch.is_grad_enabled()


def test_a_distributed_fit_begins_under_torchrun_alone(tmp_path):
    ambient = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PLACED], env={**os.environ, **ambient}, capture_output=True, text=True, check=True
    )
    assert "start the program with torchrun" in json.loads(done.stdout)
