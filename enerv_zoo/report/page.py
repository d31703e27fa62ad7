"""`write_report`: fits, and rates of codecs, as one HTML file that needs nothing else."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from enerv_zoo import __version__
from enerv_zoo.config import DEFAULT_FPS, PartSpec, VideoInfo, size_text
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation.report import select_frames
from enerv_zoo.exporting.embedding import ASSETS, PageFiles
from enerv_zoo.exporting.onnx_model import check_installed
from enerv_zoo.exporting.runtime import BACKENDS
from enerv_zoo.files import check_target, check_writable, finite, write_text
from enerv_zoo.frame_access import FrameAccess
from enerv_zoo.machine import choose_device
from enerv_zoo.metrics.columns import MISSING, Column, columns
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pages import asset, script_source, template
from enerv_zoo.progress import stage
from enerv_zoo.report.codecs import shown_codec
from enerv_zoo.report.collecting import Shown, ShownFit, collect
from enerv_zoo.report.movies import HEAT_RANGE, heat, kept, movie, shown_size
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.shell import amount, printable
from enerv_zoo.storage.compressed import SUFFIX
from enerv_zoo.summary import Part, summarize
from enerv_zoo.tables import ResultTable
from enerv_zoo.video import Video
from enerv_zoo.video.origin import protected

if TYPE_CHECKING:
    from torch import Tensor

    from enerv_zoo.batch import RateDistortion

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent

MOST_FRAMES = 400
"""Of a longer video, so many are shown, evenly apart."""

MOST_PARAMETERS = 8_000_000
"""Networks with more are not put into a page: they would take a browser seconds per frame, and the page 22 MB."""

COSTS = (
    ("parameters", "stored_numbers", "{:,}".format, "lower"),
    ("bytes", "stored_bytes", "{:,}".format, "lower"),
    ("bits per pixel", "bpp", "{:.4f}".format, "lower"),
    ("decode frames/s", "fps", "{:,.1f}".format, "higher"),
    ("seconds to make", "fit_seconds", lambda seconds: f"{seconds:,.{0 if seconds >= 10 else 1}f}", "lower"),
)
"""Costs in the table: heading, key in `metrics.json`, text, and which one is better."""


def write_report(
    runs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    frames: str | None = None,
    data: Any = None,
    codecs: Sequence[PartSpec] = (),
    player: bool = False,
    runtime: str | Path | None = None,
    rates: RateDistortion | None = None,
    means: ResultTable | None = None,
    device: str = "auto",
) -> Path:
    """Write a page that shows fits of one video beside the original and beside each other.

    The page is one HTML file with its movies inside: it opens from disk, without a network.

    Args:
        runs: folders of fits, `.nvz` files or repositories on the Hub; all of one video, cut and resized alike.
        out: the file.
        frames: which frames to show, such as `"0:53"`; by default those that have scores, which are all unless a time
            budget left no time for them. Of more than 400, every n-th is shown.
        data: the original, by default the video that each was fitted to.
        codecs: as `enerv_zoo.measure_codec` takes them, to be shown beside the fits in the best quality whose file
            has no more bytes than the first fit.
        player: put the networks into the page, too, which then decodes them in the browser when asked, as the pages of
            `enerv_zoo.write_player` do. Networks of more than 8 million parameters stay movies.
        runtime: for `player`, folder of the unpacked npm package onnxruntime-web; its files are then in the page. By
            default the page loads them from a public address (cdn.jsdelivr.net) once it is asked to decode.
        rates: from `enerv_zoo.rate_distortion`, to be shown, too.
        means: of fits with several seeds, from `enerv_zoo.batch.comparison_table`, to be shown, too.
        device: where frames are decoded: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.

    Returns:
        The path of the file.

    Raises:
        ConfigError: no fits, or fits of videos of other sizes; codecs or networks without a fit; a codec that there is
            not; for `player`, the extra `enerv-zoo[export]` is missing.
        EnervZooError: a fit or its video cannot be read, or the file cannot be written.
    """
    check_writable(out)
    if isinstance(runs, FrameAccess):
        raise ConfigError("a report is of folders or files of fits; save_pretrained or compress writes one")
    listed = [runs] if isinstance(runs, str | Path) else list(runs)
    if not listed and (rates is None or codecs or player):
        raise ConfigError("a report needs a fit; name the folder of one")
    if player:
        check_installed()
    fits: list[ShownFit] = []
    for run, name in zip(listed, distinct_names(listed), strict=True):
        fit = collect(run, name, data, choose_device(device))
        fits.append(replace(fit, original=fits[0].original) if fits else fit)  # one copy of the frames
        del fit  # with its own, before the next ones are read
    with protected(*(run.video.origin for run in fits), data):
        check_target(Path(out))
    _check_alike(fits)
    page: dict[str, Any] = {
        "title": "", "video": "", "attribution": None, "movies": [], "rows": [], "runs": [], "rates": False,
        "data": {"runs": [], "metrics": []}, "gains": None, "points": None, "source": None, "history": False,
        "means": means,
    }  # fmt: skip
    files = PageFiles(True, None if runtime is None else Path(runtime)) if player else None
    if fits:
        page |= _shown(fits, frames, codecs)
        if files is not None:
            page["data"] |= _networks(fits, files)
    if rates is not None:
        page = _with_rates(page, rates)
    scripts = ["charts.js", "viewer.js", "page.js"]
    script = (asset(ASSETS / "decoding.js") if files else Markup("")) + Markup("").join(
        asset(HERE / s) for s in scripts
    )
    text = template(HERE / "page.html.jinja").render(
        css=asset(HERE / "page.css"),
        js=script,
        policy=files.policy(script) if files else f"script-src {script_source(script)}",
        worker=asset(ASSETS / "worker.js") if files else None,
        parts=files.parts if files else {},
        decodes="networks" in page["data"],
        loads=None if files is None or files.runtime else sum(file.size for file in BACKENDS["wasm"].values()) / 1e6,
        version=__version__,
        **page,
    )
    with protected(*(run.video.origin for run in fits), data):
        write_text(out, text)
    return Path(out)


def _with_rates(page: dict[str, Any], rates: RateDistortion) -> dict[str, Any]:
    """Return the fields of a page with those about rates."""
    tables = {"gains": rates.gains_table(), "points": rates.points_table()}
    page = {**page, "rates": True, "source": rates.source, **tables}
    page["data"]["rate_metrics"] = [_described(column) for column in rates.curves[0].points[0].columns]
    page["data"]["rates"] = [
        {"name": curve.name, "points": [finite(point.to_dict()) for point in curve.best()]} for curve in rates.curves
    ]
    if not page["title"]:
        video = rates.video
        page["title"] = f"{video['name']}: rate and quality"
        page["video"] = f"{video['frames']} frames of {size_text(video['height'], video['width'])}"
    return page


def distinct_names(runs: Sequence[str | Path]) -> list[str]:
    """Name each by as few of its last parts as tell it from the others, and never by its place here."""
    parts = [Path(run).parts[1:] if Path(run).is_absolute() else Path(run).parts for run in runs]
    names = []
    for own in parts:
        count = 1
        while count < len(own) and sum(other[-count:] == own[-count:] for other in parts) > 1:
            count += 1
        names.append("/".join(own[-count:]))
    short = [name.removesuffix(SUFFIX) or "fit" for name in names]
    names = [one if short.count(one) == 1 else name for one, name in zip(short, names, strict=True)]
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]


def _check_alike(runs: Sequence[ShownFit]) -> None:
    infos = [run.video.info for run in runs]
    if len({(info.frames, info.height, info.width) for info in infos}) > 1:
        listed = ", ".join(
            f"{run.name} has {run.video.info.frames} frames of {run.video.info.size_text}" for run in runs
        )
        raise ConfigError(f"a report shows fits of one video in one size; {listed}")


def _shown(fits: Sequence[ShownFit], frames: str | None, codecs: Sequence[PartSpec]) -> dict[str, Any]:
    """Return the fields of the page about fits, and codecs beside them."""
    first = fits[0]
    info = first.video.info
    indices = select_frames(frames, info.frames)
    if frames is None:
        scored = set.intersection(*({row["frame"] for row in fit.frames} for fit in fits))
        indices = sorted(scored) or indices  # of a long video, a time budget leaves time for some
    indices = indices[:: -(-len(indices) // MOST_FRAMES)]
    fps = (info.fps or DEFAULT_FPS) / (indices[1] - indices[0] if len(indices) > 1 else 1)
    fps = min(max(fps, 1.0), 60.0)
    height, width = shown_size(info.height, info.width)
    names = ", ".join(run.name for run in fits)
    rate = f", {info.fps:.6g} frames/s" if info.fps else ""
    runs: list[Shown] = [*fits, *_codecs(first, codecs)]
    quality = columns(run.metrics for run in runs)
    headings, rows = _table(runs, quality)
    return {
        "title": f"{info.name}: {names}" if info.name else names,
        "video": f"{info.frames} frames of {info.size_text}{rate}",
        "attribution": info.attribution,
        "movies": _movies(runs, first.original, info, indices, fps),
        "height": height,
        "width": width,
        "aspect": f"{width * float(info.pixel_aspect) / height:.4f}",
        "missing": sorted(
            {str(text) for run in runs for own in quality if (text := run.metrics.get(own.name + MISSING))}
        ),
        "heat": HEAT_RANGE,
        "history": any(run.history for run in fits),
        "headings": headings,
        "rows": rows,
        "beside": _beside(first),
        "runs": [
            {"name": run.name, "command": run.command, "recipe": run.recipe, "tree": _tree(run.video)} for run in fits
        ],
        "data": {
            "metrics": [_described(column) for column in quality if column.scope == "frame"],
            "runs": [{"name": run.name, "frames": run.frames, "history": getattr(run, "history", [])} for run in runs],
            "frames": indices,
            "length": info.frames,
            "fps": fps,
            "name": info.name or "report",
            "height": info.height,
            "width": info.width,
        },
    }


def _codecs(fit: ShownFit, codecs: Sequence[PartSpec]) -> Iterator[Shown]:
    """Iterate over files of codecs that have the size of a fit."""
    if codecs:
        info = fit.video.info
        original = Video(kept((fit.original(i)[None] for i in range(info.frames)), info.frames), info)
        advance = stage("encoding with codecs", len(codecs))
        for codec in codecs:
            yield shown_codec(codec, original, fit.metrics["stored_bytes"], fit.measures)
            advance(1)


def _networks(fits: Sequence[ShownFit], files: PageFiles) -> dict[str, Any]:
    """Return what the page's script needs to decode the networks of fits, of those that are small."""
    networks = []
    for run in fits:
        is_small = run.video.stored_numbers <= MOST_PARAMETERS
        if not is_small:
            logger.warning(
                "%s is not decoded in the page: it has more than %s parameters", printable(run.name), MOST_PARAMETERS
            )
        networks.append(files.add_networks(run.video, run.run, "float16") if is_small else [])
    return {"networks": networks, "runtime": files.add_runtime()} if any(networks) else {}


