"""What the benchmarks share: the case, the machine, two contestants taking turns, tables and result files."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import enerv_zoo as ez
from enerv_zoo.cli.diagnosing import commit
from enerv_zoo.fusion.modulate import TemporalAffine
from enerv_zoo.layers.upsampling import PixelShuffleConv
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import choose_precision

RESULTS = Path(__file__).parent / "results"
IMAGES = Path(__file__).parent.parent / "docs" / "images"
Case = dict[str, Any]
Contestant = Callable[[Case], Callable[[], Any]]
"""Makes, in its own process, a function that fits or draws a case's frames once."""


def parse_case(description: str, **extra: tuple[Any, str]) -> Case:
    """The command line as a case: model, size, height, width, batch, frames, rounds, device, and `extra` options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="enerv")
    parser.add_argument("--size", default="0.5M", help="'official' for the family's own network")
    parser.add_argument("--resolution", default="256x144", help="WIDTHxHEIGHT")
    parser.add_argument("--batch", type=int, default=1, help="frames per step")
    parser.add_argument("--frames", type=int, default=16, help="of the video, drawn once a round")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant, after one to warm up")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto", help="of enerv_zoo: auto, float32 or bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="1 where others use the machine")
    for name, (default, text) in extra.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    case = vars(parser.parse_args())
    torch.set_num_threads(case["threads"])
    case["precision"] = choose_precision(case["precision"], case["device"])
    return case


def height_width(case: Case) -> tuple[int, int]:
    width, height = map(int, case["resolution"].split("x"))
    return height, width


def network(case: Case) -> NeuralVideo:
    """The case's network; the same weights whenever it is called."""
    height, width = height_width(case)
    size = None if case["size"] == "official" else case["size"]
    video = ez.create_model(case["model"], frames=case["frames"], height=height, width=width, size=size)
    return video.to(case["device"])


class PlainUpsampling(nn.Module):
    """Convolution and pixel shuffle as PyTorch has them."""

    def __init__(self, part: PixelShuffleConv) -> None:
        super().__init__()
        self.conv, self.shuffle = part.conv, nn.PixelShuffle(part.stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.conv(x))


class PlainAffine(nn.Module):
    """Instance norm, then gamma x + beta, operation by operation."""

    def __init__(self, part: TemporalAffine) -> None:
        super().__init__()
        self.mlp = part.mlp

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gamma, beta = self.mlp(condition)[..., None, None].chunk(2, dim=1)
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return gamma * ((x - mean) * torch.rsqrt(variance + 1e-5)) + beta


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    PixelShuffleConv: PlainUpsampling,
    TemporalAffine: PlainAffine,
}


def plain_network(case: Case) -> NeuralVideo:
    """The case's network as it is written down in papers: PyTorch's own operations, in its default layout."""
    video = network(case)
    for parent in list(video.modules()):
        for name, part in list(parent.named_children()):
            if type(part) in PLAIN:
                setattr(parent, name, PLAIN[type(part)](part))  # type: ignore[call-arg]
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


def take_turns(contestants: dict[str, Contestant], case: Case) -> dict[str, Any]:
    """Each contestant in a process of its own, a turn each in every round: whatever else the machine does hits both.

    Returns:
        What `summary` makes of the seconds, and the peak memory of each process.
    """
    processes = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        workers = {name: stack.enter_context(ProcessPoolExecutor(1, processes)) for name in contestants}
        for name, make in contestants.items():
            workers[name].submit(_prepare, make, case).result()
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for round_ in range(case["rounds"] + 1):
            for name, worker in workers.items():
                time.sleep(0.3)  # until the other one's threads have stopped to wait for work
                lap = worker.submit(_turn, case["device"]).result()
                if round_:
                    seconds[name].append(lap)
        memory = {name: worker.submit(peak_megabytes, case["device"]).result() for name, worker in workers.items()}
    return {**summary(seconds, case), "peak_megabytes": memory}


