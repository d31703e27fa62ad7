"""Constraints within the steps of a fit (rounding, pruning, rate): the network is fitted as a file will hold it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor

from enerv_zoo.config import FitConfig
from enerv_zoo.network import Network
from enerv_zoo.nvz import pruning
from enerv_zoo.nvz.quantisation import QuantSpecs, rounded, steps, uniform_specs


class WeightConstraint:
    """Constraint of a phase on the weights, applied in every step.

    Frames are decoded with rounded weights, and the gradient that arrives at those moves the exact ones (straight
    through, Bengio et al. 2013). Pruned weights stay zero. The rate, if it has a weight, is that of a Laplace
    distribution per tensor: n log2(1 + 2e m / s) bits for n weights of mean magnitude m and scale s; its gradient is
    added in closed form.

    Args:
        network: whose weights they are.
        specs: levels of the rounded tensors; a tensor that is not there stays exact.
        masks: of the pruned tensors; True stays.
        rate_weight: of the bits per pixel in the objective.
    """

    def __init__(
        self, network: Network, specs: QuantSpecs, masks: Mapping[str, Tensor], rate_weight: float = 0.0
    ) -> None:
        self.specs, self.masks, self.rate_weight = specs, dict(masks), rate_weight
        self._network = network
        self._tensors = network.stored_parameters()
        hints = network.coding_hints()
        self._rated = [name for name in specs if rate_weight and hints[name].kind != "bias"]

    @classmethod
    def of(cls, network: Network, config: FitConfig) -> Self | None:
        """Return what a phase's config asks for, pruning by the magnitudes that weights have now; `None` for nothing.

        Raises:
            ConfigError: a width or a share that there is not.
        """
        if config.bits is None and not config.prune:
            return None
        specs = {} if config.bits is None else uniform_specs(network, config.bits, config.scales)
        masks = pruning.masks(network, config.prune)
        pruning.prune(network.stored_parameters(), masks)
        return cls(network, specs, masks, config.rate_weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Round the weights while the block runs."""
        exact = {name: self._tensors[name].data for name in self.specs}
        for name, spec in self.specs.items():
            self._tensors[name].data = rounded(exact[name], spec)
        try:
            yield
        finally:
            for name, data in exact.items():
                self._tensors[name].data = data

    def after_backward(self) -> None:
        """Add the rate's gradient, and leave pruned weights none."""
        for name in self._rated:
            if (gradient := self._tensors[name].grad) is not None:
                gradient.add_(self._rate_gradient(name, self._tensors[name].detach()))
        for name, mask in self.masks.items():
            if (gradient := self._tensors[name].grad) is not None:
                gradient.mul_(mask)

    def _rate_gradient(self, name: str, tensor: Tensor) -> Tensor:
        step, mean = steps(tensor, self.specs[name]).mean(), tensor.abs().mean()
        slope = 2 * math.e / (math.log(2) * (step + 2 * math.e * mean))  # of n log2(1 + 2e m / s) by each magnitude
        return tensor.sign() * slope * (self.rate_weight / self._network.info.pixels)

    def after_step(self) -> None:
        """Set pruned weights to zero again: momentum must not bring them back."""
        pruning.prune(self._tensors, self.masks)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the masks."""
        return {"masks": self.masks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the masks of a checkpoint."""
        device = self._network.device
        self.masks = {name: torch.as_tensor(mask, device=device) for name, mask in state["masks"].items()}
