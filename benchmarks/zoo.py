"""Every family on the bundled clip at equal size, for equal epochs (`time_to_psnr.py`: equal seconds). Restartable.

A family is fitted with each of several learning rates, and its best fit counts. Rows of other families that were
measured with the same options stay in the result.

    python benchmarks/zoo.py --frames ::4 --epochs 50
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
from enerv_zoo.registry import models
from enerv_zoo.zoo import model_config

KEPT = ("psnr", "ms_ssim", "bpp", "stored_numbers", "epochs", "fit_seconds", "fit_frames_per_second", "fps")
"""Of each fit's metrics."""

OWN = {"pca_nerv": {"recipe": "quick"}}
"""Small recipes of families, which are tried too."""


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
    parser.add_argument("--rates", default="2e-3,4e-3,8e-3", help="learning rates to choose from, with commas")
    parser.add_argument("--loss", default="L2")
    parser.add_argument("--out", default="runs/zoo", help="folder of the fits")
    case: dict[str, Any] = vars(parser.parse_args())
    names = [name for pattern in case.pop("models").split(",") for name in ez.list_models(pattern)]
    own = {name: {"model": name, **OWN[name]} for name in names if name in OWN}
    trials = {
        f"{name}-{rate}": {"model": name, "lr": float(rate)} for rate in case["rates"].split(",") for name in names
    }
    fits = ez.compare(
        "bunny",
        {**own, **trials},
        out=case.pop("out"),
        on_model=lambda name: Console(stderr=True).print(name),
        size=case["size"],
        frames=case["frames"],
        resize=case["resolution"],
        batch_size=case["batch"],
        loss=case["loss"],
        device="cpu",
        epochs=case["epochs"],
    )
    info = ez.open_video("bunny", frames=case["frames"], resize=case["resolution"]).info
    table = Table("family", "PSNR (dB)", "tried", "epochs", "seconds", "decode frames/s")
    rows, now = {}, {"commit": commit()}
    for name in names:
        tried = {trial: metrics for trial, metrics in fits.items() if trial.partition("-")[0] == name}
        best = max(tried, key=lambda trial: tried[trial]["psnr"])
        rows[name] = {key: tried[best][key] for key in KEPT} | described(name, info, case["size"]) | now
        rows[name]["best"] = best.partition("-")[2]
        rows[name]["tried"] = {trial.partition("-")[2]: metrics["psnr"] for trial, metrics in tried.items()}
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["psnr"]):
        tried = ", ".join(f"{rate or 'own'}: {psnr:.2f}" for rate, psnr in row["tried"].items())
        table.add_row(
            name, f"{row['psnr']:.2f}", tried, *(f"{row[key]:.0f}" for key in ("epochs", "fit_seconds", "fps"))
        )
    Console().print(table)
    name = f"zoo-cpu{torch.get_num_threads()}-{case['size']}-{case['resolution']}"
    before = read_result(name)
    if {key: value for key, value in before.get("case", {}).items() if value is not None} == case:
        rows = {**before["families"], **rows}
    write_result(name, case, {"benchmark": "zoo", "machine": machine("cpu"), "families": rows})


if __name__ == "__main__":
    main()
