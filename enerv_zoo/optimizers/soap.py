"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321, algorithm 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError
from enerv_zoo.optimizers.groups import HIDDEN
from enerv_zoo.registry import optimizers

Axis = dict[str, Tensor]
"""Of one axis of n indices: the moving average `covariance` (n, n) of the gradients, and its eigenvectors `basis`
(n, n), in columns."""


@optimizers.register("soap")
class SOAP(torch.optim.AdamW):
    """Adam on gradients that are turned into a basis of their own, for hidden weights; Adam as it is for all others.

    A weight (out, in, ...) has the axes out, in and taps. Each axis of 2 to `max_size` indices has the moving average
    of the gradients' covariance along it, and a basis that follows its eigenvectors by one step of power iteration and
    a QR decomposition every `every` steps. Between two of them this is Adam, on turned gradients, whose update is
    turned back. The paper keeps the first moment in the original basis; turned along whenever the basis changes, it
    is the same, and costs a product less per step. The first basis is that of the first gradient.

    Args:
        groups: those whose key `hidden` is False have no bases.
        lr: of all parameters, as for Adam.
        betas: decays of the moments; the second one is the covariances', too.
        eps: of Adam.
        weight_decay: decoupled.
        every: steps between two changes of the bases.
        max_size: indices of the longest axis that has a basis.

    Raises:
        ConfigError: an option that cannot be.
    """

    routes = True

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        every: int = 10,
        max_size: int = 512,
    ) -> None:
        if every < 1:
            raise ConfigError(f"every is at least 1 step, got {every}")
        super().__init__(groups, lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, fused=True)
        self.every, self.max_size = every, max_size

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step; gradients stay as they are."""
        turned = [
            _TurnedWeight(parameter, group, self._axes(parameter, group))
            for group in self.param_groups
            for parameter in group["params"]
            if group.get(HIDDEN, True) and parameter.ndim > 1 and parameter.grad is not None
        ]
        super().step()
        for weight in turned:
            state = self.state[weight.parameter]
            weight.turn_back()
            state["axes"], state["turns"] = weight.axes, state.get("turns", 0) + 1
            if state["turns"] % self.every == 0:
                moment = _turned(state["exp_avg"], weight.axes, back=True)
                for axis in weight.axes.values():
                    axis["basis"] = torch.linalg.qr(axis["covariance"] @ axis["basis"])[0]
                state["exp_avg"].copy_(_turned(moment, weight.axes))

    def _axes(self, parameter: Tensor, group: Mapping[str, Any]) -> dict[int, Axis]:
        """Return the axes of a weight that have a basis, with the covariance of its gradient taken in."""
        assert parameter.grad is not None
        gradient = _by_axes(parameter.grad)
        covariances = {
            place: gradient.movedim(place, 0).flatten(1) @ gradient.movedim(place, 0).flatten(1).T
            for place, size in enumerate(gradient.shape)
            if 2 <= size <= self.max_size
        }
        axes: dict[int, Axis] | None = self.state[parameter].get("axes") if parameter in self.state else None
        if axes is None:
            decay = 1 - group["betas"][1]
            return {
                place: {"covariance": decay * each, "basis": torch.linalg.eigh(each).eigenvectors.flip(1).contiguous()}
                for place, each in covariances.items()
            }
        for place, each in covariances.items():
            axes[place]["covariance"].lerp_(each, 1 - group["betas"][1])
        return axes


class _TurnedWeight:
    """A weight in whose place Adam sees zeros and the turned gradient: what it makes of the zeros is the update."""

    def __init__(self, parameter: Tensor, group: Mapping[str, Any], axes: dict[int, Axis]) -> None:
        assert parameter.grad is not None
        self.parameter, self.axes = parameter, axes
        self._shrinks = 1 - group["lr"] * group["weight_decay"]
        self._data, self._gradient = parameter.data, parameter.grad
        parameter.grad = torch.empty_like(parameter).copy_(_turned(parameter.grad, axes))
        parameter.data = torch.zeros_like(parameter)

    def turn_back(self) -> None:
        """Give the weight its data, with the update, and its gradient again."""
        update = _turned(self.parameter.data, self.axes, back=True)
        self.parameter.data, self.parameter.grad = self._data, self._gradient
        self.parameter.mul_(self._shrinks).add_(update)


def _by_axes(tensor: Tensor) -> Tensor:
    """Return a weight as (out, in) or (out, in, taps)."""
    return tensor.flatten(2) if tensor.ndim > 2 else tensor


def _turned(tensor: Tensor, axes: Mapping[int, Axis], back: bool = False) -> Tensor:
    """Return a tensor of a weight's shape in the bases of its axes, or back from them."""
    turned = _by_axes(tensor)
    for place, axis in axes.items():
        turned = torch.tensordot(turned, axis["basis"], dims=([place], [1 if back else 0])).movedim(-1, place)
    return turned.reshape(tensor.shape)
