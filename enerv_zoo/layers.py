"""Layers that several parts share: activations, normalisations, MLPs, encodings, attention, upsampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from inspect import signature
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.precision import at_least_float32


class Sine(nn.Module):
    """sin(frequency * x)."""

    def __init__(self, frequency: float = 1.0) -> None:
        super().__init__()
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * x)


class _Sigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(at_least_float32(x))


class _Tanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (torch.tanh(at_least_float32(x)) + 1) / 2


class _Offset(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(x) + self.offset


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "leaky": lambda: nn.LeakyReLU(0.01),
    "leaky01": lambda: nn.LeakyReLU(0.1),
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "sin": Sine,
    "sin30": lambda: Sine(30.0),
    "softplus": nn.Softplus,
    "swish": nn.SiLU,
}

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: InstanceNorm(),
}

OUTPUTS: dict[str, Callable[[], nn.Module]] = {"sigmoid": _Sigmoid, "tanh": _Tanh}

Entry = TypeVar("Entry")


def _choose(kind: str, table: dict[str, Entry], name: str) -> Entry:
    if name not in table:
        raise ConfigError(f"unknown {kind} {name!r}.{did_you_mean(str(name), table)} Known: {', '.join(table)}")
    return table[name]


def activation(name: str) -> nn.Module:
    """The activation called `name` (a key of `ACTIVATIONS`)."""
    return _choose("activation", ACTIVATIONS, name)()


def norm(name: str, channels: int) -> nn.Module:
    """The normalisation called `name`: none, batch (affine, running statistics) or instance (no affine)."""
    return _choose("norm", NORMS, name)(channels)


def output(name: str | float) -> nn.Module:
    """What maps a head's numbers to [0, 1], in float32.

    Args:
        name: `"sigmoid"`, `"tanh"` for (tanh + 1) / 2, or a number to add (frames may then leave [0, 1]).
    """
    return _Offset(name) if isinstance(name, (int, float)) else _choose("output", OUTPUTS, name)()


def mlp(widths: Sequence[int], activation_name: str) -> nn.Sequential:
    """MLP[d0, d1, ..., dn]: linear layers, each followed by the activation, the last one too.

    Shapes: (..., d0) -> (..., dn). A single width gives the identity.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation(activation_name)]
    return nn.Sequential(*layers)


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


ORDERS = ("interleaved", "split")

AUTHORS_POWERS = {(1.25, 45): 22958.873046875}
"""Powers base^level that differ from the nearest float32 where `split` comes from: there the processor's own power of
float32 tensors made them, and checkpoints hold what was fitted to that."""


class FrequencyEncoding(nn.Module):
    """A scalar p to sin(p base^l pi), cos(p base^l pi) for l = 0 .. levels - 1 (Chen et al. 2021, 3.1).

    The top level of base 1.25 and 80 levels is 1.4e8 rad, where neighbouring float32 numbers are more than a turn
    apart. So the order of the roundings is part of the network, and is kept in float32 even under autocast:

    - `interleaved` (NeRV, E-NeRV) computes (p * base^l) * pi and gives sin0 cos0 sin1 cos1 ...
    - `split` (HNeRV's code base, Boosting-NeRV) computes p * (base^l * pi) and gives all sines, then all cosines.

    Shapes: (...) float32 -> (..., 2 levels) float32.
    """

    def __init__(self, base: float, levels: int, order: str = "interleaved") -> None:
        super().__init__()
        if levels < 1 or base <= 0:
            raise ConfigError(f"a frequency encoding needs base > 0 and levels >= 1, got {base} and {levels}")
        if order not in ORDERS:
            raise ConfigError(f"the order of an encoding is one of {', '.join(ORDERS)}, got {order!r}")
        self.width = 2 * levels
        self.split = order == "split"
        known = AUTHORS_POWERS if self.split else {}
        exact = [known.get((base, level), float(base) ** level) for level in range(levels)]
        powers = torch.tensor(exact, dtype=torch.float64, device="cpu").float()
        if not torch.isfinite(powers).all():
            raise ConfigError(f"base {base} to the power {levels - 1} leaves float32; use fewer levels")
        self.register_buffer("powers", powers * torch.pi if self.split else powers, persistent=False)
        self.powers: Tensor

    def forward(self, p: Tensor) -> Tensor:
        argument = p.float().unsqueeze(-1) * self.powers.float()
        if self.split:
            return torch.cat((argument.sin(), argument.cos()), dim=-1)
        argument = argument * torch.pi
        return torch.stack((argument.sin(), argument.cos()), dim=-1).flatten(-2)


