"""A second decoder, from `docs/nvz.md` alone: plain Python, slow, none of the package's code."""

from __future__ import annotations

import functools
import itertools
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
        centre, m, x, zero = struct.unpack_from("<iBBH", rest)
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


class Words:
    def __init__(self, stream: bytes) -> None:
        self.words = list(struct.unpack(f"<{len(stream) // 4}I", stream))
        self.state = 0
        for _ in range(min(2, len(self.words))):
            self.state = (self.state << 32) + self.words.pop()

    def level(self, low: int, found: list[int]) -> int:
        if len(found) == 1:
            return low
        q, before, symbol = self.state % (1 << 24), 0, 0
        while q >= before + found[symbol]:
            before += found[symbol]
            symbol += 1
        self.state = (self.state >> 24) * found[symbol] + q - before
        while self.state < 1 << 32 and self.words:
            self.state = (self.state << 32) + self.words.pop()
        return low + symbol

    def end(self) -> None:
        assert not self.words
        assert self.state == 0


def levels(stream: bytes, low: int, found: list[int], count: int) -> list[int]:
    words = Words(stream)
    out = [words.level(low, found) for _ in range(count)]
    words.end()
    return out


def length(model: bytes) -> int:
    return {0: 9, 1: 17, 2: 17}.get(model[0]) or 13 + struct.unpack_from("<I", model, 9)[0]


def temporal(stream: bytes, shape: list[int]) -> list[int]:
    steps, channels, rows = (*shape[:3], 1, 1, 1)[:3]
    columns = math.prod(shape[3:])
    if not shape or steps > 65536:
        steps, channels, rows, columns = 1, 1, 1, math.prod(shape)
    weights = struct.unpack_from(f"<{channels}b", stream)
    (present,) = struct.unpack_from("<I", stream, channels)
    at, models = channels + 4, {}
    for k in range(20):
        if present >> k & 1:
            models[k] = frequencies(stream[at:])
            at += length(stream[at:])
    words = Words(stream[at:])
    places = list(itertools.product(range(channels), range(rows), range(columns)))
    out, differences = [], []

    def size(back: int, *place: int) -> int:
        return abs(differences[-back].get(place, 0)) if back <= len(differences) else 0

    for _ in range(steps):
        classes = {}
        for c, y, x in places:
            beside = size(1, c, y - 1, x) + size(1, c, y + 1, x) + size(1, c, y, x - 1) + size(1, c, y, x + 1)
            activity = 2 * size(1, c, y, x) + beside + 2 * size(2, c, y, x)
            classes[c, y, x] = max(k for k in range(20) if (activity + 1) ** 2 >= 2**k)
        difference = {place: words.level(*models[k]) for k in sorted(models) for place in places if classes[place] == k}
        predicted = {p: (weights[p[0]] * out[-1][p] + 32) // 64 for p in places} if out else dict.fromkeys(places, 0)
        out.append({place: predicted[place] + difference[place] for place in places})
        differences.append(difference)
    words.end()
    return [step[place] for step in out for place in places]


def single(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]


def read(data: bytes) -> list[tuple[dict, dict[str, tuple[list[int], list]]]]:
    """Each network's description, and of each tensor its shape and numbers in row-major order."""
    return read_all(data)[0]


def read_all(data: bytes) -> tuple[list, dict[str, tuple[str, bytes]]]:
    """The networks, and each section's media type and data by its name."""
    assert data[:8] == bytes.fromhex("894E565A0D0A1A0A")
    version, _, squeezed, length, crc = struct.unpack_from("<HHIII", data, 8)
    assert version in (1, 2, 3, 4)
    assert zlib.crc32(data[:20] + data[24 : 24 + squeezed]) == crc
    text = inflate(data[24 : 24 + squeezed])
    assert len(text) == length
    head, at, networks, sections = json.loads(text), 24 + squeezed, [], {}
    for network in head["networks"]:
        start, tensors = at, {}
        for entry in network["tensors"]:
            side, stream = data[at : at + entry["bytes"][0]], data[at + entry["bytes"][0] : at + sum(entry["bytes"])]
            at += sum(entry["bytes"])
            tensors[entry["name"]] = (entry["shape"], numbers(entry, side, stream))
        assert zlib.crc32(data[start:at]) == network["crc32"]
        networks.append((network["description"], tensors))
    assert "sections" in head if version == 3 else "sections" not in head or version == 4
    assert any("along" in entry for network in head["networks"] for entry in network["tensors"]) == (version == 4)
    for entry in head.get("sections", []):
        sections[entry["name"]] = (entry["media_type"], data[at : at + entry["bytes"]])
        assert zlib.crc32(sections[entry["name"]][1]) == entry["crc32"]
        at += entry["bytes"]
    assert at == len(data)
    return networks, sections


def numbers(entry: dict, side: bytes, stream: bytes) -> list:
    shape, count = entry["shape"], math.prod(entry["shape"])
    if "dtype" in entry:
        code = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "U8": "B", "BOOL": "?"}[entry["dtype"]]
        return list(struct.unpack(f"<{count}{code}", stream))
    scale, size = scales(entry, side)
    if not count:
        return []
    if "entropy_model" in entry:
        assert entry["entropy_model"] == {"name": "temporal"}
        whole = temporal(stream, shape)
    else:
        low, found = frequencies(side[size:])
        whole = [low] * count if len(found) == 1 else levels(stream, low, found, count)
    places = itertools.product(*(range(size) for size in shape))
    return [single(k * scale[place]) for place, k in zip(places, whole, strict=True)]


def scales(entry: dict, side: bytes) -> tuple[dict, int]:
    """The scale of each place, and the bytes that scales take."""
    shape, axis, along = entry["shape"], entry["axis"], entry.get("along")
    varies = [axis == number if along is None else number not in along for number in range(len(shape))]
    count = math.prod(size for size, does in zip(shape, varies, strict=True) if does)
    if along is None:
        values, size = struct.unpack_from(f"<{count}f", side), 4 * count
    else:
        (exponent,), size = struct.unpack_from("<b", side), 1 + 2 * count
        values = [half * 2.0**exponent for half in struct.unpack_from(f"<{count}e", side, 1)]
    order = itertools.product(*(range(size) if does else [0] for size, does in zip(shape, varies, strict=True)))
    numbered = dict(zip(order, values, strict=True))
    places = itertools.product(*(range(size) for size in shape))
    return {p: numbered[tuple(i * does for i, does in zip(p, varies, strict=True))] for p in places}, size
