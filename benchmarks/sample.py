"""The fit that comes with the package: from its folder to one file, with what it costs beside x264.

The fit took 90 minutes on one CPU core, beside other work:

    enerv-zoo fit bunny --model enerv_nerv_block --size 2.1M -s lower_width=16 --resize 640x360 --epochs 170 \\
        --batch-size 2 --precision bfloat16 --lr 3e-3 --loss L2 --out runs/sample
    python benchmarks/sample.py runs/sample
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from common import machine, write_result

import enerv_zoo as ez
from enerv_zoo.evaluation.anchors import measure_codec
from enerv_zoo.storage import open_run

FILE = Path(ez.__file__).parent / "hub" / "bundled" / "bunny-sample.nvz"


def loading(path: Path) -> dict[str, float]:
    """Seconds until the network is there, and until its first frame is."""
    start = time.perf_counter()
    video = ez.load(path)
    loaded = time.perf_counter()
    video[0]
    return {"load": round(loaded - start, 3), "first_frame": round(time.perf_counter() - loaded, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the fit's folder")
    parser.add_argument("--bpp", type=float, default=0.392, help="of the file: 1.49 MB")
    parser.add_argument("--epochs", type=int, default=6, help="of tuning")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--crf", default="12,14,16,18,20,22,24,26", help="of x264, to be compared with")
    case = vars(parser.parse_args())
    run = case.pop("run")
    made = ez.compress(
        run, FILE, bpp=case["bpp"], tune_epochs=case["epochs"], lr=case["lr"], license="cc-by-3.0", on_stage=print
    )
    video, original = ez.load(FILE), open_run(run).original()
    info = video.info
    codec = [point.to_dict() for point in measure_codec("x264", original, [int(crf) for crf in case["crf"].split(",")])]
    sample: dict[str, Any] = {
        "network": video.config.family, "stored_numbers": video.stored_numbers,
        "video": f"{info.frames} frames of {info.width}x{info.height}", "bytes": made.bytes, "bpp": made.bpp,
        "psnr_before": made.psnr_before, "psnr": made.psnr, "ms_ssim": made.ms_ssim, "fps": made.fps,
        "seconds": loading(FILE),
    }  # fmt: skip
    print(sample, *codec, sep="\n")
    write_result(
        f"sample-cpu{torch.get_num_threads()}",
        case,
        {"benchmark": "sample", "machine": machine("cpu"), "sample": sample, "x264": codec},
    )


if __name__ == "__main__":
    main()