class TransformerBlock(nn.Module):
    """x = attention(x) + x; x = ffn(x) + x, without normalisation (Li et al. 2022, 3.2).

    Args:
        width: D, numbers a token.
        heads, head_dim: attention heads and the width of each.
        mlp_dim: hidden width of the feed-forward part.

    Shapes: (B, tokens, D) -> (B, tokens, D).
    """

    def __init__(self, width: int, heads: int, head_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.out = nn.Identity() if heads == 1 and head_dim == width else nn.Linear(inner, width)
        self.ffn = nn.Sequential(nn.Linear(width, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # written out: on a CPU the fused kernel rounds otherwise, which the stages after it amplify past 2e-6
        attention = torch.softmax((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5, dim=-1)
        x = self.out((attention @ v).transpose(1, 2).flatten(-2)) + x
        return self.ffn(x) + x


def fake_quantised(x: Tensor, bits: int) -> Tensor:
    """Numbers as they are with 32 bits; else squeezed to (-1, 1) and cut down to `bits`, sign included.

    tanh, then towards zero to a multiple of 1 / (2^(bits - 1) - 1) (Lee et al. 2023, 3.4). The gradient passes the
    rounding as if it were not there.
    """
    if bits >= 32:
        return x
    steps = 2 ** (bits - 1) - 1
    squeezed = torch.tanh(x)
    rounded = (squeezed.detach().abs() * steps).floor() / steps * squeezed.detach().sign()
    return rounded + (squeezed - squeezed.detach())


class Conv(nn.Conv2d):
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

    def forward(self, x: Tensor) -> Tensor:
        return shuffled_conv(self.conv(x), *self.second.numbers(), self.stride)


def shuffled_conv(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """`pixel_shuffle(conv2d(x, weight, bias), stride)` with "same" padding, in channels_last memory.

    The shuffle moves single numbers that lie stride^2 apart. Here the filters are brought into another order first (few
    numbers), so that the convolution leaves the C channels of a pixel side by side and the shuffle moves whole runs of
    stride C numbers: several times quicker in bfloat16, and it stays channels_last.

    Shapes: (B, I, H, W), (C stride^2, I, k, k), (C stride^2,) -> (B, C, stride H, stride W).
    """
    filters = weight.permute(0, 2, 3, 1).unflatten(0, (-1, stride**2)).transpose(0, 1).flatten(0, 1)
    offsets = None if bias is None else bias.unflatten(0, (-1, stride**2)).transpose(0, 1).flatten()
    drawn = F.conv2d(x, filters.permute(0, 3, 1, 2), offsets, padding=weight.shape[-1] // 2).permute(0, 2, 3, 1)
    rows = drawn.unflatten(-1, (stride, -1)).transpose(2, 3)  # (B, H, stride, W, stride C)
    return rows.flatten(1, 2).unflatten(-1, (stride, -1)).flatten(2, 3).permute(0, 3, 1, 2)


class BilinearConv(nn.Module):
    """Bilinear upsampling (corners aligned), then a conv of kernel 2 stride + 1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 2 * stride + 1, padding=stride, bias=bias)
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
    layer = _choose("upsampling", UPSAMPLERS, name)
    layer = PixelShuffleConv if layer is CompactConv and stride == COARSE_STRIDE else layer
    given = {key: value for key, value in options.items() if value != UPSAMPLING_DEFAULTS[key]}
    legal = signature(layer).parameters
    for option, value in given.items():
        if option not in legal or (option == "kernel" and value % 2 == 0):
            raise ConfigError(f"upsampling {name!r} cannot have {option}={value}")
    return layer(in_channels, out_channels, stride, bias=bias, **given)


UPSAMPLING_DEFAULTS = {"kernel": 3, "weight_bits": 32}
