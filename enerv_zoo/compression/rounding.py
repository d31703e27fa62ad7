"""Learned rounding: each weight goes to one of the two levels beside it, and fitting decides to which."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.fitting.constraint import WeightConstraint
from enerv_zoo.network import Network
from enerv_zoo.nvz.quantisation import QuantSpecs, codable, levels_of


class LearnedRounding(WeightConstraint):
    """Constraint of a tuning that changes nothing but the rounding (after Nagel et al. 2020, of all layers at once).

    Sizes of levels stay what they are at first. Weights move between the two levels beside them, and are pulled to the
    nearer one as the tuning goes on; those that are levels already stay.

    Args:
        network: whose weights they are.
        specs: levels of all tensors.
        arguments: what else a `WeightConstraint` takes.

    Attributes:
        specs: the levels, with their sizes: those that a file must take, as the largest weights may move.
    """

    def __init__(self, network: Network, specs: QuantSpecs, *arguments: Any) -> None:
        self._sizes_of: dict[str, Tensor] = {}
        self._between: dict[str, tuple[Tensor, Tensor]] = {}
        fixed = {}
        for name, tensor in codable(network).items():
            levels, size = levels_of(tensor, specs[name])
            place = (tensor / size).clamp(levels.min(), levels.max())
            self._sizes_of[name] = size
            self._between[name] = (place.floor() * size, place.ceil() * size)
            fixed[name] = dataclasses.replace(specs[name], sizes=tuple(size.flatten().tolist()))
        super().__init__(network, fixed, *arguments)

    def after_step(self, progress: float = 0.0) -> None:
        """Keep weights between their levels, and pull them to the nearer one.

        Args:
            progress: fraction of the phase that is over.
        """
        for name, (lower, upper) in self._between.items():
            exact = self._tensors[name].data
            torch.clamp(exact, lower, upper, out=exact)
        super().after_step(progress)

    def _pulled_to(self) -> dict[str, Tensor]:
        return self._sizes_of
