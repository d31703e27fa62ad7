"""What a minute of video costs: processor-seconds to fit it, bytes to keep it, at a quality that is stated.

Fits the bundled clip to a rate, at each height for each number of epochs, on one core; quality is that of the file.

    python benchmarks/cost_model.py --heights 360,720 --epochs 16,48,144
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import machine, write_result

import enerv_zoo as ez
from enerv_zoo.machine import tune_process


def one(height: int, epochs: int, case: dict[str, Any]) -> dict[str, Any]:
    """Fit frames of the clip, write their file, and count."""
    with tempfile.TemporaryDirectory() as folder:
        began, wall = time.process_time(), time.perf_counter()
        fit = ez.fit(
            "bunny", recipe=case["recipe"], bpp=case["bpp"], frames=case["frames"], epochs=epochs,
            resize=(height, height * 16 // 9), device=case["device"], out=f"{folder}/fit",
        )  # fmt: skip
        spent = {"processor_seconds": time.process_time() - began, "seconds": time.perf_counter() - wall}
        made = ez.compress(f"{folder}/fit", Path(folder) / "fit.nvz", device=case["device"], sound=False)
    info = fit.video.info
    minutes = info.frames / (info.fps or 25.0) / 60
    return {
        "height": height,
        "width": info.width,
        "frames": info.frames,
        "epochs": epochs,
        "model": fit.metrics["model"],
        "stored_numbers": fit.metrics["stored_numbers"],
        "fit_frames_per_second": fit.metrics["fit_frames_per_second"],
        "psnr": made.psnr,
        "ms_ssim": made.ms_ssim,
        "bytes": made.bytes,
        "bpp": made.bpp,
        "decode_frames_per_second": made.fps,
        **{name: round(value, 1) for name, value in spent.items()},
        "seconds_a_minute": round(spent["seconds"] / minutes),
        "bytes_a_minute": round(made.bytes / minutes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heights", default="360", help="of frames; the clip has 720")
    parser.add_argument("--epochs", default="16,48")
    parser.add_argument("--recipe", default="balanced")
    parser.add_argument("--bpp", type=float, default=0.1, help="bits per pixel of each file")
    parser.add_argument("--frames", default="0:132")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    case = vars(parser.parse_args())
    torch.set_num_threads(case["threads"])
    tune_process()
    points: list[dict[str, Any]] = []
    for height in map(int, case["heights"].split(",")):
        for epochs in map(int, case["epochs"].split(",")):
            points.append(one(height, epochs, case))
            print(points[-1], flush=True)
            where = f"{case['device']}{case['threads'] if case['device'] == 'cpu' else ''}"
            result = {"benchmark": "cost_model", "machine": machine(case["device"]), "points": points}
            write_result(f"cost_model-{where}", case, result)


if __name__ == "__main__":
    main()
