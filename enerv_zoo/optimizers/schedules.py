"""Schedules: the learning rate at every step.

Contract. Built as `schedule(lr, steps, *, options)` from the peak rate and the number of steps of the fit; returns a
function from a step, 0 to `steps`, to the rate that is set before it. Steps need not be integers: under a time budget
they are the fraction of the time times `steps`. Where a schedule has the option `warmup`, it is the recipe's `warmup`,
unless the spec says otherwise.
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


def _warmed_up(lr: float, steps: float, warmup: float, floor: float, rest: Callable[[float, float], float]) -> Rate:
    """Return a warm-up over a fraction of the steps, then `rest(step, length)`; from the last step on, floor * lr."""
    if not 0 <= warmup < 1:
        raise ConfigError(f"warmup is a fraction of all steps from 0 to below 1, got {warmup:g}")
    if not 0 <= floor <= 1:
        raise ConfigError(f"floor is a fraction of the rate from 0 to 1, got {floor:g}")
    start, rising = WARMUP_FLOOR * lr, warmup * steps
    length = steps - rising

    def rate(step: float) -> float:
        if step < rising:
            return start + step * ((lr - start) / rising)
        return rest(step - rising, length) if step - rising < length else floor * lr

    return rate


class Scheduler:
    """Sets the rate of an optimizer's groups before each step.

    Attributes:
        lr: of the last step that was set, of groups without a factor.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, rate: Rate) -> None:
        self.optimizer, self.rate = optimizer, rate
        self.step_update(0)

    def step_update(self, step: float) -> None:
        """Set the rate for a step, which need not be an integer."""
        self.lr = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group.get(SCALE, 1.0)


def make_scheduler(optimizer: torch.optim.Optimizer, config: FitConfig, steps: float) -> Scheduler:
    """Build what sets the rate of an optimizer over a fit of so many steps.

    Raises:
        ConfigError: there is no such schedule, or it refuses its options.
    """
    spec = as_spec(config.schedule)
    if "warmup" in schedules.options(spec["name"]):
        spec.setdefault("warmup", config.warmup)
    rate = schedules.build(spec, config.lr, steps)
    if not callable(rate):
        raise ConfigError(
            f"schedule {spec['name']!r}: called with a rate and a number of steps, it gave {type(rate).__name__}, "
            "expected a function from a step to a rate"
        )
    return Scheduler(optimizer, rate)
