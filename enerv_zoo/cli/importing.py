"""`enerv-zoo import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enerv_zoo.cli import console


def import_(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A .pth, .pt or .safetensors file.")],
    codebase: Annotated[str, typer.Option(help="Whose it is: e-nerv (E-NeRV and its NeRV baseline) or nerv.")],
    config: Annotated[Path, typer.Option(help="The authors' options by their names, as YAML or JSON.")],
    frames: Annotated[int, typer.Option(help="Frames of the video it was fitted to.")],
    height: Annotated[int, typer.Option(help="Height of the frames in pixels.")],
    width: Annotated[int, typer.Option(help="Width of the frames in pixels.")],
    out: Annotated[Path, typer.Option(help="A folder for the fit.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the fit in --out.")] = False,
) -> None:
    """Turn an authors' checkpoint into a fit that every command here takes.

    Pickles are only ever read as tensors: no code in them runs.

    Example:

        enerv-zoo import model_best.pth --codebase e-nerv --config E-NeRV.yaml --frames 132 --height 720 --width 1280
        --out runs/authors
    """
    from enerv_zoo.errors import FitError
    from enerv_zoo.hub.folder import CONFIG
    from enerv_zoo.interop import import_checkpoint

    if (out / CONFIG).exists() and not overwrite:
        raise FitError(f"{out}: already holds a fit; choose another --out or add --overwrite")
    video = import_checkpoint(checkpoint, codebase=codebase, config=config, frames=frames, height=height, width=width)
    video.save_pretrained(out)
    console.out.print(f"written to {out}: {video.config.family}, {video.stored_numbers:,} stored parameters")
    console.out.print(f"  enerv-zoo eval {out} VIDEO")
