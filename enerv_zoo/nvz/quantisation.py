"""Quantisation of a network's parameters: bits and scales of each tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.coding import CodingHint
from enerv_zoo.errors import ConfigError
from enerv_zoo.network import Network
from enerv_zoo.nvz.tables import MAX_LEVEL
from enerv_zoo.nvz.tensors import QuantizedTensor, stored_scales

LEAST_BITS, MOST_BITS = 2, 16
VECTOR_BITS = 12
"""Bits of biases and other vectors: they are few, and every pixel depends on each."""

VALUES_PER_SCALE = 64
"""A scale costs four bytes, so it serves at least so many values."""

Scales = Literal["tensor", "channel", "slice"]
"""Scales of a tensor: one, one per output channel, or one per place along all axes but the longest."""

MAX_SCALES = 0.05
"""Scales of slices are fewer than this part of a tensor's values (Kwan et al. 2023, code)."""

MOST_APART = 4
"""Levels between the two nearest magnitudes of a tensor that is recognised as levels, at the most: few values."""

SLICE_EPS = 1e-6
"""Added to scales of slices."""


@dataclass(frozen=True)
class QuantSpec:
    """The levels that a tensor is rounded to.

    Attributes:
        bits: of a level, an integer or not: the largest value is level 2^(bits - 1) - 1, rounded.
        axis: along which scales differ, or `None` for one scale.
        along: HiNeRV's scales (Kwan et al. 2023): the axes along which each is the same, none for one scale, and
            levels from -2^(bits - 1) to 2^(bits - 1) - 1; `None` for others.
        sizes: of a level, one, one per place along `axis`, or one per slice in row-major order; `None` where they
            follow from bits and largest value.
    """

    bits: float
    axis: int | None = None
    along: tuple[int, ...] | None = None
    sizes: tuple[float, ...] | None = None


QuantSpecs = Mapping[str, QuantSpec]
"""The levels of each coded tensor, by its name in the state dict."""


def codable(video: Network) -> dict[str, Tensor]:
    """Return the tensors that are coded: all parameters that a file holds; statistics are stored as they are."""
    return {name: parameter.detach() for name, parameter in video.stored_parameters().items()}


def check_bits(bits: Any) -> None:
    """Refuse a number of bits that is out of range.

    Raises:
        ConfigError: it is no integer, fewer than 2 bits, or more than 16.
    """
    if not isinstance(bits, int) or not LEAST_BITS <= bits <= MOST_BITS:
        raise ConfigError(f"weights are coded in {LEAST_BITS} to {MOST_BITS} bits, got {bits!r:.40}")


def uniform_specs(video: Network, bits: int, per: Scales = "tensor") -> dict[str, QuantSpec]:
    """Return the same bits for every matrix and convolution, and at least `VECTOR_BITS` for vectors.

    Raises:
        ConfigError: fewer than 2 bits, or more than 16; scales per something else.
    """
    check_bits(bits)
    if per not in get_args(Scales):
        raise ConfigError(f"a scale is per {' or '.join(get_args(Scales))}, got {per!r}")
    hints, tensors = video.coding_hints(), codable(video)
    if per == "slice":
        return {
            name: QuantSpec(max(bits, VECTOR_BITS))
            if hints[name].kind == "bias"
            else QuantSpec(bits, along=slice_axes(hints[name], tensor))
            for name, tensor in tensors.items()
        }
    return {
        name: QuantSpec(
            max(bits, VECTOR_BITS) if hints[name].kind == "bias" else bits,
            channel_axis(hints[name], tensor) if per == "channel" else None,
        )
        for name, tensor in tensors.items()
    }


def channel_axis(hint: CodingHint, tensor: Tensor) -> int | None:
    """Return the axis along which a part says that scales may differ; `None` where a scale would serve few values."""
    if hint.axis is None:
        return None
    return hint.axis if tensor.numel() // tensor.shape[hint.axis] >= VALUES_PER_SCALE else None


def slice_axes(hint: CodingHint, tensor: Tensor) -> tuple[int, ...]:
    """Return the axes along which a slice has one scale: the longest of the hint's groups; none where all are short."""
    groups = hint.slices or tuple((axis,) for axis in range(tensor.ndim))
    lengths = [math.prod(tensor.shape[axis] for axis in group) for group in groups]
    longest = max(lengths)
    return groups[lengths.index(longest)] if tensor.numel() / longest < MAX_SCALES * tensor.numel() else ()


def steps(tensor: Tensor, spec: QuantSpec) -> Tensor:
    """Return the size of a level, by which the largest value is the highest level, never 0.

    Its shape is () or (n,); for slices it is the tensor's, with sides of 1 along them.
    """
    if spec.sizes is not None:
        sizes = torch.tensor(spec.sizes, dtype=torch.float32, device=tensor.device)
        if spec.along:
            return sizes.view([1 if axis in spec.along else size for axis, size in enumerate(tensor.shape)])
        return sizes if spec.axis is not None else sizes.squeeze(0)
    if spec.along is not None:
        dims = spec.along or tuple(range(tensor.ndim))
        return 2 * tensor.abs().amax(dim=dims, keepdim=True) / (2**spec.bits - 1) + SLICE_EPS
    levels = round(2 ** (spec.bits - 1)) - 1
    others = tuple(i for i in range(tensor.ndim) if i != spec.axis)
    largest = tensor.abs().amax(dim=others) if spec.axis is not None else tensor.abs().max()
    return torch.where(largest > 0, largest / levels, torch.ones_like(largest)).float()


