"""Frequency tables of integers, made by integer arithmetic alone, so that every machine has the same ones.

A table gives every level of an alphabet `low .. low + size - 1` a frequency of at least 1; they add up to 2^24.
`docs/nvz.md` says byte by byte how a table is written.
"""

from __future__ import annotations

import functools
import math
import struct
import zlib
from collections.abc import Iterator
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

    def bits(self, counts: np.ndarray) -> float:
        """Bits that a tensor takes whose levels occur `counts` (size,) times, the model's own among them."""
        used = counts > 0
        return float(counts[used] @ (PRECISION - np.log2(self.frequencies[used]))) + 8 * len(self.data)


def best_table(levels: np.ndarray) -> FrequencyTable:
    """Return the table with which levels (int, any shape, not empty) and itself take the fewest bits."""
    low, counts = _counted(levels)
    return min(_candidates(low, counts), key=lambda model: model.bits(counts))


def estimate_bits(levels: np.ndarray) -> float:
    """Estimate the bits that a tensor's levels take, table included, without coding them."""
    if not levels.size:
        return 0.0
    low, counts = _counted(levels)
    return min(model.bits(counts) for model in _candidates(low, counts))


def _counted(levels: np.ndarray) -> tuple[int, np.ndarray]:
    low = int(levels.min())
    return low, np.bincount(levels.reshape(-1).astype(np.int64) - low)


def _candidates(low: int, counts: np.ndarray) -> Iterator[FrequencyTable]:
    if len(counts) == 1:
        yield parse_table(_HEAD.pack(CONSTANT, low, 1))[0]
        return
    head = (low, len(counts))
    codes = np.zeros(len(counts), np.uint8)
    used = counts > 0
    codes[used] = np.clip(np.rint(TOP + 4 * np.log2(counts[used] / counts.max())), 4, TOP)
    squeezed = zlib.compress(np.diff(codes, prepend=np.uint8(0)).tobytes(), 9, wbits=-15)
    yield parse_table(_HEAD.pack(TABLE, *head) + _TABLE.pack(len(squeezed)) + squeezed)[0]
    values = np.arange(low, low + len(counts))
    for zero in _zero_weights(low, counts):
        rest = counts * (values != 0) if zero else counts
        if not rest.any():
            continue
        centre = 0 if zero else int(np.clip(round(float(values @ rest / rest.sum())), low, low + len(counts) - 1))
        for kind in (LAPLACE, GAUSSIAN):
            for rate in _rates(kind, np.abs(values - centre), rest):
                yield parse_table(_HEAD.pack(kind, *head) + _SHAPE.pack(centre, *rate, zero))[0]


def _zero_weights(low: int, counts: np.ndarray) -> list[int]:
    """Return candidates for the share of zeros as a case of its own, in 65536ths; 0 for none."""
    if not low <= 0 < low + len(counts) or not counts[-low]:
        return [0]
    return [0, int(np.clip(round(65536 * float(counts[-low] / counts.sum())), 1, 65000))]


def _rates(kind: int, distance: np.ndarray, counts: np.ndarray) -> list[tuple[int, int]]:
    """Decays near the one that fits best, as (m, x): 16 m / 2^x 256ths of a bit for each step of distance^kind."""
    moment = max(float(distance.astype(np.float64) ** kind @ counts / counts.sum()), 1e-3)
    bits = math.log2(1 + 1 / moment) if kind == LAPLACE else 1 / (2 * math.log(2) * moment)
    rates = []
    for scale in (0.7, 0.85, 1.0, 1.15):
        rate = min(bits * scale * 16, 255.0)
        x = int(np.clip(math.floor(7 - math.log2(rate)) + 1, 0, 62))
        m = int(np.clip(round(rate * 2.0**x), 1, 255))
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
            frequencies = _shaped(kind, low, size, *shape)
        elif kind == TABLE:
            (length,) = _TABLE.unpack_from(data, end)
            start, end = end + _TABLE.size, end + _TABLE.size + length
            frequencies = _tabled(bytes(data[start:end]), length, size)
        else:
            raise ValueError(f"kind {kind}")
    except (struct.error, ValueError, zlib.error) as error:
        raise ConfigError(f"no probability model can be read ({error})") from error
    return FrequencyTable(bytes(data[:end]), low, frequencies), end


def _shaped(kind: int, low: int, size: int, centre: int, m: int, x: int, zero: int) -> np.ndarray:
    """Frequencies that fall with the distance from a centre, or with its square."""
    if not low <= centre < low + size or x > 62 or (zero and not low <= 0 < low + size):
        raise ValueError(f"centre {centre}, rate {m} / 2^{x}, zeros {zero}")
    distance = np.abs(np.arange(low, low + size, dtype=np.int64) - centre)
    weights = _powers((distance**kind * (16 * m)) >> x)
    if not zero:
        return _normalised(weights, 1 << PRECISION)
    weights[-low] = 0
    if not weights.any():
        raise ValueError("nothing but zeros is probable")
    frequencies = _normalised(weights, (1 << PRECISION) - 256 * zero)
    frequencies[-low] += 256 * zero
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
    return _normalised(np.where(codes > 0, _powers((TOP - codes.astype(np.int64)) * 64), 0), 1 << PRECISION)


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


def _normalised(weights: np.ndarray, total: int) -> np.ndarray:
    """Frequencies in proportion to weights, that add up to `total`, each at least 1."""
    size, weight = len(weights), int(weights.sum())
    if total < size:
        raise ValueError(f"{size} levels share {total}")
    frequencies = 1 + weights * (total - size) // weight
    frequencies[int(weights.argmax())] += total - int(frequencies.sum())
    return frequencies
