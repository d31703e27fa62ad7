"""Against fits that collapse: notice, roll back, lower the rate, and give up with a reason.

All NeRV-style fits are known to collapse now and then: the loss stops being a number, PSNR suddenly drops, or the
network never leaves a constant image, or the clip's mean image. A `DivergenceGuard` looks at every epoch's row of
history.

A row's `explained` tells whether a fit is near the mean image: it is the fraction of the clip's changes in time that
the frames show, both taken as means over 4x4 cells (`enerv_zoo.fitting.explained`). PSNR does not tell it: a good fit
of noise, of which nothing better can be decoded, or of a still, its own mean image, has the mean image's PSNR.
A fit that stays there is told from a slow one by the rate, which must have been at its full height, and by `explained`,
which rises while a fit is on its way. `benchmarks/collapses.py` measures this over clips, families, recipes and seeds.

`explained` also tells that single frames were lost, which a mean of decibels may hide: three of 132 frames at 12 dB
cost 0.5 dB of PSNR, and half of the changes of a clip that changes little. Such frames do not come back by themselves.
"""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

from enerv_zoo.errors import FitError
from enerv_zoo.fitting.callbacks import Callback
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.start import sampled_psnr, why_dead

logger = logging.getLogger(__name__)

LOSS_JUMP = 1.5
PSNR_DROP = 3.0
"""A collapse: the loss is above the best so far by this factor, and PSNR below its best by these dB."""
PSNR_DIP = 1.0
"""A state is good once the epoch after it is at most these dB below the one before: PSNR is a mean over an epoch,
and falls last at its end, so the end of an epoch that looks well may be the beginning of a collapse."""
LOST = 0.3
"""Frames were lost: two epochs explain less than `MEAN_IMAGE` of the changes (a few wild steps make one do so), and an
earlier one all but this part."""

CONSTANT = 0.01
CONSTANT_STEPS = 300
CONSTANT_PROGRESS = 0.05
"""Stuck: frames vary by less than this fraction of the video's variance, after these steps and this much of the fit."""

MEAN_IMAGE = 0.4
MEAN_IMAGE_STEPS = 60
MEAN_IMAGE_SCHEDULE = 0.1
GAIN = 0.05
LATE = 0.8
"""Near the mean image: frames explain less than `MEAN_IMAGE` of the changes, and the rest has not become smaller by
`GAIN`, for this fraction of the schedule and this many steps, after the warm-up. From `LATE` on, no fit is told to be
near the mean image, as low rates hold it where it is; under a time budget too little is left to begin again."""

CLOSED_FORM_SCHEDULE = 0.15
AFTER_WARMUP = 0.05
"""A fit that started in closed form is looked at (`enerv_zoo.fitting.start`) after this fraction of the schedule, and
after this one with the full rate; and, until `LATE`, whenever so much is over again."""

TRIES = 4
"""At most as many times a fit goes back without getting any better, and as many times it begins again at all."""
SLOWER = 0.5
GOES_ON = "went on, as other weights and lower rates had not helped"
WENT_BACK = "went back to epoch {epoch} of an attempt at {rate:g} times the rate, as lower rates had not helped"


