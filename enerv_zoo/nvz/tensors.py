"""A tensor as integers, and as bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

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
    model = best_table(levels)
    return model.data, _encode(levels.reshape(-1), model)


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
    return _decode(stream, model, math.prod(shape)).reshape(shape)


def _family(model: FrequencyTable) -> object:
    """Return the coder's view of a table.

    It gives every symbol 1 and shares 2^24 - n among them in proportion to floating-point weights. Ours are
    integers below 2^24 that add up to just that, so no step of its arithmetic rounds.
    """
    import constriction  # only where something is coded

    return constriction.stream.model.Categorical((model.frequencies - 1).astype(np.float64), perfect=False, lazy=False)


def _encode(levels: np.ndarray, model: FrequencyTable) -> bytes:
    if len(model.frequencies) == 1:
        return b""
    import constriction

    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(levels - np.int32(model.low), _family(model))
    return coder.get_compressed().astype("<u4").tobytes()


def _decode(stream: memoryview, model: FrequencyTable, count: int) -> np.ndarray:
    if len(model.frequencies) == 1:
        if len(stream):
            raise ConfigError("a constant tensor has a stream")
        return np.full(count, model.low, np.int32)
    import constriction

    if len(stream) % 4:
        raise ConfigError(f"a stream of {len(stream)} bytes is no row of 32-bit words")
    try:
        coder = constriction.stream.stack.AnsCoder(np.frombuffer(stream, "<u4").astype(np.uint32))
        symbols = coder.decode(_family(model), count)
    except (ValueError, AssertionError) as error:
        raise ConfigError(f"a stream cannot be decoded ({error})") from error
    if not coder.is_empty():
        raise ConfigError("a stream is longer than its tensor")
    return symbols + np.int32(model.low)
