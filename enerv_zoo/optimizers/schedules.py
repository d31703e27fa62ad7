"""Schedules: the learning rate at every step.

Contract. Built as `schedule(lr, steps, *, options)` from the peak rate and the number of steps of the fit; returns a
function from a step, 0 to `steps`, to the rate that is set before it. Steps need not be integers: under a time budget
they are the fraction of the time times `steps`. Where a schedule has the option `warmup`, it is the recipe's `warmup`,
unless the spec says otherwise; or a longer one, so that the warm-up has at least the recipe's `warmup_steps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from enerv_zoo.config import FitConfig, as_spec
from enerv_zoo.errors import ConfigError
from enerv_zoo.optimizers.groups import SCALE
from enerv_zoo.registry import schedules

Rate = Callable[[float], float]

WARMUP_FLOOR = 0.1
"""Fraction of the peak rate at which the warm-up starts."""

MAX_WARMUP = 0.5
"""Fraction of a schedule that a warm-up by steps takes at most."""


@schedules.register("cosine")
def cosine(lr: float, steps: float, *, warmup: float = 0.2, floor: float = 0.0) -> Rate:
    """Linear warm-up from a tenth of the rate, then a half cosine to `floor` (a fraction of the rate).

    With K_w = warmup * steps: 0.1 + 0.9 k / K_w below K_w, then (1 + cos(pi (k - K_w) / (steps - K_w))) / 2. This is
    E-NeRV's schedule (warmup 0.2) and HNeRV's `cosine_0.1_1_0.1` (warmup 0.1).
    """
    low = floor * lr
    return _warmed_up(
        *(lr, steps, warmup, floor),
        lambda step, length: low + 0.5 * (lr - low) * (1 + math.cos(math.pi * step / length)),
    )


@schedules.register("linear")
def linear(lr: float, steps: float, *, warmup: float = 0.2, floor: float = 0.0) -> Rate:
    """Linear warm-up from a tenth of the rate, then a straight line to `floor` (a fraction of the rate)."""
    low = floor * lr
    return _warmed_up(lr, steps, warmup, floor, lambda step, length: low + (lr - low) * (1 - step / length))


@schedules.register("constant")
def constant(lr: float, steps: float, *, warmup: float = 0.2) -> Rate:
    """Linear warm-up from a tenth of the rate, then the rate itself."""
    return _warmed_up(lr, steps, warmup, 1.0, lambda step, length: lr)


@schedules.register("hinerv")
def hinerv(lr: float, steps: float, *, warmup: float = 0.1, start: float = 0.01, floor: float = 0.01) -> Rate:
    """HiNeRV's schedule (Kwan et al. 2023): a half cosine over all steps, whose first ones the warm-up replaces.

    With K_w = warmup * steps and g(m) = start + (1 - start) m / K_w below K_w, then
    floor + (1 - floor) (1 + cos(pi m / steps)) / 2, step k has the rate g(k - 1), and step 0 that of `start`, or the
    peak where there is no warm-up. So the rate falls a little where the warm-up ends. `start` and `floor` are fractions
    of the rate. Published: 30 epochs of 300 as warm-up, and none in the phases of pruning and quantisation.
    """
    _check_fractions(warmup, start=start, floor=floor)
    rising = warmup * steps

    def rate(step: float) -> float:
        before = min(max(step - 1, 0.0), steps)
        if before < rising:
            return lr * (start + (1 - start) * before / rising)
        return lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * before / steps)))

    return rate


def _check_fractions(warmup: float, **rates: float) -> None:
    if not 0 <= warmup < 1:
        raise ConfigError(f"warmup is a fraction of all steps from 0 to below 1, got {warmup:g}")
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise ConfigError(f"{name} is a fraction of the rate from 0 to 1, got {rate:g}")


def _warmed_up(lr: float, steps: float, warmup: float, floor: float, rest: Callable[[float, float], float]) -> Rate:
    """Return a warm-up over a fraction of the steps, then `rest(step, length)`; from the last step on, floor * lr."""
    _check_fractions(warmup, floor=floor)
    start, rising = WARMUP_FLOOR * lr, warmup * steps
    length = steps - rising

    def rate(step: float) -> float:
        if step < rising:
            return start + step * ((lr - start) / rising)
        return rest(step - rising, length) if step - rising < length else floor * lr

    return rate


class Scheduler:
    """Sets the rate of an optimizer's groups before each step.

    Args:
        optimizer: whose groups they are.
        config: the recipe.
        steps: of the fit; under a time budget, of which nobody knows how many steps it has, any number.

    Attributes:
        lr: of the last step that was set, of groups without a factor.
        warmup: fraction of the schedule that is its warm-up.

    Raises:
        ConfigError: there is no such schedule, or it refuses its options.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, config: FitConfig, steps: float) -> None:
        self.optimizer, self._config, self._steps = optimizer, config, steps
        self._spec = as_spec(config.schedule)
        self._has_warmup = "warmup" in schedules.options(self._spec["name"])
        if self._has_warmup:
            self._spec.setdefault("warmup", config.warmup)
        self.warmup = -1.0
        self.set_rate(0)

    def set_rate(self, step: float, steps_done: int = 0, scale: float = 1.0) -> None:
        """Set the rate of a step.

        Args:
            step: place in the schedule, which need not be an integer.
            steps_done: since the schedule began; under a time budget they tell how many it will have.
            scale: factor on the rate.
        """
        warmup = self._warmup(step, steps_done)
        if warmup != self.warmup:
            self.warmup, self._rate = warmup, self._built(warmup)
        self.lr = self._rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group.get(SCALE, 1.0) * scale

    def _warmup(self, step: float, steps_done: int) -> float:
        """Return the warm-up's fraction of the schedule."""
        if not self._has_warmup:
            return 0.0
        fraction, least = self._spec["warmup"], self._config.warmup_steps
        if not least:
            return fraction
        steps = self._steps
        if self._config.time_budget is not None and step:
            steps *= max(steps_done, 1) / step
        return max(fraction, min(least / steps, MAX_WARMUP))

    def _built(self, warmup: float) -> Rate:
        spec = {**self._spec, "warmup": warmup} if self._has_warmup else self._spec
        rate = schedules.build(spec, self._config.lr, self._steps)
        if not callable(rate):
            raise ConfigError(
                f"schedule {spec['name']!r}: called with a rate and a number of steps, it gave {type(rate).__name__}, "
                "expected a function from a step to a rate"
            )
        return rate
