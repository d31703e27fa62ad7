"""A tensor as integers, and as bytes."""

from __future__ import annotations

import math
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
        scale: float32, the step: one number (), or (n,) along `axis`.
        axis: of the tensor that `scale` runs along, or `None`.
        entropy_model: name and options of the one that codes it; `None` for the built-in one.

    Raises:
        ConfigError: types, shapes or values are others.
    """

    levels: np.ndarray
    scale: np.ndarray
    axis: int | None = None
    entropy_model: Spec | None = None

    def __post_init__(self) -> None:
        shape = self.levels.shape
        if self.levels.dtype != np.int32 or self.scale.dtype != np.float32:
            raise ConfigError(f"levels are int32 and scales float32, got {self.levels.dtype} and {self.scale.dtype}")
        if self.axis is not None and not 0 <= self.axis < len(shape):
            raise ConfigError(f"scales run along axis {self.axis}, which a tensor {shape} has not")
        expected = () if self.axis is None else (shape[self.axis],)
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


def pack_quantized(tensor: QuantizedTensor) -> tuple[bytes, bytes]:
    """Return a tensor's scales and probability model, and its levels as a stream."""
    table, stream = code_levels(tensor.levels)
    return np.ascontiguousarray(tensor.scale, "<f4").tobytes() + table, stream


def code_levels(levels: np.ndarray) -> tuple[bytes, bytes]:
    """Return the best table for levels, and the levels as a stream; of an empty tensor, nothing."""
    if not levels.size:
        return b"", b""
    table = best_table(levels)
    return table.data, write_stream([(levels.reshape(-1), table)])


def unpack_quantized(side: memoryview, stream: memoryview, shape: tuple[int, ...], axis: int | None) -> QuantizedTensor:
    """Return the tensor that `pack_quantized` packed.

    Raises:
        ConfigError: the bytes are no such tensor.
    """
    scale, table = scales_of(side, shape, axis)
    return QuantizedTensor(decode_levels(table, stream, shape), scale, axis)


def scales_of(side: memoryview, shape: tuple[int, ...], axis: int | None) -> tuple[np.ndarray, memoryview]:
    """Return the scales at the beginning of a tensor's side piece, and what follows them.

    Raises:
        ConfigError: there are fewer.
    """
    count = 1 if axis is None else shape[axis]
    if len(side) < 4 * count:
        raise ConfigError(f"{len(side)} bytes hold no {count} scales")
    scale = np.frombuffer(side[: 4 * count], "<f4").astype(np.float32).reshape(() if axis is None else (count,))
    return scale, side[4 * count :]


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


def laplace_bits(values: Tensor) -> Tensor:
    """Return the bits of values in steps under a Laplace distribution of their mean magnitude m: n log2(1 + 2 e m)."""
    return values.numel() * torch.log2(1 + 2 * math.e * values.abs().mean()) if values.numel() else values.sum()


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
