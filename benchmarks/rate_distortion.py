"""Rate against quality of networks fitted to each rate, and of real codecs: `enerv-zoo rd` with its result kept.

What has been fitted and encoded in the folder is kept, so it can be repeated until all is done. `report.py` draws all
results of a clip.

    python benchmarks/rate_distortion.py bunny runs/rd
    python benchmarks/rate_distortion.py bunny runs/rd-minute --epochs 60 --suffix minute      # a minute per fit
    python benchmarks/rate_distortion.py bunny runs/rd-hour --epochs 990 --suffix hour
    python benchmarks/rate_distortion.py bunny runs/rd-ladder --ladder 0.25 --suffix ladder
    python benchmarks/rate_distortion.py bunny runs/rd-nerv --models nerv --epochs 300 --suffix nerv
    python benchmarks/rate_distortion.py bunny runs/rd-enerv --models enerv --bpp 0.13,0.18,0.26,0.36 --epochs 150 \\
        --suffix enerv
    python benchmarks/flight.py runs/flight --frames 132
    python benchmarks/rate_distortion.py runs/flight runs/rd-flight
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from common import machine, write_result

import enerv_zoo as ez


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("out", help="a folder for fits and files")
    parser.add_argument("--models", default="pca_nerv", help="families, with commas")
    parser.add_argument("--bpp", default="0.06,0.1,0.16,0.26", help="bits per pixel of files, four or more")
    parser.add_argument("--ladder", type=float, help="part of the epochs by which lower rates go on")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--epochs", type=int, default=330)
    parser.add_argument("--resize", default="256x144")
    parser.add_argument("--suffix", default="", help="of the result's name, to tell it from others of the clip")
    case = vars(parser.parse_args())
    folder, suffix, video = Path(case.pop("out")), case.pop("suffix"), Path(case["video"]).name
    result = ez.rate_distortion(
        case["video"],
        case["models"].split(","),
        out=folder,
        bpp=[float(rate) for rate in case["bpp"].split(",")],
        fit_rates=True,
        on_stage=print,
        **{key: case[key] for key in ("ladder", "recipe", "epochs", "resize")},
    )
    write_result(
        "-".join(filter(None, ("rd-fitted", video, suffix, f"cpu{torch.get_num_threads()}"))),
        {**case, "video": video},
        {"benchmark": "rd", "machine": machine("cpu"), **result.to_dict()},
    )


if __name__ == "__main__":
    main()
