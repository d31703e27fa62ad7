"""Do fits leave their clips' mean images? Clips x families x recipes x seeds: PSNR, the mean image's, what was mended.

Clips are files (any that `enerv_zoo.open_video` reads). Each row has the most and the last of `explained` (see
`enerv_zoo.fitting.divergence`), by which the guard tells a fit that stays near the mean image, after which part of the
fit `explained` was first above the guard's threshold, and the recoveries.

    python benchmarks/collapses.py clips/*.mp4 --recipes quick --models enerv,nerv --seeds 2
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from common import machine, write_result
from torch import Tensor

import enerv_zoo as ez
from enerv_zoo.fitting.divergence import MEAN_IMAGE
from enerv_zoo.fitting.explained import coarse_variance
from enerv_zoo.recipes import read_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", help="paths of clips")
    parser.add_argument(
        "--recipes",
        default="quick",
        help="by name, with commas; their sizes of frames, and strides for a crop, are not used",
    )
    parser.add_argument("--models", default="", help="families, with commas; by default the recipe's own")
    parser.add_argument("--size", default="0.2M")
    parser.add_argument("--frames", default="0:24", help="of each clip")
    parser.add_argument("--resize", default="96x48", help="as `enerv-zoo fit --resize` takes it")
    parser.add_argument("--epochs", type=int, default=0, help="in place of the recipe's")
    parser.add_argument("--lr", type=float, default=0.0, help="in place of the recipe's")
    parser.add_argument("--loss", default="", help="in place of the recipe's, where frames are too small for that")
    parser.add_argument("--bpp", type=float, default=0.0, help="fit to a rate, in bits per pixel")
    parser.add_argument("--clip-grad", type=float, default=0.0, help="in place of the recipe's")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--name", default="collapses-cpu1", help="of the file in benchmarks/results")
    case = vars(parser.parse_args())
    torch.set_num_threads(1)
    ez.tune_process()
    changes = {name: case[name] for name in ("epochs", "lr", "loss", "bpp", "clip_grad") if case[name]}
    clips, rows = case.pop("clips"), []
    for path in clips:
        clip = ez.open_video(path, frames=case["frames"], resize=case["resize"])
        for recipe in case["recipes"].split(","):
            for model in case["models"].split(","):
                for seed in range(case["seeds"]):
                    row = {"clip": Path(path).name, "mean_image_psnr": mean_image_psnr(clip.frames)}
                    row |= {"coarse_variance": coarse_variance(clip.frames), "recipe": recipe, "seed": seed}
                    how = {"size": case["size"], "seed": seed, "precision": case["precision"]}
                    how["resize"] = case["resize"]
                    row |= fit(clip, model or None, {**options(recipe), **how, **changes, "device": "cpu"})
                    rows.append(row)
                    print(row, flush=True)
                    result = {"benchmark": "collapses", "machine": machine("cpu"), "rows": rows}
                    write_result(case["name"], case, result)


def options(name: str) -> dict[str, Any]:
    """Return a recipe as options of `enerv_zoo.fit`; strides that are made for a crop give way to the family's own."""
    recipe = read_recipe(name)
    if "crop" not in recipe.video:
        return {"recipe": name}
    return {"recipe": {"model": {"name": recipe.model["name"]}, "fit": recipe.fit}}


def mean_image_psnr(frames: Tensor) -> float | None:
    """PSNR in dB of the mean of frames (N, 3, H, W), uint8, from every fourth pixel; `None` of a still."""
    error = float((frames[..., ::2, ::2].double() / 255).var(dim=0, correction=0).mean())
    return round(-10 * math.log10(error), 2) if error else None


def fit(clip: ez.Video, model: str | None, how: dict[str, Any]) -> dict[str, Any]:
    result = ez.fit(clip, model, **how)
    explained = [row["explained"] for row in result.history if row["explained"] is not None]
    first = next((number for number, each in enumerate(explained, 1) if each >= MEAN_IMAGE), None)
    return {
        "model": result.metrics["model"],
        "psnr": round(result.metrics["psnr"], 2),
        "explained": round(explained[-1], 3) if explained else None,
        "explained_at_most": round(max(explained), 3) if explained else None,
        "left_after": round(first / len(result.history), 3) if first else None,
        "epochs": len(result.history),
        "precision": result.metrics["precision"],
        "recoveries": result.metrics["recoveries"],
    }


if __name__ == "__main__":
    main()
