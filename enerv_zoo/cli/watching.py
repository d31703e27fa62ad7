"""`enerv-zoo eval` and `enerv-zoo render`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enerv_zoo.cli import console, options
from enerv_zoo.cli.progress import shown

if TYPE_CHECKING:
    from enerv_zoo.evaluation import Report

Original = Annotated[
    str | None,
    typer.Argument(metavar="VIDEO", help="The original.", show_default="the video that was fitted"),
]


def evaluate(
    run: options.Run,
    video: Original = None,
    *,
    frames: options.Frames = None,
    changes: options.Changes,
    revision: options.Revision = None,
    out: Annotated[Path | None, typer.Option(help="Write report.json and frames.csv here.", show_default=False)] = None,
    images: Annotated[
        Path | None, typer.Option(help="Write the fitted frames as PNGs into this folder.", show_default=False)
    ] = None,
    device: options.Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in --images.")] = False,
    measures: options.Measures,
    per_frame: Annotated[bool, typer.Option("--per-frame", help="Print a row for every frame.")] = False,
    json: options.Json = False,
) -> None:
    """Measure a fit: PSNR, MS-SSIM or other metrics, bits per pixel, decoding speed, frame by frame.

    The original is cut, cropped and resized as it was for the fit, unless told otherwise.

    Examples:

        enerv-zoo eval runs/bunny --per-frame --metrics psnr,psnr_yuv

        enerv-zoo eval user/bunny-enerv bunny

        enerv-zoo eval runs/bunny other.mp4 --frames 0:53 --out runs/bunny/report --images runs/bunny/images
    """
    with shown(run):
        from enerv_zoo import evaluation, hub, loading
        from enerv_zoo.errors import ConfigError
        from enerv_zoo.files import check_writable
        from enerv_zoo.machine import choose_device
        from enerv_zoo.storage.record import METRICS
        from enerv_zoo.video.origin import protected
        from enerv_zoo.video.writing import check_frames_target

        if out is not None:  # before what may take hours
            check_writable(out / "report.json")
            if (out / METRICS).exists():
                raise ConfigError(
                    f"{out}: holds a fit, and its frames.csv; choose another folder, such as {out / 'report'}"
                )
        if images is not None:
            check_frames_target(images, overwrite)
        opened = hub.open_run(run, hub.Access(revision))
        network = loading.load(opened, choose_device(device))
        report = evaluation.evaluate_segments(network, opened.originals(video, **changes), frames=frames, **measures)
        if out is not None:
            with protected(network.origin, video):
                report.write_json(out / "report.json")
                report.write_csv(out / "frames.csv")
        if images is not None:
            with protected(video):
                evaluation.render(network, images, frames=frames, overwrite=overwrite)
    if json:
        console.print_json(report.to_dict())
        return
    if per_frame:
        measured = [
            column
            for column in report.frames[0].columns
            if any(row.scores[column.name] is not None for row in report.frames)
        ]
        rows = console.Listing("frame", *(column.heading for column in measured))
        for row in report.frames:
            rows.add_row(str(row.frame), *(column.number(row.scores[column.name]) for column in measured))
        console.out.print(rows)
    title = f"{run}, {console.count(len(report.frames), 'frame')}"
    original = network.origin.bytes if network.origin else None
    rows_of_metrics = console.metrics_rows(report.to_dict(), 3 * network.info.pixels, original)
    console.out.print(console.table([*rows_of_metrics, *_worst(report)], title))


def _worst(report: Report) -> list[tuple[str, str]]:
    """Return a row of the frame whose score is worst: by the first metric, and by those that say where in a frame."""
    rows: list[tuple[str, str]] = []
    for column in report.frames[0].columns:
        if all(row.scores[column.name] is not None for row in report.frames):
            worst = max(report.frames, key=lambda row: column.rank(row.scores[column.name]))
            text = f"{worst.frame} at {column.text(worst.scores[column.name])}"
            if place := worst.places.get(column.name):
                rows.append((f"lowest {column.label}", f"frame {text}, from x {place[0]}, y {place[1]}"))
            elif not rows:
                rows.append(("worst frame", text))
    return rows


def render(
    run: options.Run,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .mp4, .mkv, .mov, .webm or .gif file, or a folder for PNGs.")
    ],
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Original | fitted | difference (4x brighter).")
    ] = False,
    video: Annotated[str | None, typer.Option(help="The original.", show_default="the video that was fitted")] = None,
    frames: options.Frames = None,
    revision: options.Revision = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames per second; others than the video's are decoded between its frames.",
            show_default="the video's",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="0.25 is slow motion, with frames between frames.")] = 1.0,
    quality: Annotated[
        int | None, typer.Option(help="The encoder's CRF: lower is better and larger.", show_default=False)
    ] = None,
    device: options.Device = "auto",
    precision: Annotated[
        str, typer.Option(help="Of convolutions: float32, bfloat16, or auto: bfloat16 on devices made for it.")
    ] = "auto",
    sound: options.Sound = True,
    tone_map: Annotated[bool, typer.Option("--tone-map", help="Convert HDR and wide colours to SDR (BT.709).")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Write a fitted video as a file that any player shows.

    Examples:

        enerv-zoo render runs/bunny bunny.mp4

        enerv-zoo render runs/bunny compared.mp4 --side-by-side --frames 0:53

        enerv-zoo render runs/bunny slow.mp4 --speed 0.25 --fps 60
    """
    with shown(run):
        from enerv_zoo import evaluation, hub, loading
        from enerv_zoo.errors import VideoError
        from enerv_zoo.files import check_target
        from enerv_zoo.machine import choose_device
        from enerv_zoo.video.origin import protected

        opened = hub.open_run(run, hub.Access(revision))
        network = loading.load(opened, choose_device(device))
        with protected(network.origin, video):
            check_target(out)
        if out.is_file() and not overwrite:
            raise VideoError(f"{out}: exists; choose another name or add --overwrite")
        network.optimize(precision, inductor=False)
        source = opened.original(video) if side_by_side or video else None
        with protected(video):
            path = evaluation.render(
                network,
                out,
                source=source,
                frames=frames,
                fps=fps,
                speed=speed,
                quality=quality,
                overwrite=overwrite,
                sound=sound,
                tone_map=tone_map,
            )
    console.out.print(f"written to {path}")
