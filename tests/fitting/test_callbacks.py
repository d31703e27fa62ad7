"""Callbacks of a fit: when they are called, what they may do, and what checkpoints keep of them."""

from __future__ import annotations

import io
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.fitting.checkpoint import CHECKPOINT, DIGEST, load_checkpoint
from enerv_zoo.progress import Status, shown_progress

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {"model_options": TINY, "frames": "0:4", "resize": "64x36", "batch_size": 2, "lr": 5e-3, "loss": "L2"}


class Notes(ez.Callback):
    """Notes what it is called for, and counts steps over interruptions."""

    name = "notes"

    def __init__(self, stop_after=None):
        self.calls, self.steps, self.stop_after = [], 0, stop_after

    def on_phase(self, fitter):
        self.calls.append(("phase", fitter.config.epochs))

    def on_step(self, fitter):
        self.steps += 1
        if self.steps == self.stop_after:
            raise RuntimeError("stopped")

    def on_epoch(self, fitter, row):
        self.calls.append(("epoch", row["epoch"]))

    def on_evaluation(self, fitter, scores):
        self.calls.append(("evaluation", sorted(scores)))

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


def test_what_callbacks_are_called_for():
    notes = Notes()
    result = ez.fit("bunny", epochs=2, phases=[{"epochs": 1}], eval_every=2, callbacks=[notes], **FIT)
    assert notes.calls == [
        ("phase", 2), ("epoch", 1), ("epoch", 2), ("evaluation", ["psnr"]), ("phase", 1), ("epoch", 3),
        ("evaluation", ["psnr"]), ("evaluation", ["ms_ssim", "psnr"]),
    ]  # fmt: skip
    assert notes.steps == 6
    assert [("eval_psnr" in row) for row in result.history] == [False, True, True]


def test_their_states_are_in_the_checkpoints(tmp_path):
    options = {**FIT, "epochs": 3, "checkpoint_every": 0, "out": tmp_path / "fit"}
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", callbacks=[Notes(stop_after=4)], **options)
    notes = Notes()
    ez.fit("bunny", callbacks=[notes], resume=True, **options)
    assert notes.steps == 6
    assert [call for call in notes.calls if call[0] == "epoch"] == [("epoch", 2), ("epoch", 3)]


class Keeps(ez.Callback):
    """Keeps what it is given."""

    def __init__(self, name, state):
        self.name, self.state = name, state

    def state_dict(self):
        return self.state


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (
            [Keeps("a", {"v": np.float64(1)})],
            r"the state 'a\.v' holds what a checkpoint cannot give back \(numpy\.float64\)",
        ),
        ([Keeps("a", {"v": {"w": [1, Path()]}})], r"the state 'a\.v\.w' .* \(builtins\.list\)"),
        ([Keeps("a", deque([1]))], r"the state 'a' .* \(collections\.deque\); keep plain data and tensors"),
        ([Keeps("", 1), Keeps("", 2)], "two callbacks would keep their state under the name ''; name each"),
    ],
)
def test_a_state_that_could_not_be_gone_on_from_is_refused_before_the_first_step(tmp_path, callbacks, message):
    notes = Notes()
    with pytest.raises(ConfigError, match=message):
        ez.fit("bunny", epochs=1, callbacks=[notes, *callbacks], out=tmp_path / "fit", **FIT)
    assert notes.steps == 0


def test_a_whole_checkpoint_of_another_version_is_not_called_damaged(tmp_path):
    torch.save({"a": Path()}, payload := io.BytesIO())
    (tmp_path / CHECKPOINT).write_bytes(DIGEST(payload.getvalue()).digest() + payload.getvalue())
    with pytest.raises(FitError, match=r"checkpoint\.pt: is whole, and cannot be read by PyTorch"):
        load_checkpoint(tmp_path)


def test_any_seed_that_is_accepted_can_be_fitted_with():
    for seed in (20240601123456, 2**63 - 1):
        assert ez.fit("bunny", epochs=1, seed=seed, **FIT).metrics["epochs"] == 1


def test_a_rejected_epoch_is_not_kept_and_not_told_to_the_others():
    class Reject(ez.Callback):
        left = 1

        def on_epoch(self, fitter, row):
            if row["epoch"] == 2 and self.left:
                self.left = 0
                fitter.epoch -= 1
                return False
            return True

    notes = Notes()
    result = ez.fit("bunny", epochs=3, callbacks=[Reject(), notes], **FIT)
    assert [number for kind, number in notes.calls if kind == "epoch"] == [1, 2, 3]
    assert [row["epoch"] for row in result.history] == [1, 2, 3]


def status(progress):
    return Status(
        epoch=1, epochs=2, step=1, steps=2, loss=0.1, psnr=20.0, lr=1e-3, progress=progress, frames_per_second=9.0,
        seconds_left=3.0,
    )  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_shown_where_someone_sees_it(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with shown_progress("bunny [1]", None) as show:
        show(status(0.5))
    assert "bunny [1]" in terminal.getvalue()
    assert "20.00 dB" in terminal.getvalue()


def test_nothing_is_shown_elsewhere_or_where_it_is_not_asked_for(monkeypatch, capfd):
    with shown_progress("bunny", None) as show:
        assert show is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    with shown_progress("bunny", False) as show:
        assert show is None
    monkeypatch.undo()
    ez.fit("bunny", epochs=1, **FIT)
    assert "epoch" not in "".join(capfd.readouterr())
