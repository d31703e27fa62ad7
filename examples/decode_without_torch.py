"""Decode frames of a `.nvz` file with numpy, constriction and onnxruntime, without PyTorch.

    enerv-zoo compress runs/bunny bunny.nvz --embed-graph
    python decode_without_torch.py bunny.nvz 0 66.5 131

The format is that of docs/nvz.md; each frame becomes a picture, `frame-66.5.ppm`.
"""

import json
import math
import struct
import sys
import zlib
from pathlib import Path

import constriction
import numpy as np
import onnxruntime

AnsCoder, Categorical = constriction.stream.stack.AnsCoder, constriction.stream.model.Categorical


def root(part: int) -> int:
    power = 1 << (8192 - part)
    for _ in range(8):
        power = math.isqrt(power)
    return power


ROOTS = np.array([root(part) for part in range(256)])


def power(exponents: np.ndarray) -> np.ndarray:
    return ROOTS[exponents % 256] >> np.minimum(exponents // 256, 40)


def read_model(data: bytes) -> tuple:
    """Return the lowest level, the coder's model (`None` where all levels are alike), and the bytes read."""
    kind, low, size = struct.unpack_from("<BiI", data)
    if kind == 0:
        return low, None, 9
    zero, end = 0, 17
    if kind == 3:
        end = 13 + struct.unpack_from("<I", data, 9)[0]
        steps = np.frombuffer(zlib.decompress(data[13:end], -15), np.uint8)
        codes = np.cumsum(steps, dtype=np.uint8).astype(np.int64)
        weights = np.where(codes > 0, power(64 * (132 - codes)), 0)
    else:
        centre, m, x, zero = struct.unpack_from("<iBBH", data, 9)
        weights = power(16 * m * np.abs(np.arange(low, low + size) - centre) ** kind >> x)
    if zero:
        weights[-low] = 0
    total = (1 << 24) - 256 * zero
    frequencies = 1 + weights * (total - size) // weights.sum()
    frequencies[weights.argmax()] += total - frequencies.sum()
    if zero:
        frequencies[-low] += 256 * zero
    return low, Categorical((frequencies - 1).astype(np.float64), perfect=False, lazy=False), end


def open_stream(data: bytes) -> AnsCoder:
    return AnsCoder(np.frombuffer(data, "<u4").astype(np.uint32))


def read_levels(coder: AnsCoder, model: tuple, count: int) -> np.ndarray:
    low, family, _ = model
    return low + (np.zeros(count, np.int32) if family is None else coder.decode(family, count))


def read_temporal(data: bytes, shape: tuple) -> np.ndarray:
    steps, channels, rows, columns = *(*shape, 1, 1, 1)[:3], math.prod(shape[3:])
    if not shape or steps > 65536:
        steps, channels, rows, columns = 1, 1, 1, math.prod(shape)
    weights = np.frombuffer(data, np.int8, channels).astype(np.int64)[:, None, None]
    (present,) = struct.unpack_from("<I", data, channels)
    data, models = data[channels + 4 :], {}
    for k in range(20):
        if present >> k & 1:
            models[k] = read_model(data)
            data = data[models[k][2] :]
    coder, levels = open_stream(data), np.zeros((steps + 1, channels, rows, columns), np.int64)
    before = earlier = levels[0]
    for step in range(1, steps + 1):
        size = np.pad(np.abs(before), ((0, 0), (1, 1), (1, 1)))
        beside = size[:, :-2, 1:-1] + size[:, 2:, 1:-1] + size[:, 1:-1, :-2] + size[:, 1:-1, 2:]
        activity = 2 * np.abs(before) + beside + 2 * np.abs(earlier)
        classes = np.searchsorted(2 ** np.arange(20), (activity + 1) ** 2, "right") - 1
        earlier, before = before, np.zeros_like(before)
        for k, model in models.items():
            before[classes == k] = read_levels(coder, model, int((classes == k).sum()))
        levels[step] = before + (weights * levels[step - 1] + 32) // 64
    return levels[1:]


def read_tensor(entry: dict, side: bytes, stream: bytes) -> np.ndarray:
    shape = tuple(entry["shape"])
    if dtype := entry.get("dtype"):
        kind = {"F": "<f", "I": "<i", "U": "<u", "B": "?"}[dtype[0]]
        return np.frombuffer(stream, kind if dtype == "BOOL" else f"{kind}{int(dtype[1:]) // 8}").reshape(shape)
    axis, along, count = entry["axis"], entry.get("along", []), math.prod(shape)
    sides = [size if number == axis or (along and number not in along) else 1 for number, size in enumerate(shape)]
    size = 1 + 2 * math.prod(sides) if along else 4 * math.prod(sides)
    if along:
        scales = np.ldexp(np.frombuffer(side[1:size], "<f2").astype(np.float32), np.frombuffer(side, np.int8, 1))
    else:
        scales = np.frombuffer(side[:size], "<f4")
    if "entropy_model" in entry:
        assert entry["entropy_model"] == {"name": "temporal"}, f"no entropy model {entry['entropy_model']} here"
        levels = read_temporal(stream, shape)
    else:
        levels = read_levels(open_stream(stream), read_model(side[size:]), count) if count else np.zeros(0)
    return levels.reshape(shape).astype(np.float32) * scales.reshape(sides)


def read_nvz(data: bytes) -> tuple[dict, list[bytes]]:
    """Return the head, and the bytes of each network and of each section."""
    magic, version, _, squeezed, _, _ = struct.unpack_from("<8sHHIII", data)
    assert magic == b"\x89NVZ\r\n\x1a\n", "this is no .nvz file"
    assert version <= 4, f"this is a file of version {version}, versions 1 to 4 are read here"
    head, at, pieces = json.loads(zlib.decompress(data[24 : 24 + squeezed], -15)), 24 + squeezed, []
    for entry in [*head["networks"], *head.get("sections", [])]:
        size = entry["bytes"] if "bytes" in entry else sum(sum(tensor["bytes"]) for tensor in entry["tensors"])
        pieces.append(data[at : at + size])
        at += size
        assert zlib.crc32(pieces[-1]) == entry["crc32"], "the file is damaged"
    return head, pieces


def open_network(head: dict, pieces: list[bytes], number: int) -> onnxruntime.InferenceSession:
    """Return what decodes the frames of a network: its graph, with the file's tensors as weights."""
    tensors, data, count = {}, pieces[number], len(head["networks"])
    for entry in head["networks"][number]["tensors"]:
        side, stream = entry["bytes"]
        tensors[entry["name"]] = read_tensor(entry, data[:side], data[side : side + stream])
        data = data[side + stream :]
    graphs = {section["name"]: piece for section, piece in zip(head.get("sections", []), pieces[count:], strict=True)}
    assert f"onnx-graph-{number}" in graphs, "the file has no graph; compress with --embed-graph"
    options = onnxruntime.SessionOptions()
    weights = {name: np.array(tensor) for name, tensor in tensors.items() if tensor.dtype == np.float32}
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    return onnxruntime.InferenceSession(zlib.decompress(graphs[f"onnx-graph-{number}"]), options)


def main(path: str, *indices: str) -> None:
    head, pieces = read_nvz(Path(path).read_bytes())
    firsts = [segment["first"] for segment in (head["whole"] or {"segments": [{"first": 0}]})["segments"]]
    sessions = {}
    for index in indices:
        number = max(number for number, first in enumerate(firsts) if first <= float(index))
        if number not in sessions:
            sessions[number] = open_network(head, pieces, number)
        frames = sessions[number].run(None, {"index": np.array([float(index) - firsts[number]])})[0]
        picture = frames[0].transpose(1, 2, 0)  # (H, W, 3), uint8
        size = f"P6 {picture.shape[1]} {picture.shape[0]} 255\n".encode()
        Path(f"frame-{index}.ppm").write_bytes(size + picture.tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