def _beside(fit: ShownFit) -> list[tuple[str, int]]:
    """Return the bytes that those of a fit are beside: of its sound, the original, and the frames as 8-bit RGB."""
    origin = fit.video.origin
    original = [] if origin is None or origin.bytes is None else [("the original file", origin.bytes)]
    sound = [("sound, kept beside it", len(data))] if (data := fit.video.sound) else []
    return [*sound, *original, ("frames as 8-bit RGB", 3 * fit.video.info.pixels)]


def _tree(video: NeuralVideo | SegmentedVideo) -> dict[str, Any]:
    """Return the parts of a network, of the first one of several, as rows for the page."""
    network = video.network(0)
    summary = summarize(network.config, network.info)

    def rows(parts: Sequence[Part], depth: int) -> Iterator[dict[str, Any]]:
        for part in parts:
            share = part.stored_numbers / max(summary.stored_numbers, 1)
            yield {"part": part, "depth": depth, "share": f"{100 * share:.1f}%", "macs": f"{amount(part.macs)}MAC"}
            yield from rows(part.parts, depth + 1)

    return {
        "title": f"{network.config.family}: {summary.stored_numbers:,} parameters, {amount(summary.macs)}MAC per frame"
        + ("" if len(video.segments) == 1 else f"; the first of {len(video.segments)} networks"),
        "rows": list(rows(summary.parts, 0)),
    }


