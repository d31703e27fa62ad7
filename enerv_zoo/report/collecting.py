"""All information on a fit, from its folder or its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from enerv_zoo.config import FitConfig, MetricSpec, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation import FrameScore, evaluate_segments
from enerv_zoo.evaluation.report import matching_frames, read_frames
from enerv_zoo.files import finite
from enerv_zoo.fitting.folder import FRAMES
from enerv_zoo.fitting.history import read_history
from enerv_zoo.hub import Access, open_run
from enerv_zoo.hub.download import PUBLISHED
from enerv_zoo.loading import load
from enerv_zoo.metrics.columns import names_in
from enerv_zoo.metrics.scoring import installed
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.parsing import read_mapping, to_yaml
from enerv_zoo.pixels import as_bytes
from enerv_zoo.report.command import compress_command, fit_command
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage import Run
from enerv_zoo.storage.compressed import SUFFIX
from enerv_zoo.storage.record import METRICS, PARTS
from enerv_zoo.video import Video

HISTORY_KEYS = ("epoch", "psnr", "loss")
SHOWN = ("stored_numbers", "stored_bytes", "bpp", "fps", "fit_seconds")
"""Of `metrics.json`, what a page's table has as numbers beside the scores."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A fit, or a codec's file, ready to be shown.

    Attributes:
        name: what to call it.
        decode: yields the frames of indices, in batches (B, 3, H, W), uint8.
        metrics: as in `metrics.json`.
        frames: a mapping per frame: `frame`, and the scores that there are by the metric's name, `None` where one is
            infinite, such as the PSNR of an exact frame.
    """

    name: str
    decode: Callable[[Sequence[int]], Iterable[Tensor]]
    metrics: dict[str, Any]
    frames: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ShownFit(Shown):
    """A fit, ready to be shown.

    Attributes:
        video: the network or networks.
        run: that they were loaded from.
        original: gives the frame (3, H, W), uint8, that it should decode, by index.
        measures: the metrics that it is measured by, with their options.
        history: a mapping per epoch: `epoch`, `psnr` and `loss`; empty where it is not known.
        command: that fits it again, and of a compressed file the one that compresses it, in a second line; or `None`.
        recipe: as YAML, or `None`.
    """

    video: NeuralVideo | SegmentedVideo
    run: Run
    original: Callable[[int], Tensor]
    measures: Sequence[MetricSpec]
    history: list[dict[str, Any]]
    command: str | None
    recipe: str | None


def collect(run: str | Path, name: str, data: Any, device: str) -> ShownFit:
    """Read a fit's folder; what is missing there is measured.

    Args:
        run: a folder, a `.nvz` file or a repository.
        name: what to call it.
        data: the video; by default the one that was fitted.
        device: where frames are decoded.

    Raises:
        EnervZooError: the fit or its video cannot be read.
    """
    opened = open_run(run, Access(), PUBLISHED)
    path, video = opened.path, load(opened, device)
    open_part = opened.originals(data)

    @lru_cache(maxsize=1)  # of a video in segments, the frames of one are in memory
    def original(number: int) -> Video:
        part = open_part(number)
        matching_frames(video.network(number), part, None)
        return part

    def frame_of(index: int) -> Tensor:
        number = video.segment_of(index)
        return as_bytes(original(number).frames[index - video.segments[number].first])

    frame_of(0)
    record = opened.record
    measures = installed(from_dict(FitConfig, record.get("fit") or {}, "fit").metrics)
    if data is None and (path / METRICS).is_file() and (path / FRAMES).is_file():
        metrics, frames = _numbers(path / METRICS), _plain(read_frames(path / FRAMES))
    else:
        report = evaluate_segments(video, original, metrics=measures)
        metrics, frames = {**report.to_dict(), "model": video.config.family}, _plain(report.frames)
    history = [{key: row.get(key) for key in HISTORY_KEYS} for row in read_history(path)]
    recipe = {key: record[key] for key in PARTS if record.get(key)}
    return ShownFit(
        name=name,
        decode=video.decode,
        metrics=metrics,
        frames=frames,
        video=video,
        run=opened,
        original=frame_of,
        measures=measures,
        history=history,
        command=_commands(opened, name) if recipe else None,
        recipe=to_yaml(recipe) if recipe else None,
    )


def _commands(run: Run, name: str) -> str | None:
    """Return the commands that make a run again, a line each; `None` where no command fits what was fitted.

    Raises:
        ConfigError: the record is damaged.
    """
    folder = f"runs/{name}"
    fitting = fit_command(run.record, folder)
    if fitting is None or run.sizes is None:
        return fitting
    fit = run.stored[0].fit
    options = (fit.compression if fit is not None else None) or {}
    remark = "" if options else "  # no options are recorded, as with the defaults, or by older versions"
    try:
        compressing = compress_command(options, folder, f"{Path(name).name}{SUFFIX}")
    except ConfigError:
        return f"{fitting}\n# compressed with options that this version does not have"
    return f"{fitting}\n{compressing}{remark}"


def _numbers(path: Path) -> dict[str, Any]:
    """Read `metrics.json`, and check the values that a page shows as numbers.

    Raises:
        ConfigError: it is damaged.
    """
    metrics = read_mapping(path)
    for name in (*names_in(metrics), *SHOWN):
        if not isinstance(metrics.get(name), (int, float, type(None))):
            raise ConfigError(f"{path}: {name!r} is {metrics[name]!r:.60}, expected a number; the file is damaged")
    return metrics


def _plain(rows: Iterable[FrameScore]) -> list[dict[str, Any]]:
    """Rows of frames without missing scores, infinite ones as `None`."""
    return [finite({key: value for key, value in row.to_dict().items() if value is not None}) for row in rows]
