"""Convolutions whose gradients are quick on every CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGE = 800_000_000
"""Multiplications of a convolution from which on another memory order saves more than copying costs."""


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with stride 1 and zeros around, by `conv2d` where it has one group."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.groups > 1:
            return super()._conv_forward(input, weight, bias)
        return conv2d(input, weight, bias, int(self.padding[0]))


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Return `F.conv2d(x, weight, bias, padding=padding)`, with the same numbers.

    Without AVX-512, oneDNN takes up to six times as long for the gradient of the weights of large maps in
    channels_last memory as in PyTorch's default order, so both factors are brought into that first.

    Shapes: (B, I, H, W), (O, I, k, k), (O,) -> (B, O, H', W').
    """
    would_be_slow = (
        not torch.compiler.is_compiling()
        and has_slow_gradients()
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and x.numel() * len(weight) * weight.shape[-1] ** 2 >= LARGE
        and weight.requires_grad
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )
    return _Convolution.apply(x, weight, bias, padding) if would_be_slow else F.conv2d(x, weight, bias, padding=padding)


@cache
def has_slow_gradients() -> bool:
    """Return whether this CPU computes gradients of weights slowly in channels_last memory."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


class _Convolution(torch.autograd.Function):
    """`conv2d` whose gradient of the weights is computed in PyTorch's default memory order."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        return F.conv2d(x, weight, bias, padding=padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, int], output: Tensor) -> None:
        x, weight, _, padding = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)
        ctx.padding = [padding, padding]

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dweight: Tensor | None, dbias: Tensor | None, _: None) -> Tensor:
        x, weight = ctx.saved_tensors
        dx, dweight = (torch.zeros_like(of) if each is None else each for each, of in ((dx, x), (dweight, weight)))
        return F.conv2d(dx, weight, padding=ctx.padding) + F.conv2d(x, dweight, dbias, padding=ctx.padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad

        def gradient(number: int, *factors: Tensor) -> Tensor | None:
            window = [1, 1], ctx.padding, [1, 1], False, [0, 0], 1
            mask = [number == each for each in range(3)]
            return torch.ops.aten.convolution_backward(*factors, None, *window, mask)[number] if needs[number] else None

        dbias = grad.sum((0, 2, 3)) if needs[2] else None  # oneDNN computes the weights' gradient for it as well
        ordered = (each.contiguous() for each in (grad, x, weight))
        return gradient(0, grad, x, weight), gradient(1, *ordered), dbias, None