def spread(step: Tensor, tensor: Tensor, axis: int | None) -> Tensor:
    """Shape steps (n,) along an axis of a tensor so that they divide it."""
    return step if axis is None else step.view([-1 if i == axis else 1 for i in range(tensor.ndim)])


def levels_of(tensor: Tensor, spec: QuantSpec) -> tuple[Tensor, Tensor]:
    """Return a tensor's levels, integers as floats, and the size of a level, which broadcasts against them."""
    step = spread(steps(tensor, spec), tensor, spec.axis)
    levels = (tensor / step).round()
    if spec.along is None or spec.sizes is not None:
        return levels, step
    half = 2 ** (spec.bits - 1)
    return levels.clamp(-half, half - 1), step


def rounded(tensor: Tensor, spec: QuantSpec) -> Tensor:
    """Return a tensor with the values that it has once it is coded."""
    levels, step = levels_of(tensor, spec)
    return levels * (torch.from_numpy(stored_scales(step.cpu().numpy())).to(step.device) if spec.along else step)


def coded(tensor: Tensor, spec: QuantSpec) -> QuantizedTensor:
    """Return a tensor as integers, for the file."""
    tensor = tensor.detach().cpu()
    levels, step = levels_of(tensor, spec)
    integers = np.ascontiguousarray(levels.to(torch.int32).numpy())
    if spec.along:
        return QuantizedTensor(integers, stored_scales(step.numpy()), along=spec.along)
    scale = step.reshape(()) if spec.axis is None else step.flatten()
    return QuantizedTensor(integers, scale.numpy(), spec.axis)


def exact_spec(tensor: Tensor, hint: CodingHint) -> QuantSpec | None:
    """Return the levels of a tensor whose values are levels already, so that coding loses nothing; `None` for others.

    They have one size, one per place along an axis, or one per slice.
    """
    values = tensor.detach().cpu().numpy()
    for axis in dict.fromkeys((None, channel_axis(hint, tensor))):
        parts = [values] if axis is None else list(np.moveaxis(values, axis, 0))
        sizes: list[float] = []
        for part in parts:
            size = _level_size(np.unique(np.abs(part)))
            if size is None:
                break
            sizes.append(size)
        else:
            highest = max(float(np.abs(part).max()) / size for part, size in zip(parts, sizes, strict=True))
            return QuantSpec(_bits_of(highest), axis, sizes=tuple(sizes))
    along = () if hint.kind == "bias" else slice_axes(hint, tensor)
    return _exact_slices(values, along) if along else None


def _bits_of(highest: float) -> float:
    """Return the bits of levels up to a highest one."""
    bits = round(math.log2(highest + 1) + 1, 2)
    return int(bits) if bits == int(bits) else bits


def _exact_slices(values: np.ndarray, along: tuple[int, ...]) -> QuantSpec | None:
    """Return the levels per slice that values are: multiples of sizes whose 11 bits a file holds; `None` for others."""
    others = [axis for axis in range(values.ndim) if axis not in along]
    lines = np.abs(values.astype(np.float64).transpose(*others, *along))
    lines = lines.reshape(math.prod(values.shape[axis] for axis in others), -1)
    exponents = np.frexp(lines.max(axis=1))[1] - 26  # of a unit in which a level below 2^15 times 11 bits is an integer
    integers = np.ldexp(lines, -exponents[:, None])
    if (integers % 1).any():
        return None
    common = np.gcd.reduce(integers.astype(np.int64), axis=1).astype(np.float64)
    if (integers.max(axis=1) > MAX_LEVEL * common).any():
        return None
    sizes = common.copy()
    for divisor in range(2, MAX_LEVEL + 1):  # levels may have a factor in common: a size times it takes more bits
        long = np.ldexp(np.frexp(sizes)[0], 11) % 1 != 0
        if not long.any():
            break
        sizes[long] = common[long] / divisor
    sizes = np.ldexp(sizes, exponents)
    sizes[sizes == 0] = sizes.max()  # of zeros alone
    highest = float((lines / sizes[:, None]).max())
    if highest > MAX_LEVEL or not np.array_equal(stored_scales(sizes.astype(np.float32)), sizes):
        return None
    return QuantSpec(_bits_of(highest), along=along, sizes=tuple(map(float, sizes)))


def _level_size(magnitudes: np.ndarray) -> float | None:
    """Return the float32 of which magnitudes (n,), rising, are the multiples that a file decodes; `None` for others."""
    magnitudes = magnitudes[magnitudes > 0]
    if not len(magnitudes):
        return 1.0
    least = float(np.diff(magnitudes.astype(np.float64), prepend=0).min())
    candidates = (_as_multiples(magnitudes, least / levels) for levels in range(1, MOST_APART + 1))
    return next((size for size in candidates if size is not None), None)


def _as_multiples(magnitudes: np.ndarray, size: float) -> float | None:
    """Return the float32 near a size of which magnitudes are multiples, or `None`."""
    exact = magnitudes.astype(np.float64)
    for highest in (64, MAX_LEVEL):  # the lowest ones make the size exact enough to count the levels of others
        near = exact[exact <= highest * size]
        if not len(near):
            return None
        size = near[-1] / round(near[-1] / size)
    middle = np.float32(size)
    for step in (middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf))):
        levels = np.rint(exact / step)
        if levels[-1] <= MAX_LEVEL and (levels.astype(np.float32) * step == magnitudes).all():
            return float(step)
    return None