def _movies(
    runs: Sequence[Shown], frame_of: Callable[[int], Tensor], info: VideoInfo, indices: Sequence[int], fps: float
) -> list[dict[str, Any]]:
    """Return the movies of the page: the original, the fits and codecs, and their heats from it."""
    advance = stage("writing the report", len(indices) * (1 + 2 * len(runs)))

    def entry(layer: str, label: str, frames: Iterable[Tensor], **options: Any) -> dict[str, Any]:
        data = movie(_counted(frames, advance), fps, pixel_aspect=info.pixel_aspect, **options)
        return {"layer": layer, "label": label, "data": data, "error": layer.startswith("error")}

    original = kept((frame_of(i)[None] for i in indices), len(indices))
    movies, errors = [entry("original", "original", original, colour=info.colour)], []
    for number, run in enumerate(runs):
        decoded = kept(run.decode(indices), len(indices))
        movies.append(entry(f"run{number}", run.name, decoded, colour=info.colour))
        heats = (heat(frame, target) for frame, target in zip(decoded, original, strict=True))
        errors.append(entry(f"error{number}", run.name, heats, crf=22))
        del decoded, heats  # before those of the next one
    return [*movies, *errors]


def _counted(frames: Iterable[Tensor], advance: Callable[[int], None]) -> Iterator[Tensor]:
    for frame in frames:
        yield frame
        advance(1)


