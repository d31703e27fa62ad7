"""A ten-minute video in segments: does memory stay that of a segment, are cuts found, is reading in the middle quick?

Generates 15,000 small frames in scenes of random lengths, and fits them with `--segments auto` in a process of its own,
which notes the most memory it ever held as each segment begins.

    python benchmarks/long_video.py --frames 15000 --resolution 64x36 --epochs 2
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from common import machine, peak_megabytes, write_result

import enerv_zoo as ez
from enerv_zoo.batch import fit_segments
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.selection import Selection

FPS = 25
SCENE_SECONDS = (2.5, 14.0)
NETWORK = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
LIMIT_GIB = 3.0


def scenes(count: int, seed: int) -> list[int]:
    """The first frames of scenes of random lengths."""
    chance, firsts = random.Random(seed), [0]
    while firsts[-1] < count:
        firsts.append(firsts[-1] + round(chance.uniform(*SCENE_SECONDS) * FPS))
    return firsts[:-1]


def frames(firsts: list[int], count: int, height: int, width: int) -> Iterator[torch.Tensor]:
    """Frames (3, height, width), uint8: in every scene other colours, and waves that move in another direction."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    for number, (first, stop) in enumerate(zip(firsts, [*firsts[1:], count], strict=True)):
        chance = random.Random(number)
        base, contrast = torch.tensor([chance.random() for _ in range(3)])[:, None, None], 0.25
        angle, speed, waves = chance.uniform(0, math.tau), chance.uniform(0.5, 2), chance.uniform(4, 12)
        across = x * math.cos(angle) + y * math.sin(angle)
        for i in range(stop - first):
            wave = (waves * across + speed * i / FPS).sin()
            yield ((0.2 + 0.6 * base + contrast * wave).clamp(0, 1) * 255).to(torch.uint8)


def fit(clip: Path, folder: Path, epochs: int) -> None:
    """In a process of its own: fit, and print the memory that it held as each segment began, and at the end."""
    memory: list[dict[str, float]] = []
    began = time.perf_counter()

    def note(number: int, count: int) -> None:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        memory.append({"segment": number, "peak_mib": peak_megabytes("cpu"), "resident_mib": round(resident, 1)})

    result = fit_segments(
        clip, "enerv", model_options=NETWORK, out=folder, epochs=epochs, batch_size=8, lr=5e-3, loss="L2",
        precision="float32", on_segment=note, device="cpu",
    )  # fmt: skip
    fitted = time.perf_counter() - began
    video = ez.load(folder)
    for index in (0, len(video) // 2, len(video) - 1):
        assert video[index].shape == (3, video.info.height, video.info.width)
    report = {"peak_mib": peak_megabytes("cpu"), "memory": memory, "seconds": round(fitted, 1), **result.metrics}
    print(json.dumps(report))


def reading(clip: Path, count: int) -> dict[str, float]:
    """Seconds to read 25 frames near the end: from a keyframe, once the file is indexed, and from the start."""
    first = count * 9 // 10
    file, wanted = VideoFile(clip), Selection(first, first + 25)
    start = time.perf_counter()
    file.index()
    indexed = time.perf_counter()
    sought = [frame for frame, _ in file.frames(wanted)]
    done = time.perf_counter()
    plain = [frame for i, (frame, _) in enumerate(file.frames(Selection(0, first + 25))) if i >= first]
    end = time.perf_counter()
    assert all((a == b).all() for a, b in zip(sought, plain, strict=True))
    return {"index": round(indexed - start, 4), "sought": round(done - indexed, 4), "from_start": round(end - done, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=15_000)
    parser.add_argument("--resolution", default="64x36", help="WIDTHxHEIGHT")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    case: dict[str, Any] = vars(parser.parse_args())
    child = case.pop("child")
    if child:
        fit(*child, case["epochs"])
        return
    width, height = map(int, case["resolution"].split("x"))
    firsts = scenes(case["frames"], seed=0)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "long.mp4"
        ez.write_video(clip, frames(firsts, case["frames"], height, width), fps=FPS)
        read = reading(clip, case["frames"])
        command = [sys.executable, __file__, "--epochs", str(case["epochs"]), "--child", str(clip), f"{folder}/fit"]
        result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
        segments = json.loads((Path(folder) / "fit" / "segments.json").read_text())["segments"]
    begins = {segment["first"] for segment in segments}
    memory = result.pop("memory")
    result["memory"] = [memory[i] for i in range(0, len(memory), max(len(memory) // 16, 1))]
    found = {"scenes": len(firsts), "begin_a_segment": len(begins & set(firsts)), "segments": len(segments)}
    keep = ("psnr", "seconds", "peak_mib", "memory", "fit_seconds", "stored_numbers", "stored_bytes", "bpp")
    outcome = {"reading_seconds": read, **found, **{name: result[name] for name in keep}}
    print(json.dumps(outcome, indent=1))
    write_result("long_video", case, {"benchmark": "long_video", "machine": machine("cpu"), **outcome})
    if result["peak_mib"] > LIMIT_GIB * 1024:
        raise SystemExit(f"the fit held {result['peak_mib']:.0f} MiB, more than {LIMIT_GIB} GiB")


if __name__ == "__main__":
    main()
