"""Quality against processor seconds: families on several clips, fitted for chosen times on one thread each.

A fit is a process of its own. A whole schedule is fitted, the closed-form start included, of as many epochs as the
committed result has; of a new one, a shorter fit tells what an epoch costs. If it took much more or less than the
seconds, it is fitted twice more at most; further seeds have the epochs of the first. Seconds are the process's own;
where a fit is the committed one again, to the last digit, the faster of both counts, as other programs slow fits down.
A clip is a sample's name, a file, or `flight`, which is computed (`flight.py`). A network is a family's name, or a YAML
file that says its own size. Rows of the result file are kept, so an interrupted run can go on.

    python benchmarks/time_to_psnr.py --clips bunny flight bikes.mp4 --models pca_nerv enerv hnerv --seconds 30 300
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import torch
from common import IMAGES, decoded_per_second, machine, read_result, write_result
from flight import flight
from older import git

import enerv_zoo as ez
from enerv_zoo.machine import tune_process
from enerv_zoo.summary import summarize

T = TypeVar("T")
FRAMES, HEIGHT, WIDTH = 132, 144, 256
KEYS = ("clip", "model", "budget", "seed")
MOST_OFF = 0.15
TRIES = 3
"""A fit that is off its seconds by more than this part is fitted again; of so many, the nearest counts."""


class Clock(ez.Callback):
    """Processor and wall-clock seconds since the start of a fit, and PSNR while fitting, after every epoch."""

    def __init__(self) -> None:
        self.start = time.process_time(), time.perf_counter()
        self.marks: list[tuple[float, float, float]] = []

    def on_epoch(self, fitter: Any, row: dict[str, Any]) -> None:
        lap = time.process_time() - self.start[0], time.perf_counter() - self.start[1]
        self.marks.append((*lap, row["psnr"]))


def clip(name: str) -> ez.Video:
    if name == "flight":
        return ez.open_video(np.stack(list(flight(FRAMES, HEIGHT, WIDTH))))
    return ez.open_video(name, frames=f":{FRAMES}", resize=f"{HEIGHT}p")


def fit(name: str, model: str, options: dict[str, Any], epochs: int) -> tuple[ez.FitResult, Clock]:
    torch.set_num_threads(1)
    tune_process()
    original = clip(name)
    options |= {"resize": f"{original.info.width}x{original.info.height}", "epochs": epochs, "progress": False}
    clock = Clock()
    return ez.fit(original, model, callbacks=[clock], **options), clock


def epochs_within(seconds: float, name: str, model: str, options: dict[str, Any]) -> int:
    """Return how many epochs of a fit take so many processor seconds, in a process of its own."""
    marks = [cpu for cpu, _, _ in fit(name, model, options, 3)[1].marks]
    lap = (marks[-1] - marks[0]) / (len(marks) - 1)
    return max(round((seconds - (marks[0] - lap)) / lap), 1)


def committed(name: str) -> list[dict[str, Any]]:
    """Return the rows that the last commit has of this machine."""
    try:
        result = json.loads(git("show", f"HEAD:benchmarks/results/{name}.json"))
    except subprocess.CalledProcessError:
        return []
    return result["rows"] if result["machine"]["cpu"] == machine("cpu")["cpu"] else []


def is_same_fit(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two rows are of fits that ended alike, whatever they took."""
    alike = (*KEYS, "epochs", "psnr", "worst", "stored", "precision", "recoveries")
    return all(row[key] == other[key] for key in alike)


def scaled(row: dict[str, Any], budget: float) -> int:
    """Return how many epochs take so many processor seconds, if each takes as long as those of a row."""
    return max(round(budget * row["epochs"] / row["seconds"]), 1)


def nearer(tries: list[dict[str, Any]], budget: float) -> int:
    """Return how many epochs to try next: between those of fits that took less and more, else as the last one's pace.

    A fit that begins again takes longer than its epochs say.
    """
    rows = sorted(tries, key=lambda row: row["seconds"])
    seconds, epochs = [row["seconds"] for row in rows], [row["epochs"] for row in rows]
    if seconds[0] <= budget <= seconds[-1]:
        return round(np.interp(budget, seconds, epochs))
    return scaled(tries[-1], budget)


def off(row: dict[str, Any]) -> float:
    """Return which part of its seconds a fit is off."""
    return abs(row["seconds"] / row["budget"] - 1)


