"""What a fit loses and saves: bits, pruning and tuning, beside the same tuning without any rounding.

python benchmarks/compression.py runs/bunny --epochs 10
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, write_result
from rich.console import Console
from rich.table import Table

import enerv_zoo as ez
from enerv_zoo.compression import compress
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.nvz import QuantizedTensor, decode, encode, open_nvz
from enerv_zoo.storage import open_run

CASES: dict[str, dict[str, Any]] = {
    "8 bits": {"bits": 8},
    "8 bits, a scale per channel": {"bits": 8, "scales": "channel"},
    "6 bits": {"bits": 6},
    "6 bits, a scale per channel": {"bits": 6, "scales": "channel"},
    "6 bits, tuned": {"bits": 6, "tune": True},
    "40 % pruned, 8 bits": {"bits": 8, "prune": 0.4},
    "40 % pruned, 8 bits, tuned": {"bits": 8, "prune": 0.4, "tune": True},
    "at most 0.2 dB less": {"max_psnr_drop": 0.2},
    "6 bits, tuned with a rate": {"bits": 6, "tune": True, "rate_weight": 0.03},
}


def control(run: str, epochs: int, lr: float) -> float:
    """PSNR after the same tuning with nothing rounded and nothing pruned: what the epochs alone are worth."""
    video, original = ez.load(run), open_run(run).original()
    record = json.loads((Path(run) / "fit.json").read_text())["fit"]
    recipe = FitConfig(
        epochs=epochs, lr=lr, warmup=0.1, loss=record["loss"], batch_size=record["batch_size"], betas=record["betas"]
    )
    fitter = Fitter(video, FrameLoader(original.frames), recipe)
    while not fitter.done:
        fitter.fit_epoch()
    video.eval()
    return ez.evaluate(video, original).psnr


def coding(path: Path) -> dict[str, float]:
    """Bytes of the coded tensors against the entropy of their levels, and seconds to encode and decode the file."""
    network = open_nvz(path).read(0)
    bits = 0.0
    for tensor in network.tensors.values():
        if isinstance(tensor, QuantizedTensor):
            _, counts = np.unique(tensor.levels, return_counts=True)
            bits -= float((counts * np.log2(counts / counts.sum())).sum())
    start = time.perf_counter()
    data = encode([network])
    encoded = time.perf_counter()
    decode(data).read(0)
    return {
        "entropy_bytes": round(bits / 8),
        "encode_seconds": round(encoded - start, 4),
        "decode_seconds": round(time.perf_counter() - encoded, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a fit's folder")
    parser.add_argument("--epochs", type=int, default=10, help="of tuning")
    parser.add_argument("--lr", type=float, default=5e-4)
    case = vars(parser.parse_args())
    rows: dict[str, Any] = {}
    table = Table("", "bytes", "times smaller", "PSNR (dB)", "against the fit")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in CASES.items():
            given = dict(options)
            tuning = {"tune_epochs": case["epochs"], "lr": case["lr"]} if given.pop("tune", False) else {}
            path = Path(folder) / "case.nvz"
            made = compress(case["run"], path, device="cpu", **given, **tuning)
            rows[name] = {
                "bytes": made.bytes, "ratio": made.ratio, "psnr": made.psnr, "psnr_before": made.psnr_before,
                "seconds": made.seconds, **coding(path),
            }  # fmt: skip
            change = made.psnr - made.psnr_before
            table.add_row(name, f"{made.bytes:,}", f"{made.ratio:.2f}", f"{made.psnr:.2f}", f"{change:+.2f}")
    tuned = control(case["run"], case["epochs"], case["lr"])
    video = ez.load(case["run"])
    info = video.info
    shape = f"{info.frames} frames of {info.size_text}"
    case["run"] = f"{video.config.family}, {video.stored_numbers:,} parameters, {shape}"
    Console().print(table, f"tuned without rounding: {tuned:.2f} dB")
    result = {"benchmark": "compression", "machine": machine("cpu"), "rows": rows, "control_psnr": tuned}
    write_result(f"compression-cpu{torch.get_num_threads()}-{video.config.family}", case, result)


if __name__ == "__main__":
    main()
