"""A second decoder, from `docs/format.md` alone: plain Python, slow, none of the package's code."""

from __future__ import annotations

import functools
import json
import math
import struct
import zlib


def inflate(data: bytes) -> bytes:
    return zlib.decompress(data, -15)


@functools.cache
def root(part: int) -> int:
    power = 1 << (8192 - part)
    for _ in range(8):
        power = math.isqrt(power)
    return power


def power(exponent: int) -> int:
    return 0 if exponent // 256 >= 40 else root(exponent % 256) >> (exponent // 256)


def frequencies(model: bytes) -> tuple[int, list[int]]:
    kind, low, size = struct.unpack_from("<BiI", model)
    rest = model[9:]
    zero = 0
    if kind == 0:
        return low, [1 << 24]
    if kind == 3:
        (length,) = struct.unpack_from("<I", rest)
        code, weights = 0, []
        for step in inflate(rest[4 : 4 + length]):
            code = (code + step) % 256
            weights.append(power(64 * (132 - code)) if code else 0)
    else:
        centre, m, x, zero = struct.unpack("<iBBH", rest)
        weights = [power((16 * m * abs(k - centre) ** kind) >> x) for k in range(low, low + size)]
    total = (1 << 24) - 256 * zero
    if zero:
        weights[-low] = 0
    whole = sum(weights)
    found = [1 + w * (total - size) // whole for w in weights]
    found[weights.index(max(weights))] += total - sum(found)
    if zero:
        found[-low] += 256 * zero
    return low, found


def levels(stream: bytes, low: int, found: list[int], count: int) -> list[int]:
    words = list(struct.unpack(f"<{len(stream) // 4}I", stream))
    state = 0
    for _ in range(min(2, len(words))):
        state = (state << 32) + words.pop()
    out = []
    for _ in range(count):
        q, before, symbol = state % (1 << 24), 0, 0
        while q >= before + found[symbol]:
            before += found[symbol]
            symbol += 1
        state = (state >> 24) * found[symbol] + q - before
        while state < 1 << 32 and words:
            state = (state << 32) + words.pop()
        out.append(low + symbol)
    assert not words
    assert state == 0
    return out


def single(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]


def read(data: bytes) -> list[tuple[dict, dict[str, tuple[list[int], list]]]]:
    """Each network's description, and of each tensor its shape and numbers in row-major order."""
    assert data[:8] == bytes.fromhex("894E565A0D0A1A0A")
    version, _, squeezed, length, crc = struct.unpack_from("<HHIII", data, 8)
    assert version == 1
    assert zlib.crc32(data[:20] + data[24 : 24 + squeezed]) == crc
    text = inflate(data[24 : 24 + squeezed])
    assert len(text) == length
    at, networks = 24 + squeezed, []
    for network in json.loads(text)["networks"]:
        start, tensors = at, {}
        for entry in network["tensors"]:
            side, stream = data[at : at + entry["bytes"][0]], data[at + entry["bytes"][0] : at + sum(entry["bytes"])]
            at += sum(entry["bytes"])
            tensors[entry["name"]] = (entry["shape"], numbers(entry, side, stream))
        assert zlib.crc32(data[start:at]) == network["crc32"]
        networks.append((network["description"], tensors))
    assert at == len(data)
    return networks


def numbers(entry: dict, side: bytes, stream: bytes) -> list:
    shape, count = entry["shape"], math.prod(entry["shape"])
    if "dtype" in entry:
        code = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "U8": "B", "BOOL": "?"}[entry["dtype"]]
        return list(struct.unpack(f"<{count}{code}", stream))
    axis = entry["axis"]
    scales = struct.unpack_from(f"<{1 if axis is None else shape[axis]}f", side)
    if not count:
        return []
    low, found = frequencies(side[4 * len(scales) :])
    whole = [low] * count if len(found) == 1 else levels(stream, low, found, count)
    inner = 1 if axis is None else math.prod(shape[axis + 1 :])
    return [single(k * scales[i // inner % len(scales)]) for i, k in enumerate(whole)]