def _described(column: Column) -> dict[str, Any]:
    """A metric for the page's script."""
    return {**vars(column), "label": column.label, "heading": column.heading, "digits": column.digits}


@dataclass(frozen=True)
class _Cell:
    """A cell of the table: its text, and whether no other one of its column is better."""

    text: str
    is_best: bool = False


def _table(runs: Sequence[Shown], quality: Sequence[Column]) -> tuple[list[str], list[list[_Cell]]]:
    """Return headings and rows: names, the scores and `COSTS` that any run has, and devices where they differ."""
    ranked = {
        own.label: [(own.rank(run.metrics.get(own.name)), own.text(run.metrics.get(own.name))) for run in runs]
        for own in quality
        if any(run.metrics.get(own.name) is not None for run in runs)
    }
    for heading, key, text, better in COSTS:
        if any(run.metrics.get(key) is not None for run in runs):
            ranked[heading] = [_cost(run.metrics.get(key), text, better) for run in runs]
    table = {"": [_Cell(run.name) for run in runs]}
    for heading, column in ranked.items():
        ranks = [rank for rank, _ in column if rank != math.inf] or [0.0]
        table[heading] = [_Cell(text, rank == min(ranks) < max(ranks)) for rank, text in column]
    devices = [str(run.metrics.get("device") or "") for run in runs]
    if len({*devices} - {""}) > 1:
        table["on"] = [_Cell(device) for device in devices]
    return [*table], [list(row) for row in zip(*table.values(), strict=True)]


def _cost(value: float | None, text: Callable[[float], str], better: str) -> tuple[float, str]:
    """Return a key that sorts costs from the best to the worst, and the text of one; empty where there is none."""
    if value is None:
        return math.inf, ""
    return (value if better == "lower" else -value), text(value)
