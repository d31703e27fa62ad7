"""HiNeRV's rounding in a fit: part of the weights is rounded, and their gradients move scales (Kwan et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from enerv_zoo.nvz.quantisation import QuantSpec, levels_of


@dataclass(frozen=True)
class RoundedInPart:
    """A tensor of which part is rounded, and how the gradient at it reaches the exact one.

    A rounded weight is level times scale. The level is constant, and the scale is a multiple of the largest magnitude
    of its slice: so the gradient of all rounded weights of a slice goes to its largest weight.

    Attributes:
        exact: the tensor.
        spec: its levels.
        levels: of each weight.
        step: scales, which broadcast against the levels.
        is_rounded: which weights are rounded.
    """

    exact: Tensor
    spec: QuantSpec
    levels: Tensor
    step: Tensor
    is_rounded: Tensor

    @classmethod
    def of(cls, exact: Tensor, spec: QuantSpec, uniform: Tensor | None, share: float = 1.0) -> RoundedInPart:
        """Round the weights whose random number, uniform in [0, 1), is at most `share`; all of them without any."""
        levels, step = levels_of(exact, spec)
        is_rounded = torch.ones_like(exact, dtype=torch.bool) if uniform is None else uniform <= share
        return cls(exact, spec, levels, step, is_rounded)

    @property
    def values(self) -> Tensor:
        """The tensor that the network computes with."""
        return torch.where(self.is_rounded, self.levels * self.step, self.exact)

    def gradient(self, gradient: Tensor) -> Tensor:
        """Return the gradient by the exact tensor, of that by `values`."""
        dims = self.spec.along or tuple(range(self.exact.ndim))
        by_scale = (gradient * self.levels * self.is_rounded).sum(dim=dims, keepdim=True)
        by_largest = by_scale * (2 / (2**self.spec.bits - 1)) * self._largest(dims) * self.exact.sign()
        return gradient * ~self.is_rounded + by_largest

    def _largest(self, dims: tuple[int, ...]) -> Tensor:
        """Return 1 at the first weight of largest magnitude of each slice, and 0 elsewhere."""
        others = [dim for dim in range(self.exact.ndim) if dim not in dims]
        order = (*others, *dims)
        lines = self.exact.abs().permute(order).flatten(len(others))
        marks = torch.zeros_like(lines).scatter_(-1, lines.argmax(-1, keepdim=True), 1.0)
        turned = marks.reshape([self.exact.shape[dim] for dim in order])
        return turned.permute([order.index(dim) for dim in range(self.exact.ndim)])
