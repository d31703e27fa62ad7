"""What a minute of video costs: processor-seconds to fit it, bytes to keep it, at a quality that is stated.

Fits a second of the bundled clip at each height for each number of epochs, on one core, and writes each fit as a file
of 8-bit weights; quality is that of the file. The clip is 1280x720: at other heights it is resized, and at 1080 it
holds no more detail than at 720.

    python benchmarks/cost_model.py --heights 720,1080 --epochs 16,48
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
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.machine import tune_process

FRAMES = "0:25"
MODEL = "enerv_nerv_block"


def one(height: int, epochs: int, size: str, device: str) -> dict[str, Any]:
    """Fit a second, compress it, and count."""
    with tempfile.TemporaryDirectory() as folder:
        began, wall = time.process_time(), time.perf_counter()
        result = ez.fit(
            "bunny", MODEL, size=size, model_options={"lower_width": 16}, frames=FRAMES, device=device,
            resize=(height, height * 16 // 9), epochs=epochs, batch_size=1, lr=2e-3, loss="L2", out=f"{folder}/fit",
        )  # fmt: skip
        fitted = {"processor_seconds": time.process_time() - began, "seconds": time.perf_counter() - wall}
        info = result.video.info
        made = ez.compress(Path(folder) / "fit", Path(folder) / "fit.nvz", bits=8, device=device)
    minutes = info.frames / (info.fps or 25.0) / 60
    return {
        "height": height,
        "width": info.width,
        "frames": info.frames,
        "epochs": epochs,
        "stored_numbers": result.metrics["stored_numbers"],
        "fit_frames_per_second": result.metrics["fit_frames_per_second"],
        "psnr_fitted": result.metrics["psnr"],
        "psnr": made.psnr,
        "ms_ssim": made.ms_ssim,
        "bytes": made.bytes,
        "bpp": bits_per_pixel(made.bytes, info),
        "decode_frames_per_second": made.fps,
        **{name: round(value, 1) for name, value in fitted.items()},
        "seconds_a_minute": round(fitted["seconds"] / minutes),
        "bytes_a_minute": round(made.bytes / minutes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heights", default="720,1080")
    parser.add_argument("--epochs", default="16,48")
    parser.add_argument("--size", default="0.7M", help="stored parameters for a second of video")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    case = vars(parser.parse_args())
    torch.set_num_threads(case["threads"])
    tune_process()
    points: list[dict[str, Any]] = []
    for height in map(int, case["heights"].split(",")):
        for epochs in map(int, case["epochs"].split(",")):
            points.append(one(height, epochs, case["size"], case["device"]))
            print(points[-1], flush=True)
            where = f"{case['device']}{case['threads'] if case['device'] == 'cpu' else ''}"
            write_result(
                f"cost_model-{where}",
                case,
                {"benchmark": "cost_model", "machine": machine(case["device"]), "network": MODEL, "points": points},
            )


if __name__ == "__main__":
    main()
