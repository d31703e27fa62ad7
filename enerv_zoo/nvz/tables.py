"""Frequency tables of integers, made by integer arithmetic alone, so that every machine has the same ones.

A table gives every level of an alphabet `low .. low + size - 1` a frequency of at least 1; they add up to 2^24.
`docs/nvz.md` says byte by byte how a table is written.
"""

from __future__ import annotations

import functools
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from enerv_zoo.errors import ConfigError

PRECISION = 24
"""Frequencies of a table add up to 2^24."""
MAX_LEVEL = 1 << 15
"""Levels are integers from -2^15 to 2^15."""

CONSTANT, LAPLACE, GAUSSIAN, TABLE = range(4)
TOP = 132
"""The code of the commonest level in a written table; a code less is a quarter of an octave less."""

IN_CACHE = 1 << 14
"""Frequencies that are computed at once."""

_HEAD = struct.Struct("<BiI")
_SHAPE = struct.Struct("<iBBH")
_TABLE = struct.Struct("<I")


@dataclass(frozen=True)
class FrequencyTable:
    """A distribution over integers.

    Attributes:
        data: the model as it is written.
        low: the smallest level.
        frequencies: int64 (size,) that add up to 2^24, each at least 1; size 1 is a constant and takes no stream.
    """

    data: bytes
    low: int
    frequencies: np.ndarray

    @functools.cached_property
    def family(self) -> object:
        """The coder's view of the table.

        It gives every symbol 1 and shares 2^24 - n among them in proportion to floating-point weights. Ours are
        integers below 2^24 that add up to just that, so no step of its arithmetic rounds.
        """
        import constriction  # only where something is coded

        weights = (self.frequencies - 1).astype(np.float64)
        return constriction.stream.model.Categorical(weights, perfect=False, lazy=False)


def best_table(levels: np.ndarray) -> FrequencyTable:
    """Return the table with which levels (int, any shape, not empty) and itself take the fewest bits."""
    return parse_table(_cheapest(levels)[1])[0]


def estimate_bits(levels: np.ndarray) -> float:
    """Estimate the bits that a tensor's levels take, table included, without coding them."""
    return _cheapest(levels)[0] if levels.size else 0.0


def least_bits(levels: np.ndarray) -> float:
    """Return bits that levels (not empty) take at least with any table: their entropy, and the head of a table."""
    counts = _counted(levels)[1]
    counts = counts[counts > 0]
    return float(counts @ (math.log2(counts.sum()) - np.log2(counts))) + 8 * _HEAD.size


def _counted(levels: np.ndarray) -> tuple[int, np.ndarray]:
    low = int(levels.min())
    return low, np.bincount(levels.reshape(-1).astype(np.int64) - low)


def _cheapest(levels: np.ndarray) -> tuple[float, bytes]:
    """Return the fewest bits that levels take with a table, itself included, and that table as it is written."""
    low, counts = _counted(levels)
    used = counts.nonzero()[0]
    best_of_each = []
    for tables, frequencies in _candidates(low, counts):
        bits = (PRECISION - np.log2(frequencies[:, used])) @ counts[used].astype(np.float64)
        best = int(bits.argmin())
        best_of_each.append((float(bits[best]) + 8 * len(tables[best]), tables[best]))
    return min(best_of_each, key=lambda each: each[0])


