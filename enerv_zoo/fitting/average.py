"""Exponential moving average of a network's weights while it is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average of the weights of all steps, of which later ones count more.

    While the rate is high, the weights of single steps scatter around better ones; their average decodes sharper
    frames. A schedule that ends at 0 makes the last weights their own average: there it is for the pictures and
    scores on the way alone.

    The decay rises with the steps, (1 + t) / (10 + t) up to `decay`, so that initial weights are soon forgotten.
    Running statistics (batch normalisation), which are averages already, stay the network's.

    Args:
        network: whose parameters they are.
        decay: per step, in (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters: list[Tensor] = list(network.parameters())
        self.tensors = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the weights after a step, before which there were so many; waits for nothing."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(self.tensors, self._parameters, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the average in place of the network's weights while the block runs."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for place, parameter in enumerate(self._parameters):
            parameter.data, self.tensors[place] = self.tensors[place], parameter.data

    @torch.no_grad()
    def reset(self) -> None:
        """Begin again at the network's present weights."""
        torch._foreach_copy_(self.tensors, self._parameters)

    @torch.no_grad()
    def adopt(self) -> None:
        """Make the average the network's weights."""
        torch._foreach_copy_(self._parameters, self.tensors)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps; the tensors are this one's own."""
        return {"tensors": self.tensors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        torch._foreach_copy_(self.tensors, [tensor.to(self.tensors[0].device) for tensor in state["tensors"]])
