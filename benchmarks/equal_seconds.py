"""Quality against processor seconds: fits of recipes at several lengths, each in a process of its own, on one thread.

    python benchmarks/equal_seconds.py --clips bunny flight --fits quick-enerv:18 quick:8,15,60

Seconds are those of the process for a whole fit, evaluation and closed-form start included, so other
programs on the machine hardly matter.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import torch
from common import machine, write_result
from flight import flight

import enerv_zoo as ez
from enerv_zoo.machine import tune_process

FRAMES, HEIGHT, WIDTH = 132, 144, 256


def clip(name: str) -> Any:
    if name == "flight":
        return ez.open_video(np.stack(list(flight(FRAMES, HEIGHT, WIDTH))))
    return ez.open_video(name, frames=f":{FRAMES}", resize=f"{WIDTH}x{HEIGHT}")


def fit(name: str, recipe: str, epochs: int, seed: int) -> dict[str, Any]:
    """In a process of its own: fit, and say what it took."""
    torch.set_num_threads(1)
    tune_process()
    original = clip(name)
    before = time.process_time()
    options = {"resize": f"{WIDTH}x{HEIGHT}", "epochs": epochs, "seed": seed}
    result = ez.fit(original, recipe=recipe, size="0.5M", progress=False, **options)
    seconds = time.process_time() - before
    video = result.video.optimize(inductor=False)
    for _ in range(2):  # the second time is warm
        start = time.process_time()
        count = sum(len(batch) for batch in video.decode())
        rate = count / (time.process_time() - start)
    return {
        "clip": name,
        "recipe": recipe,
        "model": result.metrics["model"],
        "stored": result.metrics["stored_numbers"],
        "epochs": epochs,
        "seconds": round(seconds, 1),
        "psnr": round(result.report.psnr, 3),
        "worst": round(min(row.scores["psnr"] for row in result.report.frames), 2),
        "decode": round(rate, 1),
        "precision": result.metrics["precision"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", default=["bunny", "flight"])
    parser.add_argument("--fits", nargs="+", default=["quick-enerv:18", "quick:8,15,60"], help="RECIPE:EPOCHS,EPOCHS")
    parser.add_argument("--seed", type=int, default=0)
    case = parser.parse_args()
    rows = []
    for name in case.clips:
        for recipe, lengths in (each.split(":") for each in case.fits):
            for epochs in map(int, lengths.split(",")):
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                    rows.append(process.submit(fit, name, recipe, epochs, case.seed).result())
                print(rows[-1], flush=True)
    key = f"equal_seconds-cpu1-{HEIGHT}"
    write_result(key, vars(case), {"benchmark": "equal_seconds", "machine": machine("cpu"), "rows": rows})


if __name__ == "__main__":
    main()
