"""Normalisations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from enerv_zoo.layers.activations import choose
from enerv_zoo.precision import at_least_float32


def instance_norm(x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None) -> Tensor:
    """Each channel of each frame with mean 0 and variance 1 over space (eps 1e-5), then gamma x + beta.

    Written out on purpose. On a CPU, PyTorch's own (seen up to 2.15) sends back wrong gradients, and says nothing, for
    a single frame whose gradient is channels_last: batch norm's backward then reads that memory as if it were
    contiguous. Every layer below learns noise, and the fit stays a grey image. This one also keeps the memory layout,
    and its statistics are float32 where x is bfloat16.

    Shapes: (B, C, H, W), and (B, C) twice -> (B, C, H, W). A single pixel becomes beta.
    """
    if gamma is None or beta is None:
        gamma, beta = x.new_ones(x.shape[:2]), x.new_zeros(x.shape[:2])
    return _InstanceNorm.apply(x, gamma, beta)


class _InstanceNorm(torch.autograd.Function):
    """`instance_norm` with its gradient written out: a third of the passes over memory that tracing it takes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        centred, mean = _centred(x)
        scale = torch.rsqrt(_space_mean(centred.square()) + 1e-5)
        ctx.dtypes = gamma.dtype, beta.dtype
        gamma, beta = (at_least_float32(each)[:, None, None] for each in (gamma, beta))
        ctx.save_for_backward(x, gamma, mean, scale)
        return torch.addcmul(beta, centred, gamma * scale).to(x.dtype).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """With n = (x - mean) scale and <.> the mean over space: gamma scale (g - <g> - n <g n>)."""
        x, gamma, mean, scale = ctx.saved_tensors
        centred, _ = _centred(x, mean)
        g = at_least_float32(grad.permute(0, 2, 3, 1))
        mean_g, mean_gn = _space_mean(g), _space_mean(g * centred) * scale
        factor = gamma * scale
        dx = torch.addcmul(-factor * mean_g, centred, -factor * scale * mean_gn).addcmul_(g, factor)
        pixels = x.shape[2] * x.shape[3]
        dgamma, dbeta = (mean_gn * pixels)[:, 0, 0], (mean_g * pixels)[:, 0, 0]
        return dx.to(x.dtype).permute(0, 3, 1, 2), dgamma.to(ctx.dtypes[0]), dbeta.to(ctx.dtypes[1])


def _centred(x: Tensor, mean: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(B, C, H, W) -> it less its mean over space, as (B, H, W, C), and that mean."""
    turned = x.permute(0, 2, 3, 1)
    ours = not (turned.is_contiguous() and x.dtype in (torch.float32, torch.float64))  # whether `wide` is a copy
    wide = at_least_float32(turned.contiguous())
    mean = _space_mean(wide) if mean is None else mean
    return (wide.sub_(mean) if ours else wide - mean), mean


def _space_mean(x: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, 1, 1, C): rows first, which are long and contiguous, so it is quick, and rounds less."""
    return x.mean(dim=1, keepdim=True).mean(dim=2, keepdim=True)


class InstanceNorm(nn.Module):
    """`instance_norm` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel (eps 1e-6), with weights or without.

    Shapes: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__(channels, eps=1e-6, elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: InstanceNorm(),
    "layer": lambda channels: ChannelNorm(channels, affine=False),
    "layer_affine": ChannelNorm,
}


def norm(name: str, channels: int) -> nn.Module:
    """Return the normalisation called `name`.

    It is none, batch (affine, running statistics), instance (no affine), or layer, over the channels of each pixel (no
    affine) and layer_affine.
    """
    return choose("norm", NORMS, name)(channels)
