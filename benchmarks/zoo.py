"""Every family on the bundled clip at equal size, for equal epochs (`time_to_psnr.py`: equal seconds). Restartable.

A family is fitted in several ways, and its best fit counts. What was measured before stays in the result.

    python benchmarks/zoo.py --frames ::4 --epochs 50
    python benchmarks/zoo.py --frames ::4 --epochs 50 --loss Fusion6 --rates 2e-3
"""

from __future__ import annotations

import argparse
import inspect
from typing import Any

import torch
from common import commit, machine, read_result, write_result
from rich.console import Console
from rich.table import Table

import enerv_zoo as ez
from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import Spec
from enerv_zoo.recipes import read_recipe
from enerv_zoo.registry import models
from enerv_zoo.zoo import model_config

KEPT = ("psnr", "ms_ssim", "bpp", "stored_numbers", "epochs", "fit_seconds", "fit_frames_per_second", "fps")
"""Of each fit's metrics."""

OWN = {"pca_nerv": "quick", **read_recipe("quick").others}
"""Small recipes of families, which are tried too."""


def file_name(family: str, way: str) -> str:
    return f"{family}-{way}".replace(", ", "-")


def parts(config: ModelConfig) -> str:
    """A composition in a line: embeddings, join, blocks with what steers them, head."""

    def name(spec: Spec) -> str:
        return str(spec["name"])

    inputs = ", ".join(name(config.embeddings[key]) for key in config.join["with"])
    decoder = dict.fromkeys(" + ".join(map(name, stage)) for stage in config.stages)
    return " → ".join([inputs, name(config.join), *decoder, name(config.head)])


def described(name: str, info: ez.VideoInfo, size: str) -> dict[str, str]:
    """Where a family is from, and what it is made of."""
    first = (inspect.getmodule(models.get(name)).__doc__ or "").splitlines()[0]  # type: ignore[union-attr]
    return {"paper": first.rpartition("(")[2].partition(")")[0], "parts": parts(model_config(name, info, size=size))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="*", help="names or wildcards, with commas")
    parser.add_argument("--size", default="0.35M")
    parser.add_argument("--resolution", default="256x144", help="WIDTHxHEIGHT")
    parser.add_argument("--frames", default="::2")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rates", default="2e-3,4e-3,8e-3", help="learning rates to try, with commas")
    parser.add_argument("--loss", default="L2")
    parser.add_argument("--out", default="runs/zoo", help="folder of the fits")
    case: dict[str, Any] = vars(parser.parse_args())
    names = [name for pattern in case.pop("models").split(",") for name in ez.list_models(pattern)]
    rates, loss = case.pop("rates").split(","), case.pop("loss")
    trials = {
        name: {f"{loss}, {rate}": {"model": name, "lr": float(rate), "loss": loss} for rate in rates}
        | ({OWN[name]: {"model": name, "recipe": OWN[name]}} if name in OWN else {})
        for name in names
    }
    fits = ez.compare(
        "bunny",
        {file_name(name, way): options for name in names for way, options in trials[name].items()},
        out=case.pop("out"),
        on_model=lambda name: Console(stderr=True).print(name),
        size=f"~{case['size']}",
        frames=case["frames"],
        resize=case["resolution"],
        batch_size=case["batch"],
        device="cpu",
        epochs=case["epochs"],
    )
    info = ez.open_video("bunny", frames=case["frames"], resize=case["resolution"]).info
    result = f"zoo-cpu{torch.get_num_threads()}-{case['size']}-{case['resolution']}"
    before = read_result(result)
    rows = before["families"] if before.get("case") == case else {}
    for name in names:
        measured = {way: fits[file_name(name, way)] for way in trials[name]}
        best = max(measured, key=lambda way: measured[way]["psnr"])
        tried = {**rows.get(name, {}).get("tried", {}), **{way: fit["psnr"] for way, fit in measured.items()}}
        if measured[best]["psnr"] >= max(tried.values()):
            fit = {key: measured[best][key] for key in KEPT}
            rows[name] = fit | described(name, info, case["size"]) | {"recipe": best, "commit": commit()}
        rows[name]["tried"] = tried
    table = Table("family", "PSNR (dB)", "tried")
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["psnr"]):
        table.add_row(name, f"{row['psnr']:.2f}", "; ".join(f"{way}: {psnr:.2f}" for way, psnr in row["tried"].items()))
    Console().print(table)
    write_result(result, case, {"benchmark": "zoo", "machine": machine("cpu"), "families": rows})


if __name__ == "__main__":
    main()
