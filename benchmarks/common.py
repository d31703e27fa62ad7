"""What the benchmarks share: the case, the machine, two contestants taking turns, tables and result files."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import enerv_zoo as ez
from enerv_zoo.neural_video import NeuralVideo

RESULTS = Path(__file__).parent / "results"
Case = dict[str, Any]


def parse_case(description: str, **extra: tuple[Any, str]) -> Case:
    """The command line as a case: model, size, height, width, batch, frames, rounds, device, and `extra` options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="enerv")
    parser.add_argument("--size", default="0.5M")
    parser.add_argument("--resolution", default="144x256", help="HEIGHTxWIDTH")
    parser.add_argument("--batch", type=int, default=1, help="frames a step")
    parser.add_argument("--frames", type=int, default=16, help="of the video, drawn once a round")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant, after one to warm up")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="1 where others use the machine")
    for name, (default, text) in extra.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    case = vars(parser.parse_args())
    torch.set_num_threads(case["threads"])
    return case


def height_width(case: Case) -> tuple[int, int]:
    height, width = map(int, case["resolution"].split("x"))
    return height, width


def network(case: Case) -> NeuralVideo:
    """The case's network; the same weights whenever it is called."""
    height, width = height_width(case)
    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    video = ez.create_model(case["model"], frames=case["frames"], height=height, width=width, size=case["size"])
    return video.to(case["device"])


def plain_layout(video: NeuralVideo) -> NeuralVideo:
    """The same network with weights and feature maps in PyTorch's default layout."""
    video.to(memory_format=torch.contiguous_format)
    video.join.register_forward_hook(lambda _module, _inputs, x: x.contiguous())
    return video


def timed(action: Callable[[], Any], device: str) -> float:
    """Seconds an action takes, until the device has finished it."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    action()
    wait()
    return time.perf_counter() - start


def take_turns(contestants: dict[str, Callable[[], Any]], case: Case) -> dict[str, list[float]]:
    """Seconds of each contestant in each round. They alternate, so that whatever else the machine does hits both."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(case["rounds"] + 1):
        for name, action in contestants.items():
            lap = timed(action, case["device"])
            if round_:
                seconds[name].append(lap)
    return seconds


def summary(seconds: dict[str, list[float]], per_round: int, case: Case) -> dict[str, Any]:
    """Frames a second of the two (`plain` and `enerv_zoo`), and the speed-up: median, least and most of the rounds."""
    ratios = [plain / ours for plain, ours in zip(seconds["plain"], seconds["enerv_zoo"], strict=True)]
    return {
        "frames_per_second": {name: round(per_round / median(laps), 3) for name, laps in seconds.items()},
        "speed_up": {
            "median": round(median(ratios), 3), "least": round(min(ratios), 3), "most": round(max(ratios), 3),
        },
        "seconds_a_round": {name: [round(lap, 5) for lap in laps] for name, laps in seconds.items()},
    }  # fmt: skip


def peak_megabytes(action: Callable[[Case], Any], case: Case) -> float:
    """Peak memory of a fresh process that does nothing else: resident on a CPU, allocated on a GPU."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (action, case))


def _peak(action: Callable[[Case], Any], case: Case) -> float:
    action(case)
    if case["device"].startswith("cuda"):
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    status = Path("/proc/self/status").read_text()  # not ru_maxrss, which starts at the parent's
    return round(int(status.split("VmHWM:")[1].split()[0]) / 2**10, 1)


def machine(device: str) -> dict[str, Any]:
    """What it was measured on."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ())
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": round(os.getloadavg()[0], 2),
    }


def publish(benchmark: str, case: Case, result: dict[str, Any]) -> None:
    """Print the result and write it to `results/`, under a name made of benchmark, device and case."""
    device = case["device"].replace(":", "")
    device += "" if device.startswith("cuda") else str(case["threads"])
    name = f"{benchmark}-{device}-{case['model']}-{case['size']}-{case['resolution']}-b{case['batch']}"
    record = {"benchmark": benchmark, "case": case, "machine": machine(case["device"]), **result}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    table = Table("", "plain", "enerv_zoo", "speed-up", title=name)
    speeds, ratio = result["frames_per_second"], result["speed_up"]
    table.add_row("frames/s", *(f"{speeds[side]:.2f}" for side in ("plain", "enerv_zoo")),
                  f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})")  # fmt: skip
    if memory := result.get("peak_megabytes"):
        table.add_row("peak MiB", *(f"{memory[side]:.0f}" for side in ("plain", "enerv_zoo")), "")
    Console().print(table)
