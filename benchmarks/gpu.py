"""All checks that need a GPU, in one command: each in a process of its own, all results in one file.

Run again with the same `--out`, it goes on where it was stopped: checks that have passed are not repeated, and the long
fit goes on from its checkpoint. The exit code is 1 where a check has failed.

    python benchmarks/gpu.py                        # under 25 minutes of an H100 or H200
    python benchmarks/gpu.py --only parity speed    # some of them
    python benchmarks/gpu.py --tiny --device cpu    # a try of every check, in about a minute
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from common import Case, machine, take_turns
from rich.console import Console
from rich.table import Table

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.files import write_json
from enerv_zoo.fitting import Fitter
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import plain_float32
from enerv_zoo.zoo import model_config

RESULT = "gpu.json"
Row = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """Sizes of the checks.

    Attributes:
        families: that are compared; by default all.
        compiled: of these, the ones that are compiled, which takes about a minute each.
        size, resolution, frames, batch, epochs: of networks, clips and fits that are compared.
        speed: what `fit_speed` and `decode_speed` measure.
        memory: frame sizes at which memory is measured, the network being `size`.
        bunny: what differs from the recipe `enerv-bunny`, which is E-NeRV's as published.
    """

    families: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ("enerv", "hnerv", "hinerv")
    size: str = "0.5M"
    resolution: str = "256x144"
    frames: int = 16
    batch: int = 2
    epochs: int = 6
    speed: Row = None  # type: ignore[assignment]
    memory: tuple[str, ...] = ("640x360", "1280x720", "1920x1080")
    bunny: Row = None  # type: ignore[assignment]


FULL = Sizes(speed={"size": "official", "resolution": "1280x720", "frames": 32, "batch": 1, "rounds": 4}, bunny={})
TINY = Sizes(
    compiled=(), size="100K", resolution="64x36", frames=4, epochs=2, memory=("64x36",),
    speed={"size": "60K", "resolution": "64x36", "frames": 2, "batch": 1, "rounds": 1},
    bunny={"size": "60K", "epochs": 2, "frames": "0:4", "resize": "64x36"},
)  # fmt: skip

TARGET = 10.0
"""Times as fast as E-NeRV's published way of fitting, and of decoding frame by frame."""
MAX_FRAME_DIFFERENCE = 2e-3
MAX_GRADIENT_DIFFERENCE = 1e-2
"""Of values in [0, 1], and of the norm of all gradients: how far devices may be apart in float32."""
MAX_PSNR_DIFFERENCE = 0.3
"""dB that faster ways of fitting may be below float32 without them."""
MEMORY_SLACK = 256.0
"""MiB that libraries of a GPU may take beside the estimate, which is an upper one."""
BUNNY_PSNR = 38.0
"""dB that 300 epochs of the published recipe reach at the least."""


def clip_of(sizes: Sizes) -> Any:
    return ez.open_video("bunny", frames=f"0:{sizes.frames}", resize=sizes.resolution)


def network_of(name: str, clip: Any, sizes: Sizes) -> NeuralVideo:
    return NeuralVideo.seeded(model_config(name, clip.info, size=sizes.size), clip.info, 0, fitting=True)


def recipe_of(sizes: Sizes, **fields: Any) -> FitConfig:
    return FitConfig(**{"epochs": sizes.epochs, "batch_size": sizes.batch, "lr": 1e-3, "loss": "L2", **fields})


def failed(rows: dict[str, Row], holds: Callable[[Row], bool]) -> list[str]:
    """Return the names of the rows that do not pass."""
    return [name for name, row in rows.items() if not holds(row)]


