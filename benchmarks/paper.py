"""The paper's Bunny recipe from start to end: 300 epochs of E-NeRV's 12.49 M at 1280x720, timed and measured.

Run it in bfloat16 and in float32 to see what the coarser numbers cost; a GPU takes minutes, a CPU days. What the clock
counts is all that `enerv-zoo fit` does but for importing PyTorch: reading the clip, every step, measuring every frame.

    python benchmarks/paper.py --precision bfloat16
    python benchmarks/paper.py --epochs 1 --frames 0:2 --size 60K --resize 64x36    # a try
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import machine, peak_megabytes, write_result

import enerv_zoo as ez
from enerv_zoo.machine import choose_device

SCORES = (
    "psnr", "ms_ssim", "bpp", "stored_numbers", "epochs", "batch_size", "precision", "fit_seconds",
    "fit_frames_per_second", "fps", "recoveries",
)  # fmt: skip


def measured(case: dict[str, Any], out: Path, resume: bool = False) -> dict[str, Any]:
    """Fit the clip into a folder; returns the scores and the time of it.

    Args:
        case: options of `enerv_zoo.fit`; those that are `None` are left out.
        out: the folder.
        resume: go on with the fit in it.
    """
    options: dict[str, Any] = {name: value for name, value in case.items() if value is not None}
    start = time.perf_counter()
    fitted = ez.fit("bunny", out=out, resume=resume, **options)
    seconds = time.perf_counter() - start
    return {
        **{name: fitted.metrics[name] for name in SCORES},
        "seconds": round(seconds, 2),
        "peak_megabytes": peak_megabytes(case["device"]),
        "psnr_over_epochs": [round(row["psnr"], 3) for row in fitted.history],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="enerv-bunny")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--epochs", type=int, help="by default the recipe's")
    parser.add_argument("--size", help="of the network; by default the paper's")
    parser.add_argument("--frames", help="such as 0:53; by default all")
    parser.add_argument("--resize", help="WIDTHxHEIGHT; by default the clip's own")
    parser.add_argument("--seed", type=int, default=0)
    case = vars(parser.parse_args())
    case["device"] = choose_device(case["device"])
    with tempfile.TemporaryDirectory() as folder:
        result = measured(case, Path(folder) / "fit")
    for name, value in result.items():
        if name != "psnr_over_epochs":
            print(f"{name:>24} {value}")
    device = case["device"] if case["device"] != "cpu" else f"cpu{torch.get_num_threads()}"
    name = "-".join(["paper", device, case["recipe"], result["precision"]])
    write_result(name, case, {"benchmark": "paper", "machine": machine(case["device"]), **result})


if __name__ == "__main__":
    main()
