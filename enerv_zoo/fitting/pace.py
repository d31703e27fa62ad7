"""Other programs on the machine while a fit runs on a CPU: they are noticed, and spinning threads are left out.

PyTorch's threads wait for each other after every operation, and by default they keep their cores busy meanwhile (they
spin). Where another program holds the core of one of them, the others burn theirs for nothing, and a step takes ten to
thirty times as long.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

logger = logging.getLogger(__name__)

WINDOW = 2.0
"""Seconds of fitting, and at least `MIN_STEPS` steps, between two looks."""
MIN_STEPS = 2
CONTENDED = 0.2
"""The part of its time that a fit waits for a core beyond which other programs hold the machine."""
FREE = 0.05
"""The part below which they do so no longer."""
MIN_GAIN = 1.2
"""How much faster another number of threads must be to stay."""
TELL_EVERY = 600.0
"""Seconds before other programs are told of again, in whichever fit of a process: one of many segments has many."""
REST = 30
"""Looks between two trials, unless the speed falls to a half."""


def seconds_without_core() -> float | None:
    """Seconds that this thread was ready to run and had no core; `None` where the system does not say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def may_choose_threads() -> bool:
    """Return whether the environment leaves the number of PyTorch's threads open, and lets them wait at work (spin)."""
    is_passive = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
    return not (is_passive or {"GOMP_SPINCOUNT", "OMP_NUM_THREADS"} & os.environ.keys())


class Pace:
    """Watches the steps of a fit on a CPU, and takes one thread instead of all where that is faster.

    Another number of threads adds in another order, so it is tried where other programs hold the machine and threads
    spin, and never unless `may_change`. Whoever makes a `Pace` brings the number of before back.

    Args:
        may_change: whether the number of threads may change.
        waited: seconds without a core so far, or `None`.

    Attributes:
        on_one_thread: whether one thread is used; a checkpoint keeps it.
        told_at: when this process last told of other programs, by `time.monotonic`.
    """

    told_at = -math.inf

    def __init__(self, may_change: bool, waited: Callable[[], float | None] = seconds_without_core) -> None:
        self._all = torch.get_num_threads()
        self._may_change = may_change and self._all > 1
        self._waited = waited
        self.on_one_thread = False
        self._speed_before_trial: float | None = None
        self._decided_speed = math.inf
        self._rest = 0
        self._begin()

    def _begin(self) -> None:
        self._seconds, self._frames, self._steps = 0.0, 0, 0
        self._waited_before = self._waited()

    def use(self, one_thread: bool) -> None:
        """Take one thread from here on, or all."""
        if self._may_change and one_thread != self.on_one_thread:
            self.on_one_thread = one_thread
            torch.set_num_threads(1 if one_thread else self._all)

    def after_step(self, seconds: float, frames: int) -> None:
        """Note a step; now and then, look at how long it waited."""
        self._seconds += seconds
        self._frames += frames
        self._steps += 1
        if self._seconds < WINDOW or self._steps < MIN_STEPS:
            return
        speed, waited, before = self._frames / self._seconds, self._waited(), self._waited_before
        waiting = 0.0 if waited is None or before is None else (waited - before) / self._seconds
        if waiting > CONTENDED and time.monotonic() - Pace.told_at > TELL_EVERY:
            Pace.told_at = time.monotonic()
            logger.warning(
                "other programs hold the machine: the fit waits %.0f %% of its time for a core", 100 * waiting
            )
        if self._may_change:
            self._choose(speed, waiting)
        self._begin()

    def _choose(self, speed: float, waiting: float) -> None:
        if self._speed_before_trial is not None:
            before, self._speed_before_trial, self._rest = self._speed_before_trial, None, REST
            if speed < MIN_GAIN * before:
                self.use(not self.on_one_thread)
            else:
                threads = "one thread" if self.on_one_thread else f"{self._all} threads"
                logger.info("from here on with %s: %.3g instead of %.3g frames/s", threads, speed, before)
            self._decided_speed = max(speed, before)
            return
        self._rest -= 1
        is_due = waiting < FREE if self.on_one_thread else waiting > CONTENDED
        if is_due and (self._rest < 0 or speed < self._decided_speed / 2):
            self._speed_before_trial = speed
            self.use(not self.on_one_thread)
