"""Sizes of levels that are learned with the weights, and the weight of the rate that a target asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

RATE = 0.02
"""Learning rate of the logarithms of sizes, on top of the schedule."""

BETAS = (0.9, 0.99)
"""Adam's decays of their moments."""

FIRST_WEIGHT = 1e-3
"""Weight of the bits per pixel that a fit with a target begins with."""

GAIN, ANSWER = 20.0, 6.0
"""Where bits are e times as many as they should, the weight grows by a factor e^(GAIN d) in a fraction d of a phase,
and is larger by a factor e^ANSWER at once, or MOST_AT_ONCE (a proportional-integral controller of its logarithm)."""

MOST_AT_ONCE = 4.0

LEAST_SHARE = 0.1
"""The lower the learning rate, the less a weight does: bits that are too many are answered as if they were more, by the
rate's share of its peak, or this one. Those that are too few in the end are not: to fill them up gains nothing."""

REACHED = 0.15
"""Part of a phase after which the target is to be reached; until then, the bits fall by a like factor in each step."""

AIM = 0.992
"""Part of its target that a fit aims at. The bits of its end are a little off, and to round away what is too much costs
more than to have aimed lower (0.7 dB for 3 % of the bits on Bunny)."""

MOST_LACK = 0.12
"""Part of its target by which a fit may have fewer bits. Beyond it, all levels become finer at once by what is missing,
as in fits of a hundred steps neither the rate's weight nor what moves single sizes is quick enough (1 to 2 dB)."""

MEASUREMENTS = 24
"""How often in a phase the bits are measured, as the coder takes them."""


class LearnedSteps:
    """Size of a level of each tensor, which gradients move (Esser et al. 2020).

    A rounded weight is round(w / s) s. Straight through, its derivative by log s is round(w / s) s - w; the objective's
    gradient there is taken at the rounded weights, so that it knows how much coarser ones would hurt. The rate is that
    of w / s.

    Args:
        sizes: () of each tensor, to begin with, by name.
    """

    def __init__(self, sizes: Mapping[str, Tensor]) -> None:
        self._names = list(sizes)
        self._logs = torch.stack(list(sizes.values())).log().requires_grad_()
        self._optimizer = torch.optim.Adam([self._logs], lr=RATE, betas=BETAS)

    def sizes(self) -> dict[str, Tensor]:
        """Return the size () of a level of each tensor."""
        return dict(zip(self._names, self._logs.detach().exp().unbind(), strict=True))

    def step(self, gradients: Mapping[str, Tensor], share: float) -> None:
        """Move the sizes.

        Args:
            gradients: () by the logarithm of each size; a size without one stays.
            share: of the learning rate, as the schedule has it.
        """
        zero = torch.zeros_like(self._logs[0])
        self._logs.grad = torch.stack([gradients.get(name, zero) for name in self._names])
        self._optimizer.param_groups[0]["lr"] = RATE * share
        self._optimizer.step()

    def refine(self, by: Tensor) -> None:
        """Make all levels finer.

        Args:
            by: () to be added to the logarithm of each size.
        """
        with torch.no_grad():
            self._logs += by

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"logs": self._logs.detach(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        with torch.no_grad():
            self._logs.copy_(state["logs"])
        self._optimizer.load_state_dict(state["optimizer"])


class RateTarget:
    """Weight of the rate in the objective that brings it to a target.

    Args:
        bits: of the file.
        device: of the network.

    Attributes:
        bits: of the file.
        weight: () of the bits per pixel, on the device: no step waits for it.
        lack: () of the bits, as a logarithm, where more than MOST_LACK are missing; else 0.
    """

    def __init__(self, bits: float, device: torch.device) -> None:
        self.bits, self._goal, self._device = bits, math.log(AIM * bits), device
        self.restart()

    def restart(self) -> None:
        """Begin again."""
        self.weight = self._lasting = torch.tensor(FIRST_WEIGHT, device=self._device)
        self._first = self.lack = torch.zeros((), device=self._device)
        self._excess, self._measurements, self._progress = 0.0, 0, 0.0

    def follow(self, bits: Tensor, progress: float, share: float, measure: Callable[[], float]) -> None:
        """Change the weight after a step.

        Args:
            bits: () of the step, as the objective estimates them.
            progress: fraction of the phase that is over.
            share: of the learning rate, as the schedule has it.
            measure: returns the bits of the file.
        """
        bits = bits.detach().log()
        if progress * MEASUREMENTS >= self._measurements:
            self._excess = math.log(measure()) - float(bits)
            if not self._measurements:
                self._first = bits
            self._measurements = int(progress * MEASUREMENTS) + 1
        reached = min(progress / REACHED, 1.0)
        goal = (1 - reached) * self._first + reached * (self._goal - self._excess)
        excess = bits - goal
        self.lack = (excess + MOST_LACK).clamp(-1, 0)
        excess = torch.where(excess > 0, excess / max(share, LEAST_SHARE), excess).clamp(-1, 1)
        self._lasting = (self._lasting * (GAIN * (progress - self._progress) * excess).exp()).clamp(1e-7, 1.0)
        at_once = (ANSWER * excess).exp().clamp(1 / MOST_AT_ONCE, MOST_AT_ONCE)
        self.weight, self._progress = self._lasting * at_once, progress

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        numbers = (self._excess, self._measurements, self._progress)
        return {"weight": self.weight, "lasting": self._lasting, "first": self._first, "numbers": numbers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; older ones have a single weight."""
        self.weight, self._first = (state[name].to(self._device) for name in ("weight", "first"))
        self._lasting = state.get("lasting", state["weight"]).to(self._device)
        self._excess, self._measurements, self._progress = state["numbers"]
