"""A tensor as integers, and as bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.config import Spec
from enerv_zoo.errors import ConfigError
from enerv_zoo.nvz.tables import MAX_LEVEL, FrequencyTable, best_table, parse_table

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
"""Types of values that are stored as they are, by safetensors' names for them."""


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor of integers that mean multiples of a step.

    Attributes:
        levels: int32, the tensor's shape, from -2^15 to 2^15.
        scale: float32, the step: one number (), or (n,) along `axis`; with `along`, the tensor's shape with sides of 1
            along those axes, of values that `stored_scales` returns.
        axis: of the tensor that `scale` runs along, or `None`.
        entropy_model: name and options of the one that codes it; `None` for the built-in one.
        along: axes along which a scale per slice is the same, rising; none for other scales.

    Raises:
        ConfigError: types, shapes or values are others.
    """

    levels: np.ndarray
    scale: np.ndarray
    axis: int | None = None
    entropy_model: Spec | None = None
    along: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shape = self.levels.shape
        if self.levels.dtype != np.int32 or self.scale.dtype != np.float32:
            raise ConfigError(f"levels are int32 and scales float32, got {self.levels.dtype} and {self.scale.dtype}")
        if self.axis is not None and not 0 <= self.axis < len(shape):
            raise ConfigError(f"scales run along axis {self.axis}, which a tensor {shape} has not")
        expected = scales_shape(shape, self.axis, self.along)
        if self.scale.shape != expected:
            raise ConfigError(f"scales have the shape {self.scale.shape}, expected {expected}")
        if not np.isfinite(self.scale).all():
            raise ConfigError("scales hold infinite numbers or NaN")
        if self.levels.size and max(-int(self.levels.min()), int(self.levels.max())) > MAX_LEVEL:
            raise ConfigError(f"levels are integers from -{MAX_LEVEL} to {MAX_LEVEL}")

    def values(self) -> np.ndarray:
        """Return the values, float32: each is one float32 product, so the same bits on every machine."""
        scale = self.scale
        if self.axis is not None:
            scale = scale.reshape([-1 if axis == self.axis else 1 for axis in range(self.levels.ndim)])
        with np.errstate(over="ignore"):
            return self.levels.astype(np.float32) * scale

    def scale_bytes(self) -> bytes:
        """Return the scales as a file has them."""
        if not self.along:
            return np.ascontiguousarray(self.scale, "<f4").tobytes()
        exponent = scale_exponent(self.scale)
        return struct.pack("<b", exponent) + np.ldexp(self.scale, -exponent).astype("<f2").tobytes()


def scales_shape(shape: tuple[int, ...], axis: int | None, along: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a tensor's scales."""
    if along:
        return tuple(1 if number in along else size for number, size in enumerate(shape))
    return () if axis is None else (shape[axis],)


def scale_exponent(scale: np.ndarray) -> int:
    """Return the power of two that scales per slice share: the largest one is then below 2^15."""
    largest = float(scale.max(initial=0))
    return max(math.frexp(largest)[1] - 15, -128) if largest > 0 else 0


def stored_scales(scale: np.ndarray) -> np.ndarray:
    """Round scales per slice, positive and finite, to what a file holds: halves times a power of two."""
    exponent = scale_exponent(scale)
    return np.ldexp(np.ldexp(scale, -exponent).astype(np.float16).astype(np.float32), exponent)


def code_levels(levels: np.ndarray) -> tuple[bytes, bytes]:
    """Return the best table for levels, and the levels as a stream; of an empty tensor, nothing."""
    if not levels.size:
        return b"", b""
    table = best_table(levels)
    return table.data, write_stream([(levels.reshape(-1), table)])


def scales_of(
    side: memoryview, shape: tuple[int, ...], axis: int | None, along: tuple[int, ...]
) -> tuple[np.ndarray, memoryview]:
    """Return the scales at the beginning of a tensor's side piece, and what follows them.

    Raises:
        ConfigError: there are fewer.
    """
    expected = scales_shape(shape, axis, along)
    count = math.prod(expected)
    size = 1 + 2 * count if along else 4 * count
    if len(side) < size:
        raise ConfigError(f"{len(side)} bytes hold no {count} scales")
    if along:
        (exponent,) = struct.unpack_from("<b", side)
        scale = np.ldexp(np.frombuffer(side[1:size], "<f2").astype(np.float32), exponent)
    else:
        scale = np.frombuffer(side[:size], "<f4").astype(np.float32)
    return scale.reshape(expected), side[size:]


def decode_levels(table: memoryview, stream: memoryview, shape: tuple[int, ...]) -> np.ndarray:
    """Return the levels that `code_levels` coded.

    Raises:
        ConfigError: the bytes are no such levels.
    """
    if math.prod(shape) == 0:
        if len(table) or len(stream):
            raise ConfigError("an empty tensor has bytes")
        return np.zeros(shape, np.int32)
    model, used = parse_table(table)
    if used != len(table):
        raise ConfigError("bytes are left over after a probability model")
    reader = StreamReader(stream)
    levels = reader.read(model, math.prod(shape)).reshape(shape)
    reader.end()
    return levels


def laplace_bits(values: Tensor, axis: int | None = None) -> Tensor:
    """Return the bits of values in steps under a Laplace distribution of their mean magnitude m: n log2(1 + 2 e m).

    Args:
        values: of any shape.
        axis: each place along it has a distribution of its own; by default there is one.
    """
    if not values.numel():
        return values.sum()
    means = values.abs().mean([dim for dim in range(values.ndim) if dim != axis])
    return values.numel() / means.numel() * torch.log2(1 + 2 * math.e * means).sum()


def write_stream(runs: Iterable[tuple[np.ndarray, FrequencyTable]]) -> bytes:
    """Return runs of levels, each with its table, as one stream; `StreamReader` reads them in the same order."""
    import constriction  # only where something is coded

    coder = constriction.stream.stack.AnsCoder()
    for levels, table in reversed(list(runs)):
        if len(table.frequencies) > 1:
            coder.encode_reverse((levels - table.low).astype(np.int32), table.family)
    return coder.get_compressed().astype("<u4").tobytes()


class StreamReader:
    """Reader of a stream that `write_stream` wrote.

    Raises:
        ConfigError: the bytes are no stream.
    """

    def __init__(self, stream: memoryview) -> None:
        import constriction

        if len(stream) % 4:
            raise ConfigError(f"a stream of {len(stream)} bytes is no row of 32-bit words")
        try:
            self._coder = constriction.stream.stack.AnsCoder(np.frombuffer(stream, "<u4").astype(np.uint32))
        except (ValueError, AssertionError) as error:
            raise ConfigError(f"a stream cannot be decoded ({error})") from error

    def read(self, table: FrequencyTable, count: int) -> np.ndarray:
        """Return the next levels, int32 (count,).

        Raises:
            ConfigError: the stream is over, or damaged.
        """
        if len(table.frequencies) == 1:
            return np.full(count, table.low, np.int32)
        try:
            return self._coder.decode(table.family, count) + np.int32(table.low)
        except (ValueError, AssertionError) as error:
            raise ConfigError(f"a stream cannot be decoded ({error})") from error

    def end(self) -> None:
        """Check that the stream is over.

        Raises:
            ConfigError: it is longer.
        """
        if not self._coder.is_empty():
            raise ConfigError("a stream is longer than its tensor")
