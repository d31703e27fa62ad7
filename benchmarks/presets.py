"""How good PCA-NeRV's presets are after how many seconds: fits of the bundled clip by the command line, with all cores.

For a machine that does nothing else. Rows of the result file are kept, and those of the same fit replaced.

    python benchmarks/presets.py          # 22 minutes
    python benchmarks/presets.py --first 2
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import decoded_per_second, machine, read_result, with_row, write_result

import enerv_zoo as ez

FITS = (
    ("quick", "256x144", "0.5M", ("--epochs", "15")),
    ("quick", "256x144", "0.5M", ("--epochs", "50")),
    ("quick", "256x144", "0.5M", ("--time-budget", "10m")),
    ("balanced", "640x360", "2M", ("--time-budget", "10m")),
)
"""Preset, frames, stored parameters, and how long."""

KEYS = ("preset", "frame", "size", "asked")


def measured(preset: str, frame: str, size: str, asked: tuple[str, ...], out: Path) -> dict[str, Any]:
    """Fit by the command line, and return what came of it; `seconds` are from the command's start to its end."""
    words = ["fit", "bunny", "--preset", preset, "--resize", frame, "--size", size, *asked, "--yes"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "enerv_zoo", *words, "--out", str(out), "--no-report"], check=True)
    seconds = time.perf_counter() - start
    metrics = json.loads((out / "metrics.json").read_text())
    with (out / "frames.csv").open() as file:
        worst = min(float(row["psnr"]) for row in csv.DictReader(file))
    chosen = ("stored_numbers", "frames", "epochs", "batch_size", "fit_seconds", "psnr", "precision")
    return {
        **dict(zip(KEYS, (preset, frame, size, " ".join(asked)), strict=True)),
        **{name: metrics[name] for name in chosen},
        "worst": round(worst, 2),
        "seconds": round(seconds, 1),
        "decode": decoded_per_second(ez.load(out).optimize(inductor=False), time.perf_counter),
        "recoveries": len(metrics["recoveries"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=len(FITS), help="fits to do")
    case = vars(parser.parse_args())
    name = f"presets-cpu{torch.get_num_threads()}"
    rows = read_result(name).get("rows", [])
    with tempfile.TemporaryDirectory() as folder:
        for number, fit in enumerate(FITS[: case["first"]]):
            row = measured(*fit, Path(folder) / str(number))
            rows = with_row(rows, row, KEYS)
            write_result(name, {}, {"benchmark": "presets", "machine": machine("cpu"), "rows": rows})
            print(row, flush=True)


if __name__ == "__main__":
    main()
