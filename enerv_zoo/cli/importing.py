"""`enerv-zoo import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from enerv_zoo.cli import console, options


def import_(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A .pth, .pt or .safetensors file.")],
    *,
    config: Annotated[Path, typer.Option(help="The authors' options by their names, as YAML or JSON.")],
    out: Annotated[Path, typer.Option(help="A folder for the fit.")],
    codebase: Annotated[
        str | None,
        typer.Option(
            help="Whose it is: nerv, e-nerv, hnerv, ffnerv, boosting-nerv, hinerv, dnerv, or a plug-in's.",
            show_default="the one that recognises it",
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of the video it was fitted to.")] = None,
    height: Annotated[int | None, typer.Option(help="Height of the frames in pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Width of the frames in pixels.")] = None,
    content: Annotated[
        str | None,
        typer.Option(metavar="VIDEO", help="The video itself, for networks that embed its content (HNeRV, DNeRV)."),
    ] = None,
    changes: options.Changes,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the fit in --out.")] = False,
) -> None:
    """Turn an authors' checkpoint into a fit that every command here takes.

    Pickles are only ever read as tensors: no code in them runs.

    Example:

        enerv-zoo import model_best.pth --codebase e-nerv --config E-NeRV.yaml --frames 132 --height 720 --width 1280
        --out runs/authors

        enerv-zoo import hnerv.pth --codebase hnerv --config hnerv.yaml --content bunny --crop 1280x640 --out runs/hnerv
    """
    from enerv_zoo.fitting.folder import check_free, clear
    from enerv_zoo.interop import import_checkpoint
    from enerv_zoo.locking import locked
    from enerv_zoo.video import open_video

    with locked(out):
        if not overwrite:
            check_free(out)
        original = None if content is None else open_video(content, **changes)
        if original is not None:
            frames, height, width = original.info.frames, original.info.height, original.info.width
        if frames is None or height is None or width is None:
            raise typer.BadParameter("give --frames, --height and --width of the video, or the video as --content")
        video = import_checkpoint(
            checkpoint,
            codebase=codebase,
            config=config,
            frames=frames,
            height=height,
            width=width,
            content=None if original is None else original.frames,
        )
        clear(out)
        video.save_pretrained(out)
    console.out.print(f"written to {out}: {video.config.family}, {video.stored_numbers:,} stored parameters")
    console.print_command("eval", out, "VIDEO")
