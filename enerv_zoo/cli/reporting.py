"""`enerv-zoo report`, and the report at the end of other commands."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from enerv_zoo.cli import console, options
from enerv_zoo.cli.progress import shown
from enerv_zoo.launch import launched

logger = logging.getLogger(__name__)

WithReport = Annotated[
    bool,
    typer.Option("--report/--no-report", help="Write report.html, a page to look at, at the end."),
]


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Fits of one video: folders, .nvz files or repositories on the Hub."),
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
    data: Annotated[
        str | None, typer.Option(metavar="VIDEO", help="The original.", show_default="the video that was fitted")
    ] = None,
    frames: options.Frames = None,
    codecs: Annotated[
        str, typer.Option(help="To show beside, as large as the first fit: x264,x265,svtav1,vp9 or a plug-in's.")
    ] = "",
    player: Annotated[
        bool, typer.Option("--player", help="Put small networks into the page, which then decodes them, too.")
    ] = False,
    runtime: options.Runtime = None,
    device: options.Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write one HTML file that shows fits beside the original and beside each other.

    It has a slider on any frame, movies in step with one zoom for all, differences, the worst frames, curves, scores,
    the networks' parts, and the command that fits each again. It opens from disk, without a connection.

    Examples:

        enerv-zoo report runs/bunny --out bunny.html

        enerv-zoo report runs/compare/enerv runs/compare/nerv --out compared.html

        enerv-zoo report bunny.nvz --codecs x264,svtav1 --player
    """
    from enerv_zoo.errors import ConfigError
    from enerv_zoo.evaluation.anchors import split_codecs
    from enerv_zoo.report import write_report

    if runtime is not None and not player:
        raise typer.BadParameter("--runtime is of a player; add --player")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: is there already; choose another name or add --overwrite")
    with shown(str(out)):
        write_report(
            runs,
            out,
            frames=frames,
            data=data,
            codecs=split_codecs(codecs),
            player=player,
            runtime=runtime,
            device=device,
        )
    console.out.print(f"written to {out}: open it in a browser")


def closing_report(runs: Sequence[str | Path], folder: Path, device: str, **shown_too: Any) -> Path | None:
    """Write the report at the end of a command into a folder, on rank 0.

    Args:
        runs, device: as `enerv_zoo.write_report` takes them.
        folder: of the page.
        shown_too: `data`, `rates` and `means`, as it takes them.

    A report that cannot be written is a warning, not an error.
    """
    from enerv_zoo.errors import EnervZooError
    from enerv_zoo.fitting.folder import REPORT
    from enerv_zoo.report import write_report

    if not launched().first:
        return None
    try:
        with shown(folder.name):
            return write_report(runs, folder / REPORT, device=device, **shown_too)
    except EnervZooError as error:
        logger.warning("no report was written: %s", error)
        return None
