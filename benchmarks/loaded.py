"""Speed of fitting and decoding beside other programs, by how PyTorch's threads wait for each other.

Each setting has a process of its own. They take turns, alone on the machine and beside a busy loop for every core.

    python benchmarks/loaded.py --size 0.5M --resolution 256x144 --batch 2 --rounds 3
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from statistics import median

import torch
from common import Case, machine, network, parse_case, write_result
from rich.console import Console
from rich.table import Table

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.machine import SPINS, tune_process

SETTINGS = {
    "PyTorch's own": {},
    "short spin (the command line's)": {"GOMP_SPINCOUNT": str(SPINS)},
    "no spin": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
SECONDS = 0.7
"""How long a turn fits, and then decodes; a step or a frame at least."""

_own: list[Callable[[], tuple[float, float]]] = []


def prepare(case: Case) -> None:
    """In a contestant's process: make what a turn takes."""
    tune_process()
    clip = ez.open_video("bunny", frames=f"0:{case['frames']}", resize=case["resolution"])
    config = FitConfig(epochs=10_000, batch_size=case["batch"], precision=case["precision"])
    fitter, video = Fitter(network(case), FrameLoader(clip.frames), config), network(case).eval()
    index = torch.arange(case["batch"])

    def turn() -> tuple[float, float]:
        fitting = per_second(lambda: fitter.fit_batch(index, clip.frames[index])) * case["batch"]
        return fitting, per_second(lambda: video[0])

    turn()
    _own[:] = [turn]


def per_second(action: Callable[[], object]) -> float:
    count, start = 0, time.perf_counter()
    while not count or time.perf_counter() - start < SECONDS:
        action()
        count += 1
    return count / (time.perf_counter() - start)


def take_turn() -> tuple[float, float]:
    return _own[0]()


@contextmanager
def busy(count: int) -> Iterator[None]:
    """A context beside so many programs that never rest."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    case = parse_case(__doc__)
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    plain = {name: value for name, value in os.environ.items() if name not in ours}
    rows = []
    with ExitStack() as stack:
        workers = {}
        for name, variables in SETTINGS.items():
            os.environ.clear()
            os.environ.update({**plain, **variables})  # a process that is spawned at its first call inherits it
            workers[name] = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
            workers[name].submit(prepare, case).result()
        for loops in (0, os.cpu_count() or 1):
            turns: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
            load = os.getloadavg()[0]
            with busy(loops):
                for _ in range(case["rounds"]):
                    for name, worker in workers.items():
                        turns[name].append(worker.submit(take_turn).result())
            for name, each in turns.items():
                fitting, decoding = ([round(turn[part], 3) for turn in each] for part in (0, 1))
                rows.append({"setting": name, "busy_loops": loops, "load_before": round(load, 2), "fit": fitting,
                             "decode": decoding})  # fmt: skip
    key = f"loaded-cpu{os.cpu_count()}-{case['model']}-{case['size']}-{case['resolution']}"
    write_result(key, case, {"benchmark": "loaded", "machine": machine("cpu"), "rows": rows})
    table = Table("setting", "busy loops", "fitted frames/s", "decoded frames/s", title=key)
    for row in rows:
        speeds = (f"{median(row[part]):.2f}" for part in ("fit", "decode"))
        table.add_row(row["setting"], str(row["busy_loops"]), *speeds)
    Console().print(table)


if __name__ == "__main__":
    main()
