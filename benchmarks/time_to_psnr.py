"""Quality against the clock: the same fit by `enerv_zoo` and by the plain loop, each in a process of its own.

PSNR is that of the frames as they were drawn while fitting, which both know anyway.

    python benchmarks/time_to_psnr.py --size 0.5M --batch 2 --frames 132 --epochs 6
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean

import fit_speed
import matplotlib.pyplot as plt
import torch
from common import IMAGES, Case, machine, network, parse_case, write_result
from rich.console import Console
from rich.table import Table

from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter

Curve = list[tuple[float, float]]
"""(seconds since the first step, mean PSNR in dB) after every epoch."""


def ours(case: Case) -> Curve:
    torch.set_num_threads(case["threads"])
    config = FitConfig(epochs=case["epochs"], batch_size=case["batch"], lr=case["lr"], precision=case["precision"])
    fitter = Fitter(network(case), FrameLoader(fit_speed.frames_of(case), case["device"]), config)
    curve, start = [], time.perf_counter()
    while not fitter.done:
        row = fitter.fit_epoch()
        curve.append((time.perf_counter() - start, row["psnr"]))
    return curve


def plain(case: Case) -> Curve:
    torch.set_num_threads(case["threads"])
    loop = fit_speed.PlainLoop(case, case["epochs"], case["lr"])
    curve, start = [], time.perf_counter()
    for _ in range(case["epochs"]):
        done = len(loop.history)
        loop.epoch()
        curve.append((time.perf_counter() - start, fmean(psnr for _, psnr, _ in loop.history[done:])))
    return curve


def main() -> None:
    case = parse_case(__doc__, epochs=(6, "passes over all frames"), lr=(3e-3, "peak learning rate"))
    curves = {}
    for name, fit in {"plain": plain, "enerv_zoo": ours}.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            curves[name] = process.submit(fit, case).result()
    table = Table("epoch", *(f"{name}: {what}" for name in curves for what in ("s", "dB")))
    for epoch, points in enumerate(zip(*curves.values(), strict=True), 1):
        table.add_row(str(epoch), *(f"{number:.2f}" for point in points for number in point))
    Console().print(table)
    figure, plot = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, curve in curves.items():
        plot.plot(*zip(*curve, strict=True), "o-", label=name)
    plot.set(xlabel="seconds", ylabel="PSNR while fitting (dB)")
    plot.grid(alpha=0.3)
    plot.legend()
    figure.savefig(IMAGES / "time-to-psnr.png", dpi=110)
    name = f"time_to_psnr-{case['device']}{case['threads']}-{case['model']}-{case['size']}-{case['resolution']}"
    result = {name: [(round(s, 2), round(db, 3)) for s, db in curve] for name, curve in curves.items()}
    write_result(name, case, {"benchmark": "time_to_psnr", "machine": machine(case["device"]), "curves": result})


if __name__ == "__main__":
    main()
