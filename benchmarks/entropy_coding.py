"""Bytes of a network's 8-bit weights against their empirical entropy, and the seconds that coding and decoding take.

python benchmarks/entropy_coding.py RUN       (a fit's folder or any name that `enerv_zoo.load` takes; else a network
as it is before a fit: --size 3M)
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from common import RESULTS, machine
from rich.console import Console

import enerv_zoo as ez
from enerv_zoo.files import write_json
from enerv_zoo.nvz import EncodedNetwork, QuantizedTensor, decode, encode


def coded(values: np.ndarray, bits: int) -> QuantizedTensor:
    """A tensor rounded to integers, one scale for all of it."""
    scale = np.asarray(np.abs(values).max() / (2 ** (bits - 1) - 1) + 1e-12, np.float32)
    return QuantizedTensor(np.rint(values / scale).astype(np.int32), scale)


def entropy_bytes(levels: np.ndarray) -> float:
    """Of each number, were the shares of the levels known for free."""
    counts = np.unique(levels, return_counts=True)[1]
    return float(counts @ np.log2(levels.size / counts)) / 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--size", default="3M")
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    case = parser.parse_args()
    torch.set_num_threads(1)
    new = {"frames": 132, "height": 720, "width": 1280, "size": case.size}
    video = ez.load(case.run) if case.run else ez.create_model("enerv", **new)
    weights = [(k, v.numpy()) for k, v in video.weights().items() if v.is_floating_point()]
    network = EncodedNetwork({}, {name: coded(values, case.bits) for name, values in weights})
    encoding, decoding = [], []
    for _ in range(case.rounds):
        start = time.perf_counter()
        data = encode([network])
        middle = time.perf_counter()
        again = decode(data).read(0)
        encoding.append(middle - start)
        decoding.append(time.perf_counter() - middle)
    if not all(np.array_equal(tensor.levels, again.tensors[name].levels) for name, tensor in network.tensors.items()):
        raise SystemExit("what was decoded is not what was encoded")
    sizes = decode(data).sizes
    entropy = sum(entropy_bytes(tensor.levels) for tensor in network.tensors.values())
    result = {
        "machine": machine("cpu"),
        "fitted": case.run is not None,
        "numbers": sum(tensor.levels.size for tensor in network.tensors.values()),
        "tensors": len(network.tensors),
        "bits": case.bits,
        "entropy_bytes": round(entropy),
        "coded_bytes": sizes.total - sizes.head,
        "models_bytes": sizes.models,
        "head_bytes": sizes.head,
        "over_entropy": round((sizes.total - sizes.head) / entropy - 1, 5),
        "file_over_entropy": round(sizes.total / entropy - 1, 5),
        "encode_seconds": round(min(encoding), 4),
        "decode_seconds": round(min(decoding), 4),
    }
    name = f"entropy_coding-{'fit' if case.run else case.size}-{case.bits}bit.json"
    write_json(RESULTS / name, result)
    Console().print(result)


if __name__ == "__main__":
    main()