def _candidates(low: int, counts: np.ndarray) -> Iterator[tuple[list[bytes], np.ndarray]]:
    """Yield tables of equal length as they are written, and their frequencies (tables, levels)."""
    size = len(counts)
    if size == 1:
        yield [_HEAD.pack(CONSTANT, low, 1)], np.array([[1 << PRECISION]])
        return
    with np.errstate(divide="ignore"):  # of levels that do not occur
        logs = np.rint(TOP + 4 * np.log2(counts / counts.max()))
    codes = np.where(counts > 0, np.maximum(logs, 4), 0).astype(np.uint8)
    squeezed = zlib.compress(np.diff(codes, prepend=np.uint8(0)).tobytes(), 9, wbits=-15)
    yield [_HEAD.pack(TABLE, low, size) + _TABLE.pack(len(squeezed)) + squeezed], _coded(codes)
    shapes, values = [], np.arange(low, low + size)
    for zero in _zero_weights(low, counts):
        rest = counts * (values != 0) if zero else counts
        if not rest.any():
            continue
        centre = 0 if zero else min(max(round(float(values @ rest / rest.sum())), low), low + size - 1)
        for kind in (LAPLACE, GAUSSIAN):
            rates = _rates(kind, np.abs(values - centre), rest)
            shapes += [(kind, centre, m, x, zero) for m, x in rates]
    at_once = max(1, IN_CACHE // size)
    for some in (shapes[start : start + at_once] for start in range(0, len(shapes), at_once)):
        yield [_HEAD.pack(kind, low, size) + _SHAPE.pack(*shape) for kind, *shape in some], _shaped(low, size, some)


def _zero_weights(low: int, counts: np.ndarray) -> list[int]:
    """Return candidates for the share of zeros as a case of its own, in 65536ths; 0 for none."""
    if not low <= 0 < low + len(counts) or not counts[-low]:
        return [0]
    return [0, min(max(round(65536 * float(counts[-low] / counts.sum())), 1), 65000)]


def _rates(kind: int, distance: np.ndarray, counts: np.ndarray) -> list[tuple[int, int]]:
    """Decays near the one that fits best, as (m, x): 16 m / 2^x 256ths of a bit for each step of distance^kind."""
    moment = max(float(distance.astype(np.float64) ** kind @ counts / counts.sum()), 1e-3)
    bits = math.log2(1 + 1 / moment) if kind == LAPLACE else 1 / (2 * math.log(2) * moment)
    rates = []
    for scale in (0.7, 0.85, 1.0, 1.15):
        rate = min(bits * scale * 16, 255.0)
        x = min(max(math.floor(7 - math.log2(rate)) + 1, 0), 62)
        m = min(max(round(rate * 2.0**x), 1), 255)
        rates.append((m, x))
    return rates


def parse_table(data: bytes | memoryview) -> tuple[FrequencyTable, int]:
    """Read the table at the start of `data`, and return it and its length in bytes.

    Raises:
        ConfigError: no model is there.
    """
    try:
        kind, low, size = _HEAD.unpack_from(data)
        end = _HEAD.size
        if size < 1 or low < -MAX_LEVEL or low + size - 1 > MAX_LEVEL or (kind == CONSTANT) != (size == 1):
            raise ValueError(f"levels from {low}, {size} of them")
        if kind == CONSTANT:
            return FrequencyTable(bytes(data[:end]), low, np.array([1 << PRECISION])), end
        if kind in (LAPLACE, GAUSSIAN):
            shape = _SHAPE.unpack_from(data, end)
            end += _SHAPE.size
            (frequencies,) = _shaped(low, size, [(kind, *shape)])
        elif kind == TABLE:
            (length,) = _TABLE.unpack_from(data, end)
            start, end = end + _TABLE.size, end + _TABLE.size + length
            frequencies = _tabled(bytes(data[start:end]), length, size)
        else:
            raise ValueError(f"kind {kind}")
    except (struct.error, ValueError, zlib.error) as error:
        raise ConfigError(f"no probability model can be read ({error})") from error
    return FrequencyTable(bytes(data[:end]), low, frequencies), end


def _shaped(low: int, size: int, shapes: Sequence[tuple[int, int, int, int, int]]) -> np.ndarray:
    """Frequencies (shapes, size) that fall with the distance from a centre, or with its square."""
    kind, centre, m, x, zero = np.array(shapes, np.int64).T[..., None]
    outside = (centre < low) | (centre >= low + size) | (x > 62)
    if outside.any() or (zero.any() and not low <= 0 < low + size):
        raise ValueError(f"(kind, centre, m, x, zeros) are {shapes}")
    distance = np.abs(np.arange(low, low + size, dtype=np.int64) - centre)
    weights = _powers((np.where(kind == GAUSSIAN, distance * distance, distance) * (16 * m)) >> x)
    if zero.any():
        weights[zero[:, 0] > 0, -low] = 0
    if not weights.any(axis=1).all():
        raise ValueError("nothing but zeros is probable")
    frequencies = _normalised(weights, (1 << PRECISION) - 256 * zero)
    if zero.any():
        frequencies[:, -low] += 256 * zero[:, 0]
    return frequencies


def _tabled(squeezed: bytes, length: int, size: int) -> np.ndarray:
    """Frequencies that were written one by one, as differences of logarithms."""
    inflate = zlib.decompressobj(-15)
    steps = inflate.decompress(squeezed, size + 1)
    if len(squeezed) != length or len(steps) != size or not inflate.eof or inflate.unused_data:
        raise ValueError(f"a table of {len(steps)}, expected {size}")
    codes = np.cumsum(np.frombuffer(steps, np.uint8), dtype=np.uint8)
    if codes.max() > TOP or codes.max() < 4:
        raise ValueError(f"a code of {codes.max()}")
    return _coded(codes)[0]


def _coded(codes: np.ndarray) -> np.ndarray:
    """Frequencies (1, size) of the codes of logarithms, of which 0 stands for the lowest."""
    weights = np.where(codes > 0, _powers((TOP - codes.astype(np.int64)) * 64), 0)
    return _normalised(weights[None], 1 << PRECISION)


def _powers(exponents: np.ndarray) -> np.ndarray:
    """2^(32 - e / 256), rounded down, for integers e >= 0: int64."""
    return _roots()[exponents & 255] >> np.minimum(exponents >> 8, 40)


@functools.cache
def _roots() -> np.ndarray:
    """floor(2^(32 - i / 256)) for i from 0 to 255: exact, since square roots rounded down may be nested."""

    def root(i: int) -> int:
        power = 1 << (32 * 256 - i)
        for _ in range(8):
            power = math.isqrt(power)
        return power

    return np.array([root(i) for i in range(256)], np.int64)


def _normalised(weights: np.ndarray, total: int | np.ndarray) -> np.ndarray:
    """Frequencies in proportion to each row of weights (n, size), that add up to `total`, each at least 1."""
    size = weights.shape[1]
    if np.min(total) < size:
        raise ValueError(f"{size} levels share {np.min(total)}")
    frequencies = 1 + weights * (total - size) // weights.sum(axis=1, keepdims=True)
    missing = total - frequencies.sum(axis=1, keepdims=True)
    frequencies[np.arange(len(weights)), weights.argmax(axis=1)] += missing[:, 0]
    return frequencies
