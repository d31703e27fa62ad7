"""What a jump to a frame costs: drawn by a network, and decoded from an H.264 file by PyAV.

A file is entered at the last keyframe before the frame and decoded from there; the bundled clip has one, at its start,
as encoders make them by default for clips of this length. A network draws any frame alone. At another resolution than
the bundled clip's, the clip is resized and encoded anew. The weights do not matter to the time, so they are not fitted.

    python benchmarks/random_access.py --resolution 1280x720 --size 1.5M
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import av
import matplotlib.pyplot as plt
import numpy
import torch
from common import IMAGES, RESULTS, Case, height_width, machine, network, parse_case, timed, write_result
from rich.console import Console
from rich.table import Table

from enerv_zoo import NeuralVideo, open_video, write_video
from enerv_zoo.video.samples import SAMPLES

CLIP = SAMPLES["bunny"].path
PLAYED = 16
"""Frames that are drawn in order; a network's all take as long."""


@contextmanager
def clip_file(case: Case) -> Iterator[Path]:
    """The bundled clip as a file of the case's resolution."""
    height, width = height_width(case)
    with av.open(CLIP) as container:
        stream = container.streams.video[0]
        if (stream.height, stream.width) == (height, width):
            yield CLIP
            return
    with tempfile.TemporaryDirectory() as folder:
        yield write_video(Path(folder) / "clip.mp4", open_video("bunny", resize=(height, width)))


class File:
    """A video file, entered anywhere."""

    def __init__(self, path: Path) -> None:
        self.container = av.open(path)
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.moments = [frame.pts for frame in self.container.decode(self.stream)]

    def __len__(self) -> int:
        return len(self.moments)

    def jump(self, index: int) -> numpy.ndarray:
        moment = self.moments[index]
        self.container.seek(moment, stream=self.stream)
        frame = next(frame for frame in self.container.decode(self.stream) if frame.pts == moment)
        return frame.to_ndarray(format="rgb24")

    def play(self) -> None:
        self.container.seek(0, stream=self.stream)
        for frame in self.container.decode(self.stream):
            frame.to_ndarray(format="rgb24")


class Network:
    """The case's network, entered anywhere."""

    def __init__(self, video: NeuralVideo) -> None:
        self.video = video

    def jump(self, index: int) -> numpy.ndarray:
        return self.video[index].numpy()

    def play(self) -> None:
        for batch in self.video.decode(range(PLAYED)):
            batch.numpy()


def measure(case: Case, file: File) -> dict[str, Any]:
    """Milliseconds of a jump to each position, and of a frame in order; medians over the rounds."""
    contestants = {
        "H.264": file,
        "float32": Network(network(case).eval()),
        f"optimized, {case['precision']}": Network(network(case).eval().optimize(case["precision"])),
    }
    positions = numpy.linspace(0, len(file) - 1, case["positions"]).round().astype(int).tolist()
    laps: dict[str, dict[int, list[float]]] = {name: {index: [] for index in positions} for name in contestants}
    in_order: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(case["rounds"]):
        for name, contestant in contestants.items():
            time.sleep(0.3)  # until the others' threads have stopped to wait for work
            contestant.jump(positions[0])
            for index in random.Random(round_).sample(positions, len(positions)):
                laps[name][index].append(1e3 * timed(partial(contestant.jump, index), case["device"]))
            frames = len(file) if contestant is file else PLAYED
            in_order[name].append(1e3 * timed(contestant.play, case["device"]) / frames)
    return {
        "positions": positions,
        "milliseconds": {
            name: [round(median(each), 3) for each in by_index.values()] for name, by_index in laps.items()
        },
        "in_order": {name: round(median(each), 3) for name, each in in_order.items()},
    }


def draw() -> None:
    """Plot every result, a panel each."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("random_access-*.json"))]
    figure, plots = plt.subplots(
        1, len(results), figsize=(4.6 * len(results), 3.4), layout="constrained", squeeze=False
    )
    for plot, result in zip(plots[0], results, strict=True):
        case = result["case"]
        for name, laps in result["milliseconds"].items():
            plot.plot(result["positions"], laps, "o-", markersize=4, label=name)
        plot.set(title=f"{case['model']} {case['size']}, {case['resolution']}", xlabel="frame", ylabel="ms per jump")
        plot.set_ylim(bottom=0)
        plot.grid(alpha=0.3)
        plot.legend()
    figure.savefig(IMAGES / "random-access.png", dpi=110)


def main() -> None:
    case = parse_case(__doc__, positions=(12, "frames to jump to, spread over the clip"))
    with clip_file(case) as path, torch.inference_mode():
        file = File(path)
        case["frames"] = len(file)
        result = measure(case, file)
    table = Table("frame", *result["milliseconds"])
    for index, *laps in zip(result["positions"], *result["milliseconds"].values(), strict=True):
        table.add_row(str(index), *(f"{lap:.1f} ms" for lap in laps))
    table.add_row("in order", *(f"{lap:.1f} ms" for lap in result["in_order"].values()))
    Console().print(table)
    name = f"random_access-{case['device']}{case['threads']}-{case['model']}-{case['size']}-{case['resolution']}"
    write_result(name, case, {"benchmark": "random_access", "machine": machine(case["device"]), **result})
    draw()


if __name__ == "__main__":
    main()
