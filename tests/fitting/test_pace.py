"""Other programs on the machine: what a fit says, and when it takes one thread."""

from __future__ import annotations

import logging
import math

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo import threads
from enerv_zoo.fitting import pace as pace_module
from enerv_zoo.fitting import run
from enerv_zoo.fitting.checkpoint import load_checkpoint
from enerv_zoo.fitting.pace import Pace, may_choose_threads, seconds_without_core

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {"frames": "0:4", "resize": "64x36", "model_options": TINY, "batch_size": 2, "device": "cpu"}


class Machine:
    """A machine by whose clock steps take what `seconds` says, of which a part is spent without a core."""

    def __init__(self, seconds, waiting):
        self.seconds, self.waiting, self.waited = seconds, waiting, 0.0

    def steps(self, pace, count):
        for _ in range(count):
            lap = self.seconds[torch.get_num_threads()]
            self.waited += self.waiting * lap
            pace.after_step(lap, 2)


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(Pace, "told_at", -math.inf)  # whatever tests have told of before
    monkeypatch.setattr(threads, "allowed_threads", lambda: 3)  # however many cores there are
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_free_machine_is_left_alone(caplog):
    machine = Machine({3: 1.0, 1: 0.1}, waiting=0.05)
    pace = Pace(True, lambda: machine.waited)
    machine.steps(pace, 200)
    assert torch.get_num_threads() == 3
    assert not caplog.messages


def test_one_thread_is_taken_beside_others_and_all_when_they_are_gone(caplog):
    machine = Machine({3: 10.0, 1: 1.0}, waiting=0.5)
    pace = Pace(True, lambda: machine.waited)
    with caplog.at_level(logging.INFO):
        machine.steps(pace, 40)
        assert (pace.on_one_thread, torch.get_num_threads()) == (True, 1)
        assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
            "other programs hold the machine: the fit waits 50 % of its time for a core"
        ]
        machine.seconds, machine.waiting = {3: 0.5, 1: 1.0}, 0.0
        machine.steps(pace, 200)
    assert (pace.on_one_thread, torch.get_num_threads()) == (False, 3)
    assert "3 threads: 4 instead of 2 frames/s" in caplog.text


def test_fits_that_follow_each_other_tell_of_other_programs_once(caplog, monkeypatch):
    machine = Machine({3: 1.0, 1: 1.0}, waiting=0.5)
    for _ in range(3):
        machine.steps(Pace(True, lambda: machine.waited), 20)
    assert len(caplog.messages) == 1
    monkeypatch.setattr(Pace, "told_at", Pace.told_at - 2 * pace_module.TELL_EVERY)
    machine.steps(Pace(True, lambda: machine.waited), 20)
    assert len(caplog.messages) == 2


def test_one_thread_that_is_hardly_faster_is_not_taken():
    machine = Machine({3: 1.1, 1: 1.0}, waiting=0.5)
    pace = Pace(True, lambda: machine.waited)
    machine.steps(pace, 20)
    assert not pace.on_one_thread
    machine.seconds = {3: 4.0, 1: 1.0}  # the speed falls, so it is tried again at once
    machine.steps(pace, 8)
    assert pace.on_one_thread


@pytest.mark.parametrize("waited", [lambda: None, seconds_without_core])
def test_threads_that_are_chosen_stay(waited):
    machine = Machine({3: 10.0, 1: 1.0}, waiting=0.5)
    pace = Pace(False, waited)
    machine.steps(pace, 40)
    pace.use(True)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("variables", "may_choose"),
    [({}, True), ({"OMP_WAIT_POLICY": "PASSIVE"}, False), ({"GOMP_SPINCOUNT": "9"}, False),
     ({"OMP_NUM_THREADS": "2"}, False), ({"OMP_WAIT_POLICY": "active"}, True)],
)  # fmt: skip
def test_threads_that_the_environment_sets_stay(monkeypatch, variables, may_choose):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert may_choose_threads() == may_choose


@pytest.mark.skipif(seconds_without_core() is None, reason="the system does not say how long a thread waits")
def test_a_thread_that_sleeps_waits_for_no_core():
    assert 0 <= seconds_without_core() < 1e6


def test_a_fit_goes_on_with_the_threads_that_it_had_and_leaves_those_of_the_host(tmp_path, monkeypatch):
    """Sums of one thread are others than those of three, so a checkpoint says which it was."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    seen: list[int] = []

    class Crowded(Pace):
        def after_step(self, seconds, frames):
            self.use(True)
            seen.append(torch.get_num_threads())
            if len(seen) == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(run, "Pace", Crowded)
    with pytest.raises(ez.FitInterrupted):
        ez.fit("bunny", **FIT, epochs=4, out=tmp_path / "fit")
    assert seen == [1, 1, 1]
    assert torch.get_num_threads() == 3
    assert load_checkpoint(tmp_path / "fit")["fitter"]["on_one_thread"]

    class Calm(Pace):
        def after_step(self, seconds, frames):
            seen.append(torch.get_num_threads())

    monkeypatch.setattr(run, "Pace", Calm)
    monkeypatch.setattr(pace_module, "WINDOW", 1e9)
    ez.fit("bunny", **FIT, epochs=4, out=tmp_path / "fit", resume=True)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 3