class DivergenceGuard(Callback):
    """Watches a fit and brings it back to its last good state.

    Attributes:
        recoveries: what happened, in order: epoch, reason, what was done.
    """

    name = "guard"
    fitter: Fitter

    def __init__(self) -> None:
        self.recoveries: list[dict[str, Any]] = []

    def on_phase(self, fitter: Fitter) -> None:
        self.fitter = fitter
        self._expect_nothing()
        started = bool(fitter.closed_form) and not fitter.epochs_before
        self._start_psnr = sampled_psnr(fitter) if started else math.inf
        self._tries = 0  # since the fit was last better than ever
        self._restarts, self._goes_on = 0, False
        self._nearest: dict[str, Any] | None = None  # of the attempts that were given up near the mean image
        self._begin_here()

    def _expect_nothing(self) -> None:
        self.best_loss, self.best_psnr, self._top, self._psnr = math.inf, -math.inf, -math.inf, -math.inf
        self._schedule = 0.0  # where the last epoch ended
        self._left, self._left_step, self._missing = 0.0, 0, math.inf  # where it last got better, and how good
        self._looks = 0.0  # that found a network which had started in closed form alive
        self._death: str | None = None  # why it is to begin again

    def _begin_here(self, back: bool = False) -> None:
        """Take the fitter's state for a good one; `back` if it was gone back to."""
        self._good = self._last = copy.deepcopy(self.fitter.state_dict())
        self._back, self._lost = back, False

    def on_step(self, fitter: Fitter) -> None:
        """End the epoch of a fit whose network has died since it started in closed form."""
        if math.isinf(self._start_psnr):
            return
        due = (1 + self._looks) * max(CLOSED_FORM_SCHEDULE, fitter.scheduler.warmup + AFTER_WARMUP)
        is_due = fitter.schedule >= min(due, LATE) and (due <= LATE or not self._looks)
        if self._death is None and is_due:
            death = why_dead(fitter, self._start_psnr)
            (is_dead,) = fitter.ranks.all_reduce_max(death is not None)
            self._death = (death or "the network died") if is_dead else None
            self._looks += 1
        fitter.ends_epoch = self._death is not None

    def on_epoch(self, fitter: Fitter, row: dict[str, Any]) -> bool:
        """Look at an epoch that has just ended.

        Returns:
            Whether it was good. If not, the fitter has been brought back and is ready to go on.

        Raises:
            FitError: it collapsed too often without getting any better.
        """
        stuck, fell = self._why_stuck(row), self._why_fell(row)
        if self._death is not None and self._may_restart(row, self._death):
            self._recover(row, self._death, restart=True)
        elif stuck is not None:
            self._restart_or_return(row, stuck)
        elif not (math.isfinite(row["loss"]) and self.fitter.healthy()):
            self._recover(row, "the loss or a weight stopped being a number")
        elif fell is not None and not self._back:
            self._recover(row, fell)
        else:
            if fell is not None:  # twice from one state: it had fallen before, and this is the way up again
                self.best_loss, self.best_psnr = row["loss"], row["psnr"]
            self._accept(row)
            return True
        return False

    def _accept(self, row: dict[str, Any]) -> None:
        self.best_loss, self.best_psnr = min(self.best_loss, row["loss"]), max(self.best_psnr, row["psnr"])
        if row["psnr"] > self._top:
            self._top, self._tries = row["psnr"], 0
        if row["psnr"] >= self._psnr - PSNR_DIP and not self._lost:
            self._good = self._last
        self._psnr, self._back = row["psnr"], False
        self._last = copy.deepcopy(self.fitter.state_dict())

    def _why_fell(self, row: dict[str, Any]) -> str | None:
        """Return what became worse, if the fit is to go back; `None` as long as all is well."""
        if self.fitter.pays_for_bits:
            return None  # quality may fall while bits become dearer
        if row["loss"] > LOSS_JUMP * self.best_loss and row["psnr"] < self.best_psnr - PSNR_DROP:
            return f"PSNR fell from {self.best_psnr:.2f} to {row['psnr']:.2f} dB"
        missing, may_slow, lost_before = _unexplained(row), self.fitter.rate_scale > SLOWER**TRIES, self._lost
        self._lost = may_slow and missing is not None and missing > 1 - MEAN_IMAGE and self._missing < LOST
        if self._lost and lost_before:
            shown, before = max(row["explained"], 0), 1 - self._missing
            return f"frames were lost: {shown:.0%} of the changes in time are seen, after {before:.0%}"
        return None

    def _why_stuck(self, row: dict[str, Any]) -> str | None:
        """Return what the frames stayed, if the fit is to begin again; `None` as long as all is well."""
        fitter, near_mean = self.fitter, self._stays_near_mean(row)
        if fitter.epochs_before:
            return None  # later phases begin with weights that show more
        if fitter.config.time_budget is not None and fitter.progress > LATE:
            return None  # no time is left to do better
        late = fitter.steps_done >= CONSTANT_STEPS and fitter.progress >= CONSTANT_PROGRESS
        if late and row["contrast"] is not None and row["contrast"] < CONSTANT:
            return "the frames stayed a constant image"
        if not near_mean:
            return None
        reason = f"the frames stayed near the mean image, at {row['psnr']:.2f} dB"
        if self._restarts < TRIES or self._is_behind(row):
            return reason
        if not self._goes_on:  # the clip may have nothing that this network can show
            self._record(row, reason, GOES_ON)
            self._goes_on = True
        return None

    def _is_behind(self, row: dict[str, Any]) -> bool:
        """Return whether an earlier attempt came nearer to the frames."""
        return self._nearest is not None and row["psnr"] < self._nearest["psnr"] - PSNR_DIP

    def _restart_or_return(self, row: dict[str, Any], reason: str) -> None:
        """Begin again from other weights, unless doing so has only taken the frames further away."""
        if self._is_behind(row):
            assert self._nearest is not None
            self._bring_back(self._nearest["state"])
            self._expect_nothing()
            self._begin_here(back=True)
            self._nearest, self._restarts, self._goes_on = None, TRIES, True
            self._record(row, reason, WENT_BACK.format(epoch=self.fitter.epoch, rate=self.fitter.rate_scale))
            return
        if row["contrast"] is None or row["contrast"] >= CONSTANT:
            self._nearest = {"psnr": row["psnr"], "state": self._last}
        self._recover(row, reason, restart=True)

    def _may_restart(self, row: dict[str, Any], reason: str) -> bool:
        """Return whether a dead network begins again, and go on with it otherwise."""
        if self.fitter.progress <= LATE and max(self._tries, self._restarts) < TRIES:
            return True
        self._record(row, reason, GOES_ON)
        self._looks, self._death = math.inf, None
        return False

    def _stays_near_mean(self, row: dict[str, Any]) -> bool:
        before, now, steps = self._schedule, self.fitter.schedule, self.fitter.steps_done
        self._schedule, missing = now, _unexplained(row)
        if missing is None:
            return False
        if missing <= max(1 - MEAN_IMAGE, (1 - GAIN) * self._missing):
            self._left, self._left_step, self._missing = now, steps, min(missing, self._missing)
        elif before < self.fitter.scheduler.warmup:  # at least one epoch is seen as a whole after the warm-up
            self._left, self._left_step = now, steps
        long = now - self._left >= MEAN_IMAGE_SCHEDULE and steps - self._left_step >= MEAN_IMAGE_STEPS
        return long and now <= LATE

    def _recover(self, row: dict[str, Any], reason: str, restart: bool = False) -> None:
        fitter = self.fitter
        self._tries += 1
        if self._tries > TRIES or (restart and self._restarts >= TRIES):
            times = max(self._tries, self._restarts + restart)
            raise FitError(
                f"the fit collapsed {times} times, last at epoch {row['epoch']}: {reason}. "
                "Try a lower learning rate, a larger batch or another seed"
            )
        tried, scale = fitter.attempt + 1, fitter.rate_scale * SLOWER
        self._bring_back(self._good)
        fitter.attempt, fitter.rate_scale = tried, scale
        if restart:
            self._restarts += 1
            fitter.restart(fitter.config.seed + 7919 * tried)
            self._expect_nothing()
        self._psnr = -math.inf
        self._begin_here(back=True)
        done = "began again from other weights" if restart else f"went back to epoch {fitter.current_epoch - 1}"
        done += f" at {scale:g} times the rate"
        self._record(row, reason, done)

    def _bring_back(self, state: dict[str, Any]) -> None:
        """Give the fitter an earlier state; time and frames are spent all the same."""
        spent = {name: getattr(self.fitter, name) for name in ("seconds", "seconds_between", "frames_fitted")}
        self.fitter.load_state_dict(copy.deepcopy(state))
        for name, value in spent.items():
            setattr(self.fitter, name, value)

    def _record(self, row: dict[str, Any], reason: str, action: str) -> None:
        self.recoveries.append({"epoch": row["epoch"], "reason": reason, "action": action})
        logger.warning("epoch %d: %s; %s", row["epoch"], reason, action)

    def state_dict(self) -> dict[str, Any]:
        """Return the guard's own state for a checkpoint."""
        return {"recoveries": self.recoveries, **{name: getattr(self, name) for name in _STATE}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, after `on_phase`; the fitter's state counts as good where an older one has none."""
        self.recoveries = list(state["recoveries"])
        for name in _STATE:
            setattr(self, name, state.get(name, getattr(self, name)))
        self.fitter.ends_epoch = self._death is not None


def _unexplained(row: dict[str, Any]) -> float | None:
    """Return which part of the changes an epoch's frames do not show; `None` where that cannot be told."""
    explained = row["explained"]
    return None if explained is None or not math.isfinite(explained) else 1 - explained


_STATE = (
    "best_loss", "best_psnr", "_top", "_psnr", "_tries", "_restarts", "_back", "_missing", "_lost", "_schedule",
    "_left", "_left_step", "_start_psnr", "_looks", "_death", "_nearest", "_goes_on", "_good", "_last",
)  # fmt: skip
