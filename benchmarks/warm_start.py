"""Does a segment profit from its predecessor's weights? The same segment, fitted from fresh ones and from those.

The first half of a clip is fitted, then the second half twice: from fresh weights, and from those of the first half. A
second pair has another video before the segment, as behind a cut. Equal epochs, equal seeds.

    python benchmarks/warm_start.py --epochs 10,30,90
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from common import machine, write_result
from flight import flight

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting import Fitter
from enerv_zoo.fitting.feed import Feed
from enerv_zoo.machine import prepare_cpu
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.video import Video
from enerv_zoo.zoo import model_config


def fitted(video: Video, epochs: int, case: dict[str, Any], start: NeuralVideo | None = None) -> NeuralVideo:
    """Fit a network to frames, from fresh weights or from those of another network."""
    config = FitConfig(epochs=epochs, batch_size=2, lr=3e-3, loss="L2", precision="float32")
    network = NeuralVideo.seeded(
        model_config(case["model"], video.info, size=case["size"]), video.info, 0, fitting=True
    )
    if start is not None:
        network.load_state_dict(start.state_dict())
    fitter = Fitter(network, Feed(video.frames, "cpu"), config)
    while not fitter.done:
        fitter.fit_epoch()
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", default="10,30,90")
    parser.add_argument("--model", default="enerv")
    parser.add_argument("--size", default="0.35M")
    parser.add_argument("--frames", type=int, default=24, help="of a segment")
    parser.add_argument("--resolution", default="72x128")
    case = vars(parser.parse_args())
    torch.set_num_threads(1)
    prepare_cpu()
    count, height, width = case["frames"], *map(int, case["resolution"].split("x"))
    segments = [
        ez.open_video("bunny", frames=f"{first}:{first + count}", resize=(height, width)) for first in (40, 40 + count)
    ]
    other = ez.open_video(np.stack(list(flight(count, height, width))))
    rows = []
    for epochs in map(int, case["epochs"].split(",")):
        before = {"same scene": fitted(segments[0], epochs, case), "other scene": fitted(other, epochs, case)}
        start = time.perf_counter()
        fresh = ez.evaluate(fitted(segments[1], epochs, case), segments[1]).psnr
        seconds = time.perf_counter() - start
        row: dict[str, Any] = {"epochs": epochs, "fresh": fresh, "seconds": round(seconds, 1)}
        for name, network in before.items():
            row[name] = ez.evaluate(fitted(segments[1], epochs, case, network), segments[1]).psnr
        rows.append(row)
        print(row, flush=True)
        write_result("warm_start-cpu1", case, {"benchmark": "warm_start", "machine": machine("cpu"), "rows": rows})


if __name__ == "__main__":
    main()