_own: list[Callable[[], Any]] = []
"""In a contestant's process: what a turn of it does."""


def _prepare(make: Contestant, case: Case) -> None:
    torch.set_num_threads(case["threads"])
    os.environ["OMP_NUM_THREADS"] = str(case["threads"])
    _own[:] = [make(case)]


def _turn(device: str) -> float:
    return timed(_own[0], device)


def peak_megabytes(device: str) -> float:
    """Resident memory at its most on a CPU, allocated memory on a GPU."""
    if device.startswith("cuda"):
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    status = Path("/proc/self/status").read_text()  # not ru_maxrss, which starts at the parent's
    return round(int(status.split("VmHWM:")[1].split()[0]) / 2**10, 1)


def summary(seconds: dict[str, list[float]], case: Case) -> dict[str, Any]:
    """Return frames per second of `plain` and `enerv_zoo`, and the speed-up: median, least and most of the rounds."""
    ratios = [plain / ours for plain, ours in zip(seconds["plain"], seconds["enerv_zoo"], strict=True)]
    return {
        "frames_per_second": {name: round(case["frames"] / median(laps), 3) for name, laps in seconds.items()},
        "speed_up": {
            "median": round(median(ratios), 3), "least": round(min(ratios), 3), "most": round(max(ratios), 3),
        },
        "seconds_a_round": {name: [round(lap, 5) for lap in laps] for name, laps in seconds.items()},
    }  # fmt: skip


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
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def read_result(name: str) -> dict[str, Any]:
    """Return a result that was kept in `results/`; nothing where there is none."""
    path = RESULTS / f"{name}.json"
    result: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return result


def with_row(rows: list[dict[str, Any]], row: dict[str, Any], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return a result's rows with one more, which replaces those that have the same values of `keys`."""
    return [each for each in rows if any(each[key] != row[key] for key in keys)] + [row]


def decoded_per_second(video: NeuralVideo, clock: Callable[[], float]) -> float:
    """Frames per second, by a clock, of decoding a whole video in order, after once to warm up."""
    for _ in range(2):
        start = clock()
        frames = sum(len(batch) for batch in video.decode())
        spent = clock() - start
    return round(frames / spent, 1)


def measured_commit() -> str | None:
    """Return `commit()`, whose + here means changed code: other results and pictures are written beside each other."""
    name = commit()
    if name is None or not name.endswith("+"):
        return name
    code = ("git", "status", "--porcelain", "--untracked-files=no", "--", "*.py", "*.yaml")
    changed = subprocess.run(code, cwd=RESULTS.parents[1], capture_output=True, text=True, check=True).stdout
    return name if changed else name.rstrip("+")


def write_result(name: str, case: Case, result: dict[str, Any]) -> None:
    """Keep a result in `results/`, with the commit of the code that was measured."""
    RESULTS.mkdir(exist_ok=True)
    kept = {"case": case, "commit": measured_commit(), **result}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def publish(benchmark: str, case: Case, result: dict[str, Any]) -> None:
    """Print the result and write it to `results/`, under a name made of benchmark, device and case."""
    device = case["device"].replace(":", "")
    device += "" if device.startswith("cuda") else str(case["threads"])
    name = (
        f"{benchmark}-{device}-{case['model']}-{case['size']}-{case['resolution']}-b{case['batch']}-{case['precision']}"
    )
    write_result(name, case, {"benchmark": benchmark, "machine": machine(case["device"]), **result})
    table = Table("", "plain", "enerv_zoo", "speed-up", title=name)
    speeds, ratio = result["frames_per_second"], result["speed_up"]
    table.add_row("frames/s", *(f"{speeds[side]:.2f}" for side in ("plain", "enerv_zoo")),
                  f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})")  # fmt: skip
    memory = result["peak_megabytes"]
    table.add_row("peak MiB", *(f"{memory[side]:.0f}" for side in ("plain", "enerv_zoo")), "")
    Console().print(table)
