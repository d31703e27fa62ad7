"""Does a segment profit from its predecessor's weights? The same segment, fitted from fresh ones and from those.

The first half of a clip is fitted, then the second half twice: from fresh weights, and from those of the first half. A
second pair has another video before the segment, as behind a cut. Equal epochs; means over seeds.

    python benchmarks/warm_start.py --epochs 10,30,90
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, write_result
from flight import flight

import enerv_zoo as ez
from enerv_zoo.machine import tune_process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", default="10,30,90")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="enerv")
    parser.add_argument("--size", default="0.35M")
    parser.add_argument("--frames", type=int, default=24, help="of a segment")
    parser.add_argument("--resolution", default="128x72")
    case = vars(parser.parse_args())
    torch.set_num_threads(1)
    tune_process()
    count, (width, height) = case["frames"], map(int, case["resolution"].split("x"))
    first, second = (
        ez.open_video("bunny", frames=f"{start}:{start + count}", resize=(height, width)) for start in (40, 40 + count)
    )
    other = ez.open_video(np.stack(list(flight(count, height, width))))
    rows = []
    for epochs in map(int, case["epochs"].split(",")):
        found: dict[str, list[float]] = {"fresh": [], "same scene": [], "other scene": []}
        rolled_back = 0
        for seed in range(case["seeds"]):
            how: dict[str, Any] = {
                "model": case["model"], "size": case["size"], "epochs": epochs, "seed": seed, "batch_size": 2,
                "lr": 3e-3, "loss": "L2", "precision": "float32", "device": "cpu",
            }  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                starts = {"fresh": None, "same scene": Path(folder) / "same", "other scene": Path(folder) / "other"}
                ez.fit(first, out=starts["same scene"], **how)
                ez.fit(other, out=starts["other scene"], **how)
                for name, start in starts.items():
                    result = ez.fit(second, init_from=start, **how)
                    found[name].append(result.metrics["psnr"])
                    rolled_back += len(result.metrics["recoveries"])
        row = {"epochs": epochs, "recoveries": rolled_back}
        row |= {name: round(statistics.mean(psnr), 3) for name, psnr in found.items()} | {"each": found}
        rows.append(row)
        print(row, flush=True)
    write_result("warm_start-cpu1", case, {"benchmark": "warm_start", "machine": machine("cpu"), "rows": rows})


if __name__ == "__main__":
    main()
