"""Against fits that collapse: notice, roll back, lower the rate, and give up with a reason.

All NeRV-style fits are known to collapse now and then: the loss stops being a number, PSNR suddenly drops, or the
network never leaves a constant image. A `Guard` looks at every epoch's row of history.
"""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

from enerv_zoo.errors import FitError
from enerv_zoo.fitting.loop import Fitter

logger = logging.getLogger(__name__)

LOSS_JUMP = 1.5
PSNR_DROP = 3.0
"""A collapse: the loss is above the best so far by this factor, and PSNR below its best by these dB."""
PSNR_DIP = 1.0
"""A state is good once the epoch after it is at most these dB below the one before: PSNR is a mean over an epoch,
and falls last at its end, so the end of an epoch that looks well may be the beginning of a collapse."""

CONSTANT = 0.01
CONSTANT_STEPS = 300
CONSTANT_PROGRESS = 0.05
"""Stuck: frames vary by less than this fraction of the video's variance, after these steps and this much of the fit."""

TRIES = 4
SLOWER = 0.5


class Guard:
    """Watches a fit and brings it back to its last good state.

    Attributes:
        recoveries: what happened, in order: epoch, reason, what was done.
    """

    def __init__(self, fitter: Fitter) -> None:
        self.fitter = fitter
        self.recoveries: list[dict[str, Any]] = []
        self._expect_nothing()
        self._tries = 0  # since the fit was last better than ever
        self._begin_here()

    def _expect_nothing(self) -> None:
        self.best_loss, self.best_psnr, self._top, self._psnr = math.inf, -math.inf, -math.inf, -math.inf

    def _begin_here(self, back: bool = False) -> None:
        """Take the fitter's state for a good one; `back` if it was gone back to."""
        self._good = self._last = copy.deepcopy(self.fitter.state_dict())
        self._back = back

    def watch(self, row: dict[str, Any]) -> bool:
        """Look at an epoch that has just ended.

        Returns:
            Whether it was good. If not, the fitter has been brought back and is ready to go on.

        Raises:
            FitError: it collapsed too often without getting any better.
        """
        fell = row["loss"] > LOSS_JUMP * self.best_loss and row["psnr"] < self.best_psnr - PSNR_DROP
        if self._is_stuck(row):
            self._recover(row, "the frames stayed a constant image", restart=True)
        elif not (math.isfinite(row["loss"]) and self.fitter.healthy()):
            self._recover(row, "the loss or a weight stopped being a number")
        elif fell and not self._back:
            self._recover(row, f"PSNR fell from {self.best_psnr:.2f} to {row['psnr']:.2f} dB")
        else:
            if fell:  # twice from one state: it had fallen before, and this is the way up again
                self.best_loss, self.best_psnr = row["loss"], row["psnr"]
            self._accept(row)
            return True
        return False

    def _accept(self, row: dict[str, Any]) -> None:
        self.best_loss, self.best_psnr = min(self.best_loss, row["loss"]), max(self.best_psnr, row["psnr"])
        if row["psnr"] > self._top:
            self._top, self._tries = row["psnr"], 0
        if row["psnr"] >= self._psnr - PSNR_DIP:
            self._good = self._last
        self._psnr, self._back = row["psnr"], False
        self._last = copy.deepcopy(self.fitter.state_dict())

    def _is_stuck(self, row: dict[str, Any]) -> bool:
        if self.fitter.config.time_budget is not None and self.fitter.done:
            return False  # no time is left to do better
        late = self.fitter.steps_done >= CONSTANT_STEPS and self.fitter.progress >= CONSTANT_PROGRESS
        return late and row["contrast"] is not None and row["contrast"] < CONSTANT

    def _recover(self, row: dict[str, Any], reason: str, restart: bool = False) -> None:
        fitter = self.fitter
        self._tries += 1
        if self._tries > TRIES:
            raise FitError(
                f"the fit collapsed {self._tries} times, last at epoch {row['epoch']}: {reason}. "
                "Try a lower learning rate, a larger batch or another seed"
            )
        tried, scale = fitter.attempt + 1, fitter.rate_scale * SLOWER
        seconds, fitted = fitter.seconds, fitter.frames_fitted
        fitter.load_state_dict(copy.deepcopy(self._good))
        fitter.attempt, fitter.rate_scale, fitter.seconds, fitter.frames_fitted = tried, scale, seconds, fitted
        if restart:
            fitter.restart(fitter.config.seed + 7919 * tried)
            self._expect_nothing()
        self._psnr = -math.inf
        self._begin_here(back=True)
        done = "began again from other weights" if restart else f"went back to epoch {fitter.epoch}"
        done += f" at {scale:g} times the rate"
        self.recoveries.append({"epoch": row["epoch"], "reason": reason, "action": done})
        logger.warning("epoch %d: %s; %s", row["epoch"], reason, done)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the fitter's state."""
        return {"recoveries": self.recoveries, **{name: getattr(self, name) for name in _COUNTERS}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; the fitter's state has been loaded already, and counts as good."""
        self.recoveries = list(state["recoveries"])
        for name in _COUNTERS:
            setattr(self, name, state.get(name, getattr(self, name)))
        self._begin_here(self._back)


_COUNTERS = ("best_loss", "best_psnr", "_top", "_psnr", "_tries", "_back")
