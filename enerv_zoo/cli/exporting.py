"""`enerv-zoo export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enerv_zoo.cli import console, options
from enerv_zoo.cli.progress import shown


def export(
    run: options.Run,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A .onnx or .pt2 file.", show_default=False)],
    precision: Annotated[
        str, typer.Option(help="Of stored weights: float32, or float16 for half the bytes.")
    ] = "float32",
    batch: Annotated[str, typer.Option(metavar="N", help="Frames per call, or dynamic for any number.")] = "dynamic",
    output: Annotated[str, typer.Option(help="Of the model: uint8 or float32 frames, or rgba for a canvas.")] = "uint8",
    revision: options.Revision = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Write a fit as a model that decodes without this package: frame index in, frames out.

    ONNX runs in onnxruntime, in browsers and on phones. It is compared with the network before it is written. Needs
    the extra enerv-zoo[export].

    Examples:

        enerv-zoo export runs/bunny bunny.onnx

        enerv-zoo export bunny.nvz bunny.onnx --precision float16 --batch 1
    """
    from enerv_zoo import exporting, hub
    from enerv_zoo.errors import ConfigError

    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: is there already; choose another name or add --overwrite")
    opened = hub.open_run(run, hub.Access(revision))
    with shown(run):
        exporting.export(opened, out, precision=precision, batch=batch, output=output)  # type: ignore[arg-type]
    size, stored = out.stat().st_size, opened.stored_numbers
    console.out.print(f"written to {out}: {console.megabytes(size)}, {stored:,} parameters in {precision}")