def measure(budget: float, name: str, model: str, options: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Fit in a process of its own, and return what came of it."""
    result, clock = fit(name, model, options, epochs)
    video = result.video.optimize(inductor=False)
    info = video.info
    return {
        "clip": Path(name).stem,
        "model": Path(model).stem,
        "budget": budget,
        "seed": options["seed"],
        "frames": info.frames,
        "size": f"{info.width}x{info.height}",
        "stored": result.metrics["stored_numbers"],
        "kmacs": round(summarize(video.config, info).macs / (info.width * info.height) / 1000, 2),
        "epochs": epochs,
        "seconds": round(clock.marks[-1][0], 1),
        "wall_seconds": round(clock.marks[-1][1], 1),
        "psnr": round(result.report.psnr, 3),
        "worst": round(min(row.scores["psnr"] for row in result.report.frames), 2),
        "decode": decoded_per_second(video, time.process_time),
        "precision": result.metrics["precision"],
        "recoveries": len(result.metrics["recoveries"]),
        "curve": [(round(cpu, 1), round(psnr, 2)) for cpu, _, psnr in clock.marks[:: max(len(clock.marks) // 40, 1)]],
    }


def run(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def draw_curves(rows: list[dict[str, Any]]) -> None:
    """Draw PSNR while fitting over processor seconds: the longest fits of the first clip."""
    longest = max(row["budget"] for row in rows)
    figure, plot = plt.subplots(figsize=(6, 3.6), layout="constrained")
    chosen = [row for row in rows if row["clip"] == rows[0]["clip"] and row["budget"] == longest and not row["seed"]]
    for row in sorted(chosen, key=lambda row: -row["psnr"]):
        plot.plot(*zip(*row["curve"], strict=True), label=row["model"])
    plot.set(xlabel="processor seconds", ylabel="PSNR while fitting (dB)", xlim=(0, None))
    plot.grid(alpha=0.3)
    plot.legend()
    figure.savefig(IMAGES / "time-to-psnr.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", default=["bunny", "flight"])
    parser.add_argument("--models", nargs="+", default=["pca_nerv", "enerv", "hnerv", "rnerv", "ffnerv", "nerv"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[30, 300])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", default="0.5M")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--again", action="store_true", help="measure rows that the result has, too")
    case = parser.parse_args()
    name = f"time_to_psnr-cpu1-{case.size}-{WIDTH}x{HEIGHT}"
    rows: list[dict[str, Any]] = [] if case.again else read_result(name).get("rows", [])
    settings = {"size": case.size, "recipe": case.recipe}
    before = {tuple(row[key] for key in KEYS): row for row in committed(name)}
    for seed, budget, each, model in product(range(case.seeds), case.seconds, case.clips, case.models):
        key = Path(each).stem, Path(model).stem
        others = [row for row in rows if (row["clip"], row["model"]) == key]
        done = [row for row in others if row["budget"] == budget]
        if any(row["seed"] == seed for row in done):
            continue
        options = {"recipe": case.recipe, "seed": seed, "device": "cpu"}
        options |= {} if Path(model).suffix else {"size": case.size}
        known = before.get((*key, budget, seed), {})
        if done:
            epochs = done[0]["epochs"]
        elif known:
            epochs = known["epochs"]
        else:
            epochs = scaled(others[0], budget) if others else run(epochs_within, budget, each, model, options)
        row = run(measure, budget, each, model, options, epochs)
        if known and is_same_fit(row, known):
            row = min(row, known, key=itemgetter("seconds"))
        tries = [row]
        while not done and len(tries) < TRIES and off(tries[-1]) > MOST_OFF:
            tries.append(run(measure, budget, each, model, options, nearer(tries, budget)))
        row = min(tries, key=off)
        rows.append(row)
        print({key: value for key, value in row.items() if key != "curve"}, flush=True)
        write_result(
            name, settings, {"benchmark": "time_to_psnr", "machine": machine("cpu") | {"threads": 1}, "rows": rows}
        )
    draw_curves(rows)
    for budget in case.seconds:
        means = {
            model: fmean(row["psnr"] for row in rows if row["model"] == model and row["budget"] == budget)
            for model in (Path(each).stem for each in case.models)
        }
        print(f"{budget:g} s:", ", ".join(f"{model} {psnr:.2f}" for model, psnr in means.items()))


if __name__ == "__main__":
    main()
