"""Upsampling convolutions, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import signature
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo.errors import ConfigError
from enerv_zoo.layers.activations import choose
from enerv_zoo.layers.convolution import Conv2d, conv2d
from enerv_zoo.layers.interpolation import is_exporting
from enerv_zoo.layers.quantisation import fake_quantised

Bias = bool | Literal["zero"]
"""Whether a convolution has a bias; `"zero"` for one that starts at 0."""


def check_kernel(kernel: int) -> None:
    """Refuse a kernel that has no middle, around which a convolution pads.

    Raises:
        ConfigError: it is even, or below 1.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigError(f"a kernel is odd, got {kernel}")


def plain_conv(in_channels: int, out_channels: int, kernel: int, bias: Bias = True) -> nn.Conv2d:
    """Return a convolution with "same" padding.

    Raises:
        ConfigError: its kernel is not odd.
    """
    check_kernel(kernel)
    conv = Conv2d(in_channels, out_channels, kernel, padding=(kernel - 1) // 2, bias=bool(bias))
    if bias == "zero" and conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class Conv(Conv2d):
    """conv k with "same" padding, whose numbers may be quantised while fitting (see `fake_quantised`)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        bias: bool = True,
        groups: int = 1,
        weight_bits: int = 32,
    ) -> None:
        check_kernel(kernel)
        if not 2 <= weight_bits <= 32:
            raise ConfigError(f"weights have 2 to 32 bits, got {weight_bits}")
        super().__init__(in_channels, out_channels, kernel, padding=(kernel - 1) // 2, groups=groups, bias=bias)
        self.weight_bits = weight_bits

    def numbers(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias as the convolution takes them."""
        bias = None if self.bias is None else fake_quantised(self.bias, self.weight_bits)
        return fake_quantised(self.weight, self.weight_bits), bias

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, *self.numbers())


class PixelShuffleConv(nn.Module):
    """conv k to out_channels stride^2 channels, then pixel shuffle."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        kernel: int = 3,
        bias: bool = True,
        weight_bits: int = 32,
    ) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels * stride**2, kernel, bias=bias, weight_bits=weight_bits)
        self.stride = stride

    @property
    def last(self) -> Conv:
        """The convolution that gives the values that are shuffled."""
        return self.conv

    def forward(self, x: Tensor) -> Tensor:
        return shuffled_conv(x, *self.conv.numbers(), self.stride) if self.stride > 1 else self.conv(x)


COMPACT_GROUPS = 8
COARSE_STRIDE = 5
"""The stride that FFNeRV's compact blocks leave to a plain convolution: that of its first stage."""


class CompactConv(nn.Module):
    """FFNeRV's compact upsampling: conv 3 in 8 groups, conv 1, pixel shuffle (Lee et al. 2023, 3.4).

    Where 8 does not divide the channels, as many groups as both have in common with it.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, bias: bool = True, weight_bits: int = 32
    ) -> None:
        super().__init__()
        inner = out_channels * stride**2
        groups = math.gcd(COMPACT_GROUPS, in_channels, inner)
        self.conv = Conv(in_channels, inner, 3, bias=bias, groups=groups, weight_bits=weight_bits)
        self.second = Conv(inner, inner, 1, bias=bias, weight_bits=weight_bits)
        self.stride = stride

    @property
    def last(self) -> Conv:
        """The convolution that gives the values that are shuffled."""
        return self.second

    def forward(self, x: Tensor) -> Tensor:
        return shuffled_conv(self.conv(x), *self.second.numbers(), self.stride)


def shuffled_conv(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """`pixel_shuffle(conv2d(x, weight, bias), stride)` with "same" padding, in channels_last memory.

    The shuffle moves single numbers that lie stride^2 apart. Here the filters are brought into another order first (few
    numbers), so that the convolution leaves the C channels of a pixel side by side and the shuffle moves whole runs of
    stride C numbers: several times quicker in bfloat16, and it stays channels_last.

    Shapes: (B, I, H, W), (C stride^2, I, k, k), (C stride^2,) -> (B, C, stride H, stride W).
    """
    padding = weight.shape[-1] // 2
    if is_exporting():  # other runtimes have the shuffle of single numbers as one operation
        return F.pixel_shuffle(F.conv2d(x, weight, bias, padding=padding), stride)
    filters = weight.permute(0, 2, 3, 1).unflatten(0, (-1, stride**2)).transpose(0, 1).flatten(0, 1)
    offsets = None if bias is None else bias.unflatten(0, (-1, stride**2)).transpose(0, 1).flatten()
    output = conv2d(x, filters.permute(0, 3, 1, 2), offsets, padding).permute(0, 2, 3, 1)
    rows = output.unflatten(-1, (stride, -1)).transpose(2, 3)  # (B, H, stride, W, stride C)
    return rows.flatten(1, 2).unflatten(-1, (stride, -1)).flatten(2, 3).permute(0, 3, 1, 2)


class BilinearConv(nn.Module):
    """Bilinear upsampling (corners aligned), then a conv of kernel 2 stride + 1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, bias: bool = True) -> None:
        super().__init__()
        self.conv = plain_conv(in_channels, out_channels, 2 * stride + 1, bias)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=self.stride, mode="bilinear", align_corners=True))


class TransposedConv(nn.Module):
    """Transposed conv whose kernel is its stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, stride, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


UPSAMPLING_DEFAULTS = {"kernel": 3, "weight_bits": 32}

UPSAMPLERS: dict[str, Callable[..., nn.Module]] = {
    "conv": PixelShuffleConv,
    "compact": CompactConv,
    "deconv": TransposedConv,
    "bilinear": BilinearConv,
}


def upsampler(
    name: str, in_channels: int, out_channels: int, stride: int, bias: bool = True, **options: int
) -> nn.Module:
    """The upsampling layer called `name`: conv (pixel shuffle), compact, deconv or bilinear.

    Args:
        name: of the layer. A stride of 5 is left to `conv` by `compact`.
        in_channels, out_channels, stride: of the layer.
        bias: whether its convolution has one.
        options: `kernel` of `conv`, odd (3 by default), and `weight_bits` of `conv` and `compact` (32).

    Shapes: (B, in_channels, H, W) -> (B, out_channels, stride H, stride W).
    """
    layer = choose("upsampling", UPSAMPLERS, name)
    layer = PixelShuffleConv if layer is CompactConv and stride == COARSE_STRIDE else layer
    changed = {key: value for key, value in options.items() if value != UPSAMPLING_DEFAULTS[key]}
    legal = signature(layer).parameters
    for option, value in changed.items():
        if option not in legal:
            raise ConfigError(f"upsampling {name!r} cannot have {option}={value}")
    return layer(in_channels, out_channels, stride, bias=bias, **changed)