def parity(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Compare frames and gradients of every family in float32 with those of the CPU."""
    clip, rows = clip_of(sizes), {}
    for name in sizes.families or ez.list_models():
        here = network_of(name, clip, sizes)
        sides = []
        for video, place in ((here, "cpu"), (copy.deepcopy(here), device)):
            fitter = Fitter(video, FrameLoader(clip.frames, place), recipe_of(sizes, precision="float32"))
            index = torch.arange(sizes.batch, device=fitter.loader.frames.device)
            _, pixels = next(fitter.loader.batches([index], video.content_neighbours))
            with plain_float32(benchmark=False):
                fitter.gradients(index, pixels, sizes.batch)
                gradients = torch.cat([p.grad.flatten().cpu() for p in video.parameters() if p.grad is not None])
                frames = torch.cat([each.cpu() for each in video.eval().bake(fitter.loader.frames).decode_float()])
            sides.append((frames, gradients))
        (frames, gradients), (others, their_gradients) = sides
        rows[name] = {
            "frame_difference": float((frames - others).abs().max()),
            "gradient_difference": float((gradients - their_gradients).norm() / gradients.norm()),
        }
    near = {"frame_difference": MAX_FRAME_DIFFERENCE, "gradient_difference": MAX_GRADIENT_DIFFERENCE}
    return failed(rows, lambda row: all(row[name] <= limit for name, limit in near.items())), rows


WAYS = {"float32": ("float32", None), "bfloat16": ("bfloat16", None), "graphs": ("bfloat16", 0.0)}
COMPILED = {"compiled": ("bfloat16", 1e9)}
"""Precision, and the seconds that a fit is said to take: `None` for no graphs, many for a compiled network."""


def ways(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Fit every family in bfloat16, with CUDA graphs and compiled, and compare PSNR with that of plain float32."""
    clip, rows = clip_of(sizes), {}
    for name in sizes.families or ez.list_models():
        psnr = {}
        for way, (precision, seconds_left) in (WAYS | COMPILED if name in sizes.compiled else WAYS).items():
            fitter = Fitter(
                network_of(name, clip, sizes), FrameLoader(clip.frames, device), recipe_of(sizes, precision=precision)
            )
            with plain_float32(benchmark=True):
                if seconds_left is None:
                    fitter.gradients.may_replay = True  # it is: nothing is turned on later
                else:
                    fitter.gradients.enable_cuda_graphs(seconds_left)
                history = [fitter.fit_epoch() for _ in range(sizes.epochs)]
            graph, psnr[way] = fitter.gradients.graph, history[-1]["psnr"]
            rows[f"{name}, {way}"] = {
                "psnr": psnr[way],
                "against_float32": psnr[way] - psnr["float32"],
                "frames_per_second": max(row["frames_per_second"] for row in history),
                "replays": graph is not None and graph.works,
            }
    return failed(rows, lambda row: row["against_float32"] >= -MAX_PSNR_DIFFERENCE), rows


def feeding(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Fit with frames on the device, streamed from memory and from a file: steps are the same ones."""
    clip, rows = clip_of(sizes), {}
    for place in ("device", "host", "disk"):
        options = asdict(recipe_of(sizes, deterministic=True, precision="float32"))
        options = {name: options[name] for name in ("epochs", "batch_size", "lr", "loss", "deterministic", "precision")}
        result = ez.fit(clip, "nerv", size=sizes.size, device=device, frames_in=place, progress=False, **options)
        rows[place] = {"losses": [row["loss"] for row in result.history]}
    return failed(rows, lambda row: row == rows["device"]), rows


class Stop(ez.Callback):
    """Ends a fit by Ctrl-C after its first epoch."""

    def on_epoch(self, fitter: Fitter, row: Row) -> None:
        raise KeyboardInterrupt


def resuming(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Fit twice with `deterministic`, once interrupted and resumed: weights are the same to the last bit."""
    clip, weights = clip_of(sizes), []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("whole", "cut"):
            options = {"size": sizes.size, "device": device, "out": Path(folder) / name, "deterministic": True}
            options |= {"epochs": sizes.epochs, "batch_size": sizes.batch, "progress": False}
            if name == "cut":
                with suppress(KeyboardInterrupt):
                    ez.fit(clip, "enerv", callbacks=[Stop()], **options)
            weights.append(ez.fit(clip, "enerv", resume=name == "cut", **options).video.weights())
    rows = {name: {"same": torch.equal(tensor, weights[1][name])} for name, tensor in weights[0].items()}
    return failed(rows, lambda row: row["same"]), {"tensors": {"count": len(rows)}}


def speed(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Compare fitting and decoding with E-NeRV's published loop: the targets are `TARGET` times as fast."""
    import decode_speed
    import fit_speed

    case: Case = {"model": "enerv", "device": device, "precision": "bfloat16", "threads": torch.get_num_threads()}
    rows = {}
    for name, program, batch in (("fitting", fit_speed, sizes.speed["batch"]), ("decoding", decode_speed, 0)):
        rows[name] = take_turns(program.CONTESTANTS, {**case, **sizes.speed, "batch": batch})
    return failed(rows, lambda row: row["speed_up"]["median"] >= TARGET), rows


def memory(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Compare the peak memory of fits with the estimate that is printed before their first step."""
    import scaling

    case: Case = {"model": "enerv", "size": sizes.size, "device": device, "threads": torch.get_num_threads()}
    case |= {"precision": "bfloat16", "frames": sizes.frames, "batch": sizes.batch}
    rows: dict[str, Row] = {place: scaling.apart({**case, "resolution": place}) for place in sizes.memory}
    return failed(rows, lambda row: row["memory"] <= row["predicted"] + MEMORY_SLACK), rows


def ranks(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Fit by two processes, which share every batch over NCCL (on CPUs gloo), and compare with one."""
    rows = {}
    fit = ["fit", "bunny", "--model", "enerv", "--size", sizes.size, "--frames", f"0:{sizes.frames}", "--resize"]
    fit += [sizes.resolution, "--epochs", str(sizes.epochs), "--batch-size", str(sizes.batch), "--precision", "float32"]
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, 2):
            start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if count == 2 else []
            rest = ["--device", device, "--no-report", "--yes", "--out", f"{folder}/{count}"]
            subprocess.run([sys.executable, *start, "-m", "enerv_zoo", *fit, *rest], check=True, stdout=sys.stderr)
            metrics = json.loads((Path(folder) / str(count) / "metrics.json").read_text())
            rows[f"{count} processes"] = {name: metrics[name] for name in ("psnr", "fit_frames_per_second")}
    alone = rows["1 processes"]["psnr"]
    return failed(rows, lambda row: abs(row["psnr"] - alone) <= MAX_PSNR_DIFFERENCE), rows


def tests(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Run the tests that are marked `gpu`."""
    folder = Path(__file__).parent.parent / "tests"
    files = sorted({str(path) for path in folder.rglob("test_*.py") if "mark.gpu" in path.read_text()})
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-500:]
    return ["pytest"] if done.returncode else [], {"pytest": {"exit": done.returncode, "summary": last}}


def bunny(sizes: Sizes, device: str, out: Path) -> tuple[list[str], dict[str, Row]]:
    """Fit E-NeRV's Bunny as published, 300 epochs; it goes on from its checkpoint."""
    import paper

    case = {"recipe": "enerv-bunny", "precision": "bfloat16", "device": device, **sizes.bunny}
    row = paper.measured(case, out / "bunny", resume=True)
    least = -math.inf if sizes.bunny else BUNNY_PSNR
    return failed({"enerv-bunny": row}, lambda row: row["psnr"] >= least), {"enerv-bunny": row}


CHECKS: dict[str, tuple[Callable[[Sizes, str, Path], tuple[list[str], dict[str, Row]]], int]] = {
    "parity": (parity, 120),
    "ways": (ways, 500),
    "feeding": (feeding, 60),
    "resuming": (resuming, 60),
    "memory": (memory, 60),
    "ranks": (ranks, 90),
    "tests": (tests, 100),
    "speed": (speed, 300),
    "bunny": (bunny, 1500),
}
"""Every check and the seconds that it may take."""

BUDGET = 1500.0
"""Seconds of one run; the last check, which goes on in the next run, has what the others leave."""


def missing(name: str, device: str) -> str | None:
    """Return why a check cannot be run here, or `None`."""
    if name == "tests" and not device.startswith("cuda"):
        return "needs CUDA"
    if name == "ranks" and device.startswith("cuda") and torch.cuda.device_count() < 2:
        return "needs two GPUs"
    return None


def run_check(name: str, options: argparse.Namespace) -> Row:
    """Run a check here; returns what the result file keeps of it."""
    sizes, (check, _) = TINY if options.tiny else FULL, CHECKS[name]
    sizes = replace(sizes, families=tuple(options.families)) if options.families else sizes
    failures, rows = check(sizes, options.device, options.out)
    if options.tiny and name == "speed":
        failures = []  # a try says nothing of speed
    return {"state": "failed" if failures else "passed", "failures": failures, "rows": rows}


def run_apart(name: str, options: argparse.Namespace, left: float) -> Row:
    """Run a check in a process of its own, so that memory is fresh and a crash costs this check alone.

    Args:
        name: of the check.
        options: of the command line.
        left: seconds of the budget.
    """
    limit = None if options.tiny else min(CHECKS[name][1], left)
    command = [sys.executable, __file__, "--check", name, "--device", options.device, "--out", str(options.out)]
    command += ["--tiny"] * options.tiny + (["--families", *options.families] if options.families else [])
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        process = subprocess.Popen([*command, "--answer", str(answer)], start_new_session=True)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return {"state": "failed", "failures": [f"not done in {limit:.0f} s; run it again"]}
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with those that it has started
                process.wait()
        if code or not answer.exists():
            return {"state": "failed", "failures": [f"ended with exit code {code}"]}
        return json.loads(answer.read_text())


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try the checks themselves")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="by default all")
    parser.add_argument("--families", nargs="+", choices=ez.list_models(), help="for parity and ways; by default all")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of the results and the long fit")
    parser.add_argument("--here", action="store_true", help="run the checks in this process")
    parser.add_argument("--check", choices=CHECKS, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the checks that have not passed yet; returns the exit code."""
    options = parsed(arguments)
    if options.check:
        write_json(options.answer, run_check(options.check, options))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / RESULT
    case = {"tiny": options.tiny, "device": options.device}
    checks = {}
    if file.exists() and (earlier := json.loads(file.read_text()))["case"] == case:
        checks = earlier["checks"]
    start = time.perf_counter()
    for name in options.only:
        if checks.get(name, {}).get("state") == "passed":
            continue
        began = time.perf_counter()
        if reason := missing(name, options.device):
            row: Row = {"state": reason}
        else:
            row = run_check(name, options) if options.here else run_apart(name, options, BUDGET - (began - start))
        checks[name] = {**row, "seconds": round(time.perf_counter() - began, 1)}
        write_json(file, {"benchmark": "gpu", "case": case, "machine": machine(options.device), "checks": checks})
    table = Table("check", "state", "seconds", "of these failed")
    for name, row in checks.items():
        table.add_row(name, row["state"], str(row["seconds"]), ", ".join(row.get("failures", ())))
    Console().print(table, f"written to {file}")
    return int(any(row["state"] == "failed" for row in checks.values()))


if __name__ == "__main__":
    sys.exit(main())
