"""`enerv-zoo export` and `enerv-zoo play`."""

from __future__ import annotations

import shutil
import time
import webbrowser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from enerv_zoo.cli import console, options
from enerv_zoo.cli.progress import shown

if TYPE_CHECKING:
    from enerv_zoo.storage import Run

MODEL = {"batch": "dynamic", "output": "uint8", "index": "float64"}
"""Options of a model that a player has not, and their defaults."""

Precision = Annotated[
    str | None,
    typer.Option(
        help="Of stored weights: float32, or float16 for half the bytes.", show_default="float32, of a player float16"
    ),
]


def export(
    run: options.Run,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="A .onnx or .pt2 file; a folder or .html file for a player.", show_default=False
        ),
    ],
    precision: Precision = None,
    batch: Annotated[str, typer.Option(metavar="N", help="Frames per call, or dynamic for any number.")] = MODEL[
        "batch"
    ],
    output: Annotated[
        str,
        typer.Option(help="Of the model: uint8, float32, sdr (float32; HDR as SDR), or rgba for a canvas."),
    ] = MODEL["output"],
    index: Annotated[
        str, typer.Option(help="Type of the model's input: float64, or float32, which GPUs of browsers need.")
    ] = MODEL["index"],
    player: Annotated[bool, typer.Option("--player", help="Write a web page that plays the network.")] = False,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="With --player: one .html file, which also opens from disk.")
    ] = False,
    runtime: options.Runtime = None,
    revision: options.Revision = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Write a fit as a model that decodes without this package (frame index in, frames out), or as a web page.

    ONNX runs in onnxruntime, in browsers and on phones. It is compared with the network before it is written. Needs
    the extra enerv-zoo[export].

    Examples:

        enerv-zoo export runs/bunny bunny.onnx

        enerv-zoo export bunny.nvz bunny.onnx --precision float16 --batch 1

        enerv-zoo export runs/bunny site --player

        enerv-zoo export runs/bunny bunny.html --player --single-file
    """
    from enerv_zoo import exporting, hub
    from enerv_zoo.errors import ConfigError

    if (single_file or runtime is not None) and not player:
        raise typer.BadParameter("--single-file and --runtime are of a player; add --player")
    if player and single_file != (out.suffix == ".html"):
        expected = "a name that ends in .html" if single_file else "a folder, or --single-file"
        raise typer.BadParameter(f"expected {expected}, got {str(out)!r}", param_hint="'OUT'")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: is there already; choose another name or add --overwrite")
    model = {"batch": batch, "output": output, "index": index}
    if player and model != MODEL:
        raise typer.BadParameter("--batch, --output and --index are of a model; leave out --player")
    opened = hub.open_run(run, hub.Access(revision))
    with shown(run):
        if player:
            page = exporting.write_player(opened, out, runtime=runtime, precision=precision or "float16")  # type: ignore[arg-type]
        else:
            kind = precision or "float32"
            exporting.export(opened, out, precision=kind, **model)  # type: ignore[arg-type]
    if player:
        how = "open it in a browser" if single_file else "serve the folder, for example with: python -m http.server"
        console.out.print(f"written to {page}: {how}")
    else:
        size = console.megabytes(out.stat().st_size)
        console.out.print(f"written to {out}: {size}, {opened.stored_numbers:,} parameters in {kind}")


def play(
    run: options.Run,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Show it here, two pixels per character, without a browser.")
    ] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser at the address.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0 for any that is free.")] = 0,
    runtime: options.Runtime = None,
    device: options.Device = "auto",
    revision: options.Revision = None,
) -> None:
    """Play a fit in the browser, which decodes each frame itself, or in this terminal.

    The page is served on 127.0.0.1 until Ctrl-C. In a browser it needs the extra enerv-zoo[export].

    Examples:

        enerv-zoo play runs/bunny

        enerv-zoo play user/bunny-enerv --terminal
    """
    from enerv_zoo import exporting, hub
    from enerv_zoo.exporting.serving import served

    opened = hub.open_run(run, hub.Access(revision))
    if terminal:
        _play_here(opened, device)
        return
    with TemporaryDirectory() as folder, served(Path(folder) / "player", port) as address:
        with shown(run):
            exporting.write_player(opened, Path(folder) / "player", runtime=runtime)
        console.out.print(f"playing at {address} until Ctrl-C")
        if browser:
            webbrowser.open(address)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


def _play_here(run: Run, device: str) -> None:
    from enerv_zoo import loading
    from enerv_zoo.cli.terminal import CLEAR, HIDE_CURSOR, HOME, SHOW_CURSOR, half_blocks, pictures_on_time
    from enerv_zoo.errors import ConfigError
    from enerv_zoo.machine import choose_device

    if not console.out.is_terminal or console.out.options.ascii_only:
        raise ConfigError("--terminal shows pictures on a terminal with colours and UTF-8, and this is none")
    video = loading.load(run, choose_device(device)).optimize("auto", inductor=False)
    screen = console.out.file
    screen.write(HIDE_CURSOR + CLEAR)
    try:
        for frame in pictures_on_time(video):
            columns, rows = shutil.get_terminal_size()
            screen.write(f"{HOME}{half_blocks(frame, columns, rows - 1, float(video.info.pixel_aspect))}\n")
            screen.flush()
    except KeyboardInterrupt:
        pass
    finally:
        screen.write(SHOW_CURSOR)
        screen.flush()
