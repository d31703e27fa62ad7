"""Constraints within the steps of a fit (rounding, pruning, rate): the network is fitted as a file will hold it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor

from enerv_zoo.config import FitConfig, Spec
from enerv_zoo.fitting.noise import RoundedInPart
from enerv_zoo.network import Network
from enerv_zoo.nvz import pruning
from enerv_zoo.nvz.entropy import rate
from enerv_zoo.nvz.quantisation import QuantSpec, QuantSpecs, rounded, spread, steps, uniform_specs


class WeightConstraint:
    """Constraint of a phase on the weights, applied in every step.

    Frames are decoded with rounded weights, and the gradient that arrives at those moves the exact ones (straight
    through, Bengio et al. 2013; with scales per slice as `RoundedInPart` says). Pruned weights stay zero. The rate, if
    it has a weight, is that of the entropy model which codes a tensor (`enerv_zoo.nvz.entropy.rate`).

    Args:
        network: whose weights they are.
        specs: levels of the rounded tensors; a tensor that is not there stays exact.
        masks: of the pruned tensors; True stays.
        rate_weight: of the bits per pixel in the objective.
        entropy_model: whose bits are the rate; by default those of the best built-in one of each tensor.
        rounded_share: part of the weights with scales per slice that each step rounds, drawn anew.
        seed: of what is drawn.
    """

    def __init__(
        self,
        network: Network,
        specs: QuantSpecs,
        masks: Mapping[str, Tensor],
        rate_weight: float = 0.0,
        entropy_model: Spec | None = None,
        rounded_share: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.specs, self.masks, self.rate_weight = specs, dict(masks), rate_weight
        self.entropy_model = entropy_model
        self.rounded_share, self._seed, self._steps = rounded_share, seed, 0
        self._in_part: dict[str, RoundedInPart] = {}
        self._network = network
        self._tensors = network.stored_parameters()
        kinds = {name: hint.kind for name, hint in network.coding_hints().items()}
        self._rated = {name: kinds[name] for name in specs if rate_weight and kinds[name] != "bias"}

    @classmethod
    def of(cls, network: Network, config: FitConfig) -> Self | None:
        """Return what a phase's config asks for, pruning by the magnitudes that weights have now; `None` for nothing.

        Raises:
            ConfigError: a width or a share that there is not.
        """
        if config.bits is None and not config.prune:
            return None
        specs = {} if config.bits is None else uniform_specs(network, config.bits, config.scales)
        if config.scales == "slice":
            specs = {name: spec for name, spec in specs.items() if spec.along is not None}
        masks = pruning.masks(network, config.prune, config.prune_size_weight)
        pruning.prune(network.stored_parameters(), masks)
        return cls(network, specs, masks, config.rate_weight, rounded_share=config.rounded_share, seed=config.seed)

    @property
    def is_random(self) -> bool:
        """Whether steps draw random numbers, so that none can be recorded and replayed."""
        return self.rounded_share < 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Round the weights while the block runs."""
        exact = {name: self._tensors[name].data for name in self.specs}
        generator = torch.Generator(self._network.device if self.is_random else "cpu")
        generator.manual_seed(self._seed * 1_000_003 + self._steps)
        for name, spec in self.specs.items():
            self._tensors[name].data = self._rounded(name, exact[name], spec, generator)
        try:
            yield
        finally:
            for name, data in exact.items():
                self._tensors[name].data = data

    def _rounded(self, name: str, exact: Tensor, spec: QuantSpec, generator: torch.Generator) -> Tensor:
        if spec.along is None:
            return rounded(exact, spec)
        drawn = torch.rand(exact.shape, generator=generator, device=exact.device) if self.is_random else None
        self._in_part[name] = RoundedInPart.of(exact, spec, drawn, self.rounded_share)
        return self._in_part[name].values

    def after_backward(self) -> None:
        """Lead gradients to the exact weights, add the rate's, and leave pruned weights none."""
        for name, part in self._in_part.items():
            if (gradient := self._tensors[name].grad) is not None:
                gradient.copy_(part.gradient(gradient))
        for name, kind in self._rated.items():
            if (gradient := self._tensors[name].grad) is not None:
                gradient.add_(self._rate_gradient(self._tensors[name].detach(), self.specs[name], kind))
        for name, mask in self.masks.items():
            if (gradient := self._tensors[name].grad) is not None:
                gradient.mul_(mask)

    def _rate_gradient(self, tensor: Tensor, spec: QuantSpec, kind: str) -> Tensor:
        step = spread(steps(tensor, spec), tensor, spec.axis)
        values = (tensor / step).requires_grad_()
        (gradient,) = torch.autograd.grad(rate(values, kind, self.entropy_model), values)
        return gradient / step * (self.rate_weight / self._network.info.pixels)

    def after_step(self) -> None:
        """Set pruned weights to zero again: momentum must not bring them back."""
        self._steps += 1
        pruning.prune(self._tensors, self.masks)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the masks, and where random numbers are."""
        return {"masks": self.masks, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; older ones have the masks alone."""
        self._steps = state.get("steps", 0)
        device = self._network.device
        self.masks = {name: torch.as_tensor(mask, device=device) for name, mask in state["masks"].items()}
