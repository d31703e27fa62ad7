"""How fast every family fits and draws, at one size: for a machine that does nothing else.

python benchmarks/zoo_speed.py --size 0.35M --resolution 256x144 --batch 2
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice

import torch
from common import Case, height_width, machine, parse_case, write_result
from rich.console import Console
from rich.table import Table

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import denormals_flushed
from enerv_zoo.zoo import model_config

STEPS = 4


def rate(action: Callable[[], int], seconds: float) -> float:
    """Frames per second of what returns how many it has done, after once to warm up."""
    action()
    frames, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        frames += action()
    return round(frames / spent, 2)


def measured(name: str, case: Case) -> dict[str, float]:
    """Frames per second of fitting and of drawing, in float32 and as `NeuralVideo.optimize` has it."""
    height, width = height_width(case)
    clip = ez.open_video("bunny", frames=f"0:{case['frames']}", resize=(height, width))
    config = model_config(name, clip.info, size=case["size"])
    video = NeuralVideo.seeded(config, clip.info, 0, fitting=True)
    recipe = FitConfig(batch_size=case["batch"], lr=1e-3, precision=case["precision"])
    fitter = Fitter(video, FrameLoader(clip.frames), recipe)
    order = cycle(fitter.order(0).split(case["batch"]))

    def steps() -> int:
        frames = 0
        for index, pixels in fitter.loader.batches(islice(order, STEPS), fitter.video.content_neighbours):
            fitter.fit_batch(index, pixels)
            frames += len(index)
        return frames

    def draw() -> int:
        return sum(len(batch) for batch in video.decode())

    with denormals_flushed():
        fitting = rate(steps, case["seconds"])
    video.eval().bake(clip.frames).optimize("float32", inductor=False)
    plain = rate(draw, case["seconds"])
    video.optimize(case["precision"])
    return {"fitting": fitting, "drawing": plain, "drawing_fast": rate(draw, case["seconds"])}


def main() -> None:
    case = parse_case(__doc__, seconds=(3.0, "of each measurement"))
    table = Table("family", "fitting, frames/s", "drawing, frames/s", f"drawing in {case['precision']}")
    rows = {}
    for name in ez.list_models():
        rows[name] = measured(name, case)
        table.add_row(name, *map(str, rows[name].values()))
    Console().print(table)
    result = {"benchmark": "zoo_speed", "machine": machine("cpu"), "frames_per_second": rows}
    write_result(f"zoo_speed-cpu{torch.get_num_threads()}-{case['size']}-{case['resolution']}", case, result)


if __name__ == "__main__":
    main()
