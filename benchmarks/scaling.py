"""How speed and memory grow: with the number of frames, with their size, and with the network.

One thing varies at a time around a small case. Each point is a process of its own, in each of three turns of all of
them, whose best counts: other programs slow a turn down, and no point alone. Memory is its peak beside what the package
predicts.

    python benchmarks/scaling.py            # a table, results/scaling-*.json, docs/images/scaling.png
"""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from common import IMAGES, Case, height_width, machine, network, parse_case, peak_megabytes, timed, write_result
from rich.console import Console
from rich.table import Table

from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.memory import memory_need
from enerv_zoo.video import open_video

AXES: dict[str, list[Any]] = {
    "frames": [8, 32, 128],
    "resolution": ["128x72", "256x144", "512x288", "1024x576"],
    "size": ["0.25M", "0.5M", "1M", "2M"],
}
STEPS = 6
TURNS = 3


def measure(case: Case) -> dict[str, float]:
    """Frames fitted and drawn a second, and memory, of one case."""
    torch.set_num_threads(case["threads"])
    clip = open_video("bunny", frames=f"0:{case['frames']}", resize=case["resolution"])
    video, config = network(case), FitConfig(batch_size=case["batch"], precision=case["precision"])
    predicted = memory_need(video, config).total / 2**20
    start = peak_megabytes(case["device"])  # with all that Python had to import
    fitter = Fitter(video, FrameLoader(clip.frames, case["device"]), config)
    index = torch.arange(case["batch"])
    frames = clip.frames[index].to(case["device"])

    def steps() -> None:
        for _ in range(STEPS):
            fitter.fit_batch(index, frames)

    steps()
    fitting = STEPS * case["batch"] / min(timed(steps, case["device"]) for _ in range(3))
    memory = peak_megabytes(case["device"]) - start
    video.eval().optimize(case["precision"], inductor=False)
    few = range(min(case["frames"], 8))

    def decode(times: int = 1) -> None:
        for _ in range(times):
            list(video.decode(few))

    decode()
    times = math.ceil(1 / timed(decode, case["device"]))  # a shorter lap would be a moment of the machine's
    drawing = times * len(few) / min(timed(lambda: decode(times), case["device"]) for _ in range(3))
    return {
        "fit": round(fitting, 3),
        "decode": round(drawing, 3),
        "memory": round(memory),
        "predicted": round(predicted),
    }


def apart(case: Case) -> dict[str, float]:
    """`measure` in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, case).result()


def pixels(value: Any) -> float:
    """A point on an axis as a number."""
    if isinstance(value, str) and "x" in value:
        height, width = height_width({"resolution": value})
        return height * width
    return float(str(value).rstrip("M"))


def draw(axes: dict[str, list[dict[str, Any]]], path: Path) -> None:
    titles = {"frames": "frames", "resolution": "WIDTHxHEIGHT", "size": "stored parameters"}
    figure, plots = plt.subplots(2, 3, figsize=(11, 5.5), layout="constrained", sharex="col")
    for column, (axis, points) in zip(plots.T, axes.items(), strict=True):
        x = [pixels(point["at"]) for point in points]
        for key in ("fit", "decode"):
            column[0].plot(x, [point[key] for point in points], "o-", label=key)
        for key in ("memory", "predicted"):
            column[1].plot(x, [point[key] for point in points], "o-", label=key)
        column[0].set(ylabel="frames per second")
        column[1].set(ylabel="MiB", xlabel=titles[axis])
        for plot in column:
            plot.set(xscale="log", ylim=(0, None))
            plot.set_xticks(x, [str(point["at"]) for point in points], minor=False)
            plot.minorticks_off()
            plot.grid(alpha=0.3)
            plot.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    case = parse_case(__doc__)
    table = Table("axis", "at", "fitted/s", "drawn/s", "MiB beside Python", "MiB predicted")
    results: dict[str, list[dict[str, Any]]] = {axis: [] for axis in AXES}
    places = [(axis, value) for axis, values in AXES.items() for value in values]
    turns = [[apart({**case, axis: value}) for axis, value in places] for _ in range(TURNS)]
    for (axis, value), found in zip(places, zip(*turns, strict=True), strict=True):
        best = {key: max(turn[key] for turn in found) for key in found[0]}
        results[axis].append({"at": value, **best})
        table.add_row(axis, str(value), *map(str, best.values()))
    Console().print(table)
    draw(results, IMAGES / "scaling.png")
    name = f"scaling-{case['device']}{case['threads']}-{case['model']}"
    write_result(name, case, {"benchmark": "scaling", "machine": machine(case["device"]), "axes": results})


if __name__ == "__main__":
    main()
