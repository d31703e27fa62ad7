"""`write_report`: fits, and rates of codecs, as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enerv_zoo import __version__
from enerv_zoo.config import size_text
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation.report import select_frames
from enerv_zoo.files import check_target, finite, write_text
from enerv_zoo.fitting.plan import choose_device
from enerv_zoo.metrics.columns import MISSING, Column, columns
from enerv_zoo.pages import asset, template
from enerv_zoo.progress import stage
from enerv_zoo.report.collecting import ShownFit, collect
from enerv_zoo.report.movies import HEAT_RANGE, Frames, heat, movie, shown_size
from enerv_zoo.video.origin import protected

if TYPE_CHECKING:
    from torch import Tensor

    from enerv_zoo.batch import RateDistortion

HERE = Path(__file__).parent

MOST_FRAMES = 400
"""Of a longer video, so many are shown, evenly apart."""

COSTS = ("parameters", "bytes", "bits per pixel", "decode frames/s", "fit time", "device")


def write_report(
    runs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    frames: str | None = None,
    data: Any = None,
    rates: RateDistortion | None = None,
    device: str = "auto",
) -> Path:
    """Write a page that shows fits of one video beside the original and beside each other.

    The page is one HTML file with its movies inside: it opens from disk, without a network.

    Args:
        runs: folders of fits, `.nvz` files or repositories on the Hub; all of one video, cut and resized alike.
        out: the file.
        frames: which frames to show, such as `"0:53"`; by default all, or of more than 400 every n-th.
        data: the original, by default the video that each was fitted to.
        rates: from `enerv_zoo.rate_distortion`, to be shown, too.
        device: where frames are decoded: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.

    Returns:
        The path of the file.

    Raises:
        ConfigError: no fits, or fits of videos of other sizes.
        EnervZooError: a fit or its video cannot be read, or the file cannot be written.
    """
    listed = [runs] if isinstance(runs, str | Path) else list(runs)
    if not listed and rates is None:
        raise ConfigError("a report needs a fit; name the folder of one")
    fits = [collect(run, name, data, choose_device(device)) for run, name in zip(listed, _names(listed), strict=True)]
    with protected(*(run.video.origin for run in fits), data):
        check_target(Path(out))
    _check_alike(fits)
    page: dict[str, Any] = {
        "title": "", "video": "", "attribution": None, "movies": [], "runs": [], "rates": False,
        "data": {"runs": [], "metrics": []}, "gains": None, "points": None, "source": None, "history": False,
    }  # fmt: skip
    if fits:
        page |= _shown(fits, frames)
    if rates is not None:
        tables = {"gains": rates.gains_table(), "points": rates.points_table()}
        page |= {"rates": True, "source": rates.source, **tables}
        page["data"]["rate_metrics"] = [_described(column) for column in rates.curves[0].points[0].columns]
        page["data"]["rates"] = [
            {"name": curve.name, "points": [finite(point.to_dict()) for point in curve.best()]}
            for curve in rates.curves
        ]
        if not fits:
            video = rates.video
            page["title"] = f"{video['name']}: rate and quality"
            page["video"] = f"{video['frames']} frames of {size_text(video['height'], video['width'])}"
    text = template(HERE / "page.html.jinja").render(
        css=asset(HERE / "page.css"),
        js=asset(HERE / "charts.js") + asset(HERE / "page.js"),
        version=__version__,
        **page,
    )
    with protected(*(run.video.origin for run in fits), data):
        write_text(out, text)
    return Path(out)


def _names(runs: Sequence[str | Path]) -> list[str]:
    """Name each by as few of its last parts as tell it from the others, and never by its place here."""
    parts = [Path(run).parts[1:] if Path(run).is_absolute() else Path(run).parts for run in runs]
    names = []
    for own in parts:
        count = 1
        while count < len(own) and sum(other[-count:] == own[-count:] for other in parts) > 1:
            count += 1
        names.append("/".join(own[-count:]).removesuffix(".nvz") or "fit")
    return names


def _check_alike(runs: Sequence[ShownFit]) -> None:
    sizes = {run.name: (run.video.info.frames, run.video.info.height, run.video.info.width) for run in runs}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(
            f"{name} has {size[0]} frames of {size_text(size[1], size[2])}" for name, size in sizes.items()
        )
        raise ConfigError(f"a report shows fits of one video in one size; {listed}")


def _shown(runs: Sequence[ShownFit], frames: str | None) -> dict[str, Any]:
    """Return the fields of the page about fits."""
    info = runs[0].video.info
    indices = select_frames(frames, info.frames)
    indices = indices[:: -(-len(indices) // MOST_FRAMES)]
    fps = (info.fps or 25.0) / (indices[1] - indices[0] if len(indices) > 1 else 1)
    fps = min(max(fps, 1.0), 60.0)
    height, width = shown_size(info.height, info.width)
    names = ", ".join(run.name for run in runs)
    rate = f", {info.fps:.6g} frames/s" if info.fps else ""
    quality = columns(run.metrics for run in runs)
    return {
        "title": f"{info.name}: {names}" if info.name else names,
        "video": f"{info.frames} frames of {info.size_text}{rate}{_sizes(runs[0])}",
        "attribution": info.attribution,
        "movies": _movies(runs, indices, fps),
        "height": height,
        "width": width,
        "aspect": f"{width * float(info.pixel_aspect) / height:.4f}",
        "missing": sorted(
            {str(text) for run in runs for own in quality if (text := run.metrics.get(own.name + MISSING))}
        ),
        "heat": HEAT_RANGE,
        "history": any(run.history for run in runs),
        "headings": ["fit", *(column.label for column in quality), *COSTS],
        "runs": [
            {"name": run.name, "cells": _cells(run, quality), "command": run.command, "recipe": run.recipe}
            for run in runs
        ],
        "data": {
            "metrics": [_described(column) for column in quality if column.scope == "frame"],
            "runs": [{"name": run.name, "frames": run.frames, "history": run.history} for run in runs],
            "frames": indices,
            "length": info.frames,
            "fps": fps,
        },
    }


def _sizes(run: ShownFit) -> str:
    """Return the bytes that those of a fit are beside: of the frames as 8-bit RGB, and of the original, all of it."""
    origin = run.video.origin
    original = "" if origin is None or origin.bytes is None else f"; the original has {origin.bytes:,} bytes"
    return f"; {3 * run.video.info.pixels:,} bytes as they are{original}"


def _movies(runs: Sequence[ShownFit], indices: Sequence[int], fps: float) -> list[dict[str, Any]]:
    """Return the movies of the page: the original, the fits, and their heats from it."""
    info = runs[0].video.info
    advance = stage("writing the report", len(indices) * (1 + 2 * len(runs)))

    def encode(frames: Iterable[Tensor], **options: Any) -> str:
        return movie(_counted(frames, advance), fps, pixel_aspect=info.pixel_aspect, **options)

    original = Frames((runs[0].original(i)[None] for i in indices), len(indices), info.height, info.width)
    movies = [{"layer": "original", "label": "original", "data": encode(original, colour=info.colour), "error": False}]
    errors = []
    for number, run in enumerate(runs):
        decoded = Frames(run.video.decode(indices), len(indices), info.height, info.width)
        movies.append(
            {"layer": f"run{number}", "label": run.name, "data": encode(decoded, colour=info.colour), "error": False}
        )
        heats = (heat(frame, target) for frame, target in zip(decoded, original, strict=True))
        errors.append({"layer": f"error{number}", "label": run.name, "data": encode(heats, crf=22), "error": True})
    return [*movies, *errors]


def _counted(frames: Iterable[Tensor], advance: Callable[[int], None]) -> Iterator[Tensor]:
    for frame in frames:
        yield frame
        advance(1)


def _described(column: Column) -> dict[str, Any]:
    """A metric for the page's script."""
    return {**vars(column), "label": column.label, "heading": column.heading, "digits": column.digits}


def _cells(run: ShownFit, quality: Sequence[Column]) -> list[str]:
    """A row of the table: the fit's name, scores and `COSTS`."""
    metrics = run.metrics

    def number(key: str, form: str, unit: str = "") -> str:
        value = metrics.get(key)
        return "n/a" if value is None else format(value, form) + unit

    return [
        run.name,
        *(column.text(metrics.get(column.name)) for column in quality),
        number("stored_numbers", ","),
        number("stored_bytes", ","),
        number("bpp", ".4f"),
        number("fps", ",.1f"),
        number("fit_seconds", ",.0f", " s"),
        str(metrics.get("device", "n/a")),
    ]
