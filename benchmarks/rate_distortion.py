"""Rate against quality of networks and real codecs, for the documentation: `enerv-zoo rd` with its result kept.

What has been fitted and encoded in the folder is kept, so it can be repeated until all is done.

    python benchmarks/flight.py runs/flight --frames 66
    python benchmarks/rate_distortion.py bunny runs/rd-bunny
    python benchmarks/rate_distortion.py runs/flight runs/rd-flight
    python benchmarks/rate_distortion.py bunny runs/rd-fitted --recipe quick --models pca_nerv --sizes '' --fit-rates \\
        --bpp 0.06,0.1,0.16,0.26 --epochs 330 --tune-epochs 0 --frames ''

Fits of a minute: the last command with `--epochs 60 --suffix minute`, for `bunny` and a flight of 132 frames; long ones
with `--epochs 990 --suffix hour`, and a ladder with `--ladder 0.25 --suffix ladder`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from common import machine, write_result

import enerv_zoo as ez

RECIPE = {"batch_size": 2, "lr": 3e-3, "loss": "L2"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("out", help="a folder for fits and files")
    parser.add_argument("--models", default="enerv_nerv_block,hnerv_boost,nerv")
    parser.add_argument("--sizes", default="0.1M,0.25M,0.6M")
    parser.add_argument("--bits", default="8,6,5")
    parser.add_argument("--bpp", default="", help="bits per pixel of files, in place of --bits")
    parser.add_argument("--fit-rates", action="store_true", help="fit a network for each rate")
    parser.add_argument("--ladder", type=float, default=0.0, help="part of the epochs by which lower rates go on")
    parser.add_argument("--tune-epochs", type=int, default=2)
    parser.add_argument("--recipe", default="", help="by name; by default one that all families share")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--lr", type=float, default=0.0, help="by default the recipe's")
    parser.add_argument("--frames", default="0:66", help="'' for all")
    parser.add_argument("--resize", default="256x144")
    parser.add_argument("--suffix", default="", help="of the result's name, to tell it from others of the clip")
    case = vars(parser.parse_args())
    folder, suffix = Path(case.pop("out")), case.pop("suffix")
    case = {name: value for name, value in case.items() if value}
    recipe = {"recipe": case["recipe"]} if "recipe" in case else RECIPE
    rates = [float(rate) for rate in case["bpp"].split(",")] if "bpp" in case else []
    result = ez.rate_distortion(
        case["video"],
        case["models"].split(","),
        out=folder,
        sizes=case["sizes"].split(",") if "sizes" in case else None,
        fit_rates=case.get("fit_rates", False),
        ladder=case.get("ladder"),
        bits=None if rates else [int(bits) for bits in case["bits"].split(",")],
        bpp=rates,
        **{key: case[key] for key in ("tune_epochs", "epochs", "lr", "frames", "resize") if key in case},
        on_stage=print,
        **recipe,
    )
    name = case["video"] = Path(case["video"]).name
    way = "fitted" if "fit_rates" in case else case.get("recipe")
    kind = "-".join(filter(None, ("rd", way, name, suffix)))
    write_result(
        f"{kind}-cpu{torch.get_num_threads()}",
        {**case, **recipe},
        {"benchmark": "rd", "machine": machine("cpu"), **result.to_dict()},
    )


if __name__ == "__main__":
    main()
