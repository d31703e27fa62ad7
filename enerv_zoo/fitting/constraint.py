"""Constraints within the steps of a fit (rounding, pruning, rate): the network is fitted as a file will hold it."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from enerv_zoo.config import FitConfig, Spec
from enerv_zoo.config.compress import DEFAULT_BITS
from enerv_zoo.fitting.noise import RoundedInPart
from enerv_zoo.fitting.steps import LearnedSteps, RateTarget
from enerv_zoo.network import Network
from enerv_zoo.nvz import pruning
from enerv_zoo.nvz.entropy import rate, tensor_bits
from enerv_zoo.nvz.quantisation import (
    QuantSpec,
    QuantSpecs,
    Scales,
    coded,
    exact_spec,
    rounded,
    spread,
    steps,
    uniform_specs,
)
from enerv_zoo.nvz.tables import MAX_LEVEL

FIRST_BITS = 7
"""Bits of weights whose sizes of levels are learned begin with, unless a recipe says otherwise or they are levels
already: a rung of a ladder goes on with those of the network above."""

FIRST_SHARE, GENTLE_STEPS = 1.2, 1600
"""A fit of n steps begins with FIRST_SHARE + n / GENTLE_STEPS times the bits of its target, at most: its levels are
coarser then than FIRST_BITS says, as few steps do not make them so. Fits of 30 seconds gain 2 dB, those of short clips
up to 6; those of 3000 steps lose 0.3 dB where they begin with 1.7 times the bits, and so begin as they are."""

RATED_STEPS = 4
"""Where the rate has a target, its gradient is taken, and sizes of levels are moved, in one step of so many, as far as
they would be in all of them: it took as long as the frames."""

HEAD_BYTES = 1500
"""About what a file takes beside its weights."""

CONTENT_EVERY = 6
"""Content that encoders compute is part of a file, too: its bits are estimated in one of so many measurements."""

PULL, PULLED_FROM = 10.0, 0.2
"""Where sizes of levels or the rounding are learned, weights are pulled to their nearest levels: in a small fraction d
of a phase, at its end, by PULL d of the distance; this rises from 0 at the fraction PULLED_FROM. Gradients that pass
straight through a rounding drive half of the weights to and fro between two levels, where chance decides in the end
(Nagel et al. 2022, who add the distance to the loss)."""

MOST_SHRINKING = 0.2
"""Part of a level by which weights are smaller, at most, as they are rounded for the last time to meet a target."""


def _nearest_levels(weights: Tensor, size: Tensor) -> Tensor:
    """Return the levels that weights, of any shape, are nearest to; sizes of a level broadcast against them."""
    return (weights / size).round() * size


class WeightConstraint:
    """Constraint of a phase on the weights, applied in every step.

    Frames are decoded with rounded weights, and the gradient that arrives at those moves the exact ones (straight
    through, Bengio et al. 2013; with scales per slice as `RoundedInPart` says). Pruned weights stay zero. The rate, if
    it has a weight, is that of the entropy model which codes a tensor (`enerv_zoo.nvz.entropy.rate`).

    Where sizes of levels are learned, the network ends with rounded weights: their levels are what a file holds.

    Args:
        network: whose weights they are.
        specs: levels of the rounded tensors; a tensor that is not there stays exact.
        masks: of the pruned tensors; True stays.
        rate_weight: of the bits per pixel in the objective.
        entropy_model: whose bits are the rate; by default those of the best built-in one of each tensor.
        rounded_share: part of the weights with scales per slice that each step rounds, drawn anew.
        seed: of what is drawn.
        learned: whether the sizes of levels move with the weights; those of biases stay what their bits give.
        bpp: bits per pixel that the file is to take: the rate's weight then follows from it.
        steps: of the phase, as far as they are known.

    Attributes:
        as_stored: a context with the network as a file would hold it, where that holds what encoders compute now.
    """

    as_stored: Callable[[], AbstractContextManager[Network]] | None = None

    def __init__(
        self,
        network: Network,
        specs: QuantSpecs,
        masks: Mapping[str, Tensor],
        rate_weight: float = 0.0,
        entropy_model: Spec | None = None,
        rounded_share: float = 1.0,
        seed: int = 0,
        learned: bool = False,
        bpp: float | None = None,
        steps: int | None = None,
    ) -> None:
        self.specs, self.masks, self.rate_weight = specs, dict(masks), rate_weight
        self.entropy_model = entropy_model
        self.rounded_share, self._seed, self._steps = rounded_share, seed, 0
        self._progress = 0.0  # of the last step
        self._measured, self._content_bits = 0, 0.0
        self._in_part: dict[str, RoundedInPart] = {}
        self._network = network
        self._tensors = network.stored_parameters()
        self._hints = network.coding_hints()
        self._rated = [name for name in specs if self._hints[name].kind != "bias"]
        self._target = RateTarget(bpp * network.info.pixels, network.device) if bpp is not None else None
        self._first_share = FIRST_SHARE + (steps or GENTLE_STEPS) / GENTLE_STEPS
        self._learned: LearnedSteps | None = None
        if learned:
            self._begin_learning()

    @classmethod
    def of(cls, network: Network, config: FitConfig, steps: int | None = None) -> Self | None:
        """Return what a phase's config asks for, pruning by the magnitudes that weights have now; `None` for nothing.

        Args:
            network: whose weights they are.
            config: of the phase.
            steps: of the phase, as far as they are known.

        Raises:
            ConfigError: a width or a share that there is not.
        """
        per: Scales = "tensor" if config.scales == "learned" else config.scales
        learned = config.scales == "learned" or config.bpp is not None
        bits = FIRST_BITS if learned and config.bits is None else config.bits
        if bits is None and not config.prune:
            return None
        specs = {} if bits is None else uniform_specs(network, bits, per)
        if config.scales == "slice":
            specs = {name: spec for name, spec in specs.items() if spec.along is not None}
        masks = pruning.masks(network, config.prune, config.prune_size_weight)
        pruning.prune(network.stored_parameters(), masks)
        return cls(
            network, specs, masks, config.rate_weight, rounded_share=config.rounded_share, seed=config.seed,
            learned=learned, bpp=config.bpp, steps=steps,
        )  # fmt: skip

    def _begin_learning(self) -> None:
        """Learn sizes of levels anew: from the first ones, or from the finest ones that are near the target."""
        self._learned = None
        first = self._first_sizes()

        def is_near(octaves: float) -> bool:
            self._learned = LearnedSteps({name: size * 2**octaves for name, size in first.items()})
            return self._target is None or self.file_bits() <= self._first_share * self._target.bits

        if not is_near(0.0):
            octaves = [step / 8 for step in range(8 * FIRST_BITS)]
            is_near(octaves[bisect_left(octaves[:-1], True, key=is_near)])

    def _first_sizes(self) -> dict[str, Tensor]:
        """Return the size () of a level that weights have already, or else that of the specs, of each rated tensor."""
        sizes = self._sizes()
        for name in sizes:
            tensor = self._tensors[name].detach()
            own = exact_spec(tensor, self._hints[name])
            if own is not None and own.sizes is not None and len(own.sizes) == 1 and len(tensor.abs().unique()) > 1:
                sizes[name] = sizes[name].new_tensor(own.sizes[0])
        return sizes

    @property
    def is_random(self) -> bool:
        """Return whether steps draw random numbers, so that none can be recorded and replayed."""
        return self.rounded_share < 1

    @property
    def is_rated(self) -> bool:
        """Return whether the objective has the weights' bits in it."""
        return self.rate_weight > 0 or self._target is not None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Round the weights while the block runs."""
        exact = {name: self._tensors[name].data for name in self.specs}
        learned = self._learned.sizes() if self._learned is not None else {}
        generator = torch.Generator(self._network.device if self.is_random else "cpu")
        generator.manual_seed((self._seed * 1_000_003 + self._steps) % 2**64)
        try:
            for name, spec in self.specs.items():
                self._tensors[name].data = (
                    _nearest_levels(exact[name], learned[name])
                    if name in learned
                    else self._rounded(name, exact[name], spec, generator)
                )
            yield
        finally:
            for name, data in exact.items():
                self._tensors[name].data = data

    def _rounded(self, name: str, exact: Tensor, spec: QuantSpec, generator: torch.Generator) -> Tensor:
        if spec.along is None or spec.sizes is not None:
            return rounded(exact, spec)
        drawn = torch.rand(exact.shape, generator=generator, device=exact.device) if self.is_random else None
        self._in_part[name] = RoundedInPart.of(exact, spec, drawn, self.rounded_share)
        return self._in_part[name].values

    def after_backward(self, progress: float = 0.0, share: float = 1.0) -> None:
        """Lead gradients to the exact weights, add the rate's, and leave pruned weights none.

        Args:
            progress: fraction of the phase that is over.
            share: of the learning rate, as the schedule has it.
        """
        for name, part in self._in_part.items():
            if (gradient := self._tensors[name].grad) is not None:
                gradient.copy_(part.gradient(gradient))
        every = RATED_STEPS if self._target is not None else 1
        if (self.is_rated or self._learned is not None) and self._steps % every == 0:
            self._add_rates(progress, share, every)
        for name, mask in self.masks.items():
            if (gradient := self._tensors[name].grad) is not None:
                gradient.mul_(mask)

    def _add_rates(self, progress: float, share: float, every: int) -> None:
        """Add the rate's gradient for `every` steps to those of weights, and move the sizes of levels by both."""
        weight = (self.rate_weight if self._target is None else self._target.weight) / self._network.info.pixels
        sizes, by_log, bits = self._sizes(), {}, []
        for name in self._rated:
            tensor = self._tensors[name]
            if tensor.grad is None:
                continue
            size = spread(sizes[name], tensor, self.specs[name].axis)
            values = (tensor.detach() / size).requires_grad_()
            bits.append(rate(values, self._hints[name].kind, self.entropy_model))
            (by_value,) = torch.autograd.grad(bits[-1], values)
            if self._learned is not None:
                levels = values.detach()
                by_rounding = (levels.round() - levels).mul_(tensor.grad).sum() * size
                by_log[name] = by_rounding - weight * (by_value * levels).sum()
            tensor.grad.addcmul_(by_value, every * weight / size)
        if self._learned is not None:
            self._learned.step(by_log, every * share)
        if self._target is not None:
            self._target.follow(torch.stack(bits).sum(), progress, share, self._measure)
            if self._learned is not None:
                self._learned.refine(self._target.lack)

    def _sizes(self) -> dict[str, Tensor]:
        """Return the size of a level, () or (n,), of each tensor that has a rate."""
        if self._learned is not None:
            return self._learned.sizes()
        return {name: steps(self._tensors[name].detach(), self.specs[name]) for name in self._rated}

    def _measure(self) -> float:
        if self._measured % CONTENT_EVERY == 0:
            self._content_bits = self._bits_of_content()
        self._measured += 1
        return self.file_bits()

    def file_bits(self) -> float:
        """Estimate the bits of the file as it would be now."""
        weights = (self._bits_of(self._tensors[name], spec) for name, spec in self._current_specs().items())
        return 8.0 * HEAD_BYTES + self._content_bits + sum(weights)

    def _bits_of_content(self) -> float:
        """Estimate the bits of what encoders compute, which a file holds in their place."""
        if self.as_stored is None:
            return 0.0
        with self.as_stored() as network:
            content = {name: each for name, each in network.stored_parameters().items() if name not in self._tensors}
            specs = uniform_specs(network, DEFAULT_BITS)
            return sum(self._bits_of(each, specs[name]) for name, each in content.items())

    def _bits_of(self, tensor: Tensor, spec: QuantSpec) -> float:
        return tensor_bits(coded(tensor, spec), self.entropy_model)

    def _current_specs(self) -> dict[str, QuantSpec]:
        """Return the levels of each tensor, with sizes as they are now where they are learned."""
        if self._learned is None:
            return dict(self.specs)
        sizes = {}
        for name, size in self._learned.sizes().items():
            least = self._tensors[name].detach().abs().max() / MAX_LEVEL
            sizes[name] = float(torch.maximum(size, least))
        return {
            name: dataclasses.replace(spec, sizes=(sizes[name],)) if name in sizes else spec
            for name, spec in self.specs.items()
        }

    def end(self) -> None:
        """Leave rounded weights, where the sizes of levels were learned: a file then holds just these.

        Where they take more than their target, those that are nearest to the next lower level go there, as many as it
        takes.
        """
        if self._learned is None:
            return
        specs = self._current_specs()
        if self._target is not None:
            self._content_bits = self._bits_of_content()
        exact = {name: self._tensors[name].data for name in specs}
        sizes = {name: spec.sizes[0] if spec.sizes is not None else 0.0 for name, spec in specs.items()}

        def meets_target(threshold: float) -> bool:
            for name, spec in specs.items():
                self._tensors[name].data = rounded(softshrink(exact[name], threshold * sizes[name]), spec)
            return self._target is None or self.file_bits() <= self._target.bits

        if meets_target(0.0):
            return
        places = torch.cat([(exact[name].abs() / size).flatten() for name, size in sizes.items() if size])
        above = places - places.round() + 0.5  # the middle below, in levels
        near = above[(places >= 0.5) & (above < MOST_SHRINKING)].sort().values
        thresholds = [*near.tolist(), MOST_SHRINKING]
        least = bisect_left(thresholds[:-1], True, key=meets_target)
        meets_target(thresholds[least])

    def restart(self) -> None:
        """Forget what was learned, as the weights are initial ones again."""
        if self._learned is not None:
            self._begin_learning()
        if self._target is not None:
            self._target.restart()
        self._progress, self._measured = 0.0, 0

    def after_step(self, progress: float = 0.0) -> None:
        """Set pruned weights to zero again, as momentum must not bring them back, and pull weights to learned levels.

        Args:
            progress: fraction of the phase that is over.
        """
        self._steps += 1
        pruning.prune(self._tensors, self.masks)
        rise = max(progress - PULLED_FROM, 0.0) / (1 - PULLED_FROM)
        pull = min(PULL * rise * (progress - self._progress), 1.0)
        self._progress = progress
        if pull <= 0:
            return
        for name, size in self._pulled_to().items():
            exact = self._tensors[name].data
            exact.lerp_(_nearest_levels(exact, size), pull)

    def _pulled_to(self) -> dict[str, Tensor]:
        """Return the sizes of levels that weights are pulled to, which broadcast against these."""
        return self._learned.sizes() if self._learned is not None else {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the masks, and where random numbers are."""
        parts = {"learned": self._learned, "target": self._target}
        states = {name: part.state_dict() for name, part in parts.items() if part is not None}
        content = (self._measured, self._content_bits)
        return {"masks": self.masks, "steps": self._steps, "progress": self._progress, "content": content, **states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; older ones have the masks alone."""
        self._steps = state.get("steps", 0)
        self._progress = state.get("progress", 1.0)  # nothing is pulled in the step after an older one
        self._measured, self._content_bits = state.get("content", (0, 0.0))
        if self._learned is not None:
            self._learned.load_state_dict(state["learned"])
        if self._target is not None:
            self._target.load_state_dict(state["target"])
        device = self._network.device
        self.masks = {name: torch.as_tensor(mask, device=device) for name, mask in state["masks"].items()}
