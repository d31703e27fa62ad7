"""Quality, size and speed of a fitted network."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes

from enerv_zoo.config import DEFAULT_METRICS, MetricSpec, VideoInfo
from enerv_zoo.display import table
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.evaluation.apart import PixelsApart, frames_apart, why_missing
from enerv_zoo.evaluation.timing import Timer
from enerv_zoo.files import finite, write_json, write_text
from enerv_zoo.metrics import Scorer, psnr
from enerv_zoo.metrics.columns import PLACE, flat, is_name
from enerv_zoo.metrics.scored import Scored
from enerv_zoo.metrics.scoring import means, weighted_means
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pixels import as_float
from enerv_zoo.progress import stage
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.tables import Field, ResultTable
from enerv_zoo.threads import usable_threads
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.scenes import survey
from enerv_zoo.video.seen import restricted
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.transforms import square_width

logger = logging.getLogger(__name__)

UNSEEN = "unseen"
"""Column of rows of frames that says which were held out, where some were."""


@dataclass(frozen=True)
class FrameScore(Scored):
    """One frame's scores.

    Attributes:
        frame: its index in the fitted video.
        scores: by the metric's name; `None` where it is missing. PSNR is infinite where the frame is exact.
        places: x and y of the pixel where a score is from, by the names of metrics that say so.
        unseen: whether the frame was held out; `None` where none was.
    """

    frame: int
    scores: Mapping[str, float | None]
    places: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    unseen: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """The index, the scores and their places by their names, as `frames.csv` has them."""
        places = {name + PLACE: list(place) for name, place in self.places.items()}
        unseen = {} if self.unseen is None else {UNSEEN: int(self.unseen)}
        return {"frame": self.frame, **unseen, **self.scores, **places}

    @classmethod
    def from_dict(cls, row: Mapping[str, str]) -> FrameScore:
        """Read a row of `frames.csv`; raises a `ValueError` where it is damaged."""
        places = {name: json.loads(row[name + PLACE]) for name in row if name + PLACE in row}
        names = row.keys() - {"frame", UNSEEN, *(name + PLACE for name in places)}
        scores = {name: float(row[name]) if row[name] else None for name in row if name in names}
        unseen = bool(int(row[UNSEEN])) if UNSEEN in row else None
        return cls(int(row["frame"]), scores, {name: (int(x), int(y)) for name, (x, y) in places.items()}, unseen)


@dataclass(frozen=True)
class Report(Scored):
    """Result of `evaluate`.

    Attributes:
        scores: by the metric's name, in the order asked for: the mean over the frames, or the score of the clip; `None`
            where it is missing.
        missing: why a score is missing, by the metric's name.
        bpp: bits per pixel: 8 times the bytes of the stored network over all pixels of the video.
        fps: frames decoded per second, on `device`, after the first batch.
        stored_numbers: parameters and statistics that a decoder needs.
        stored_bytes: the same as a file.
        device: where the frames were decoded.
        frames: a row per frame, with the scores that frames have.
    """

    scores: Mapping[str, float | None]
    missing: Mapping[str, str]
    bpp: float
    fps: float
    stored_numbers: int
    stored_bytes: int
    device: str
    frames: tuple[FrameScore, ...] = dataclasses.field(repr=False)

    def _repr_html_(self) -> str:
        costs = [
            ("bpp", self.bpp),
            ("fps", self.fps),
            ("parameters", self.stored_numbers),
            ("bytes", self.stored_bytes),
        ]
        return table(f"{len(self.frames)} frames", [*self.scores.items(), *costs])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, scores by their names; infinite numbers become `None`."""
        rest = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("scores", "missing")}
        frames = [row.to_dict() for row in self.frames]
        return finite({**flat(self.scores, self.missing), **rest, "frames": frames})

    def write_json(self, path: str | Path) -> None:
        """Write all of it as JSON."""
        write_json(path, self.to_dict())

    def write_csv(self, path: str | Path) -> None:
        """Write a row per frame as CSV; a missing score is an empty cell."""
        rows = [row.to_dict() for row in self.frames]
        write_text(path, ResultTable([Field(name) for name in rows[0]], rows).csv())


def read_frames(path: str | Path) -> tuple[FrameScore, ...]:
    """Read the rows that `Report.write_csv` wrote.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            head, *names = table.fieldnames or [""]
            if head != "frame" or not all(map(is_name, names)):
                raise ValueError(f"its columns are {', '.join([head, *names])[:80]}")
            return tuple(map(FrameScore.from_dict, table))
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ConfigError(f"{path}: no rows of a frame and its scores ({error}); the file is damaged") from error


@usable_threads()
def evaluate(
    video: NeuralVideo | SegmentedVideo,
    source: Any,
    *,
    metrics: Sequence[MetricSpec] = DEFAULT_METRICS,
    frames: str | slice | None = None,
    batch_size: int | None = None,
    mask: Any = None,
    fit_frames: str | slice | None = None,
) -> Report:
    """Compare a fitted network with the video it was fitted to, or with any other of its size.

    Scores are those of the network's own values, before they are rounded to 8 bits, as in the papers.

    Args:
        video: the network, or the networks of a video in segments, which are compared one by one: of a file, only the
            frames of one segment are in memory.
        source: what `enerv_zoo.open_video` takes. It must have the frames' size; without `frames`, as many frames.
        metrics: names (`enerv_zoo.list_components("metric")`), or `{"name": ..., <option>: ...}`; the first one leads
            where frames and fits are sorted. One of a whole clip takes the memory of all its frames; of a video in
            segments it is the mean of theirs, weighted by frames.
        frames: which frames of both, such as `"0:53"` or `"::2"`.
        batch_size: frames decoded at a time.
        mask: of the fit, as `enerv_zoo.fit` takes it: pixels that were seen and hidden ones get a PSNR of their own
            (`psnr_seen`, `psnr_hidden`). Of one network.
        fit_frames: frames that were fitted: they and the others get scores of their own (`psnr_fitted`, `psnr_unseen`).

    Raises:
        ConfigError: a metric or an option that there is not; or a mask for a video in segments.
        VideoError: the two do not match, or the range is outside either.
    """
    open_part, part = part_of(source, check_network(video), frames)
    if mask is not None or fit_frames is not None:
        if len(video.segments) > 1:
            raise ConfigError("a mask and fit_frames are of one network: evaluate one segment, video.network(0)")
        original = open_part(0)
        size = original.info.height, original.info.width
        open_part, part = part_of(restricted(original, mask, fit_frames, resize=size), video, frames)
    return evaluate_segments(video, open_part, metrics=metrics, frames=part, batch_size=batch_size)


@usable_threads()
def _evaluated(
    video: NeuralVideo,
    original: Video,
    metrics: Sequence[MetricSpec],
    frames: str | slice | None,
    batch_size: int | None,
) -> Report:
    indices = matching_frames(video, original, frames)
    compared = dataclasses.replace(video.info, frames=len(indices), timestamps=None)
    scorer = Scorer(metrics, compared, video.device)
    timer = Timer(video.device)
    apart = PixelsApart(original.seen)
    done, advance = 0, stage("evaluating", len(indices))
    for decoded in timer.timed(video.decode_float(indices, batch_size)):
        batch = indices[done : done + len(decoded)]
        target = as_float(original.frames[batch].to(decoded.device))
        scorer.add(decoded, target)
        apart.add(batch, decoded, target)
        done += len(decoded)
        advance(len(decoded))
    rows = apart.added_to(scorer.rows())
    fitted = original.seen.fitted if original.seen is not None else None
    scored = tuple(
        FrameScore(index, row, places, None if fitted is None else index not in fitted)
        for index, row, places in zip(indices, rows, scorer.places(), strict=True)
    )
    size = stored_bytes(video)
    scores = scorer.scores(rows)
    scores |= means((row.scores for row in scored), [name for name in rows[0] if name not in scores])
    scores |= frames_apart((row.scores, row.unseen) for row in scored)
    return Report(
        scores=scores,
        missing=why_missing(scores, scorer.missing),
        bpp=bits_per_pixel(size, video.info),
        fps=timer.rate(),
        stored_numbers=video.stored_numbers,
        stored_bytes=size,
        device=str(video.device),
        frames=scored,
    )


OpenPart = Callable[[int], Video]
"""Gives the original of a segment, by its number."""


def evaluate_segments(
    video: NeuralVideo | SegmentedVideo,
    open_part: OpenPart,
    *,
    metrics: Sequence[MetricSpec] = DEFAULT_METRICS,
    frames: str | slice | None = None,
    batch_size: int | None = None,
) -> Report:
    """As `evaluate`, segment by segment, with whatever opens the original of one.

    Raises:
        VideoError: an original does not match its segment, or the range is outside the video.
    """
    if len(video.segments) == 1:
        return _evaluated(video.network(0), open_part(0), metrics, frames, batch_size)
    indices = select_frames(frames, len(video))
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    reports = []
    for number, segment in enumerate(video.segments):
        local = [i - segment.first for i in indices if segment.first <= i < segment.stop]
        if not local:
            continue
        part = slice(local[0], local[-1] + 1, step)
        report = _evaluated(video.network(number), open_part(number), metrics, part, batch_size)
        rows = (dataclasses.replace(row, frame=row.frame + segment.first) for row in report.frames)
        reports.append(dataclasses.replace(report, frames=tuple(rows)))
    is_whole = len(reports) == len(video.segments)
    size = sum(report.stored_bytes for report in reports) if is_whole else sum(map(stored_bytes, video.networks()))
    return dataclasses.replace(
        merged(reports),
        fps=joint_rate(reports),
        stored_bytes=size,
        stored_numbers=sum(r.stored_numbers for r in reports) if is_whole else video.stored_numbers,
        bpp=bits_per_pixel(size, video.info),
    )


def part_of(
    source: Any, video: NeuralVideo | SegmentedVideo, frames: str | slice | None = None
) -> tuple[OpenPart, str | slice | None]:
    """Return what opens the frames of one segment of a source, by its number; of a path, only these. And the range.

    Args:
        source: as `enerv_zoo.open_video` takes it.
        video: whose segments they are.
        frames: the range that is to be compared, if not all; of a video in segments it is returned with the ends that
            it has in the shorter one.

    Raises:
        VideoError: the lengths differ and no range was given, or the range leaves either.
    """
    if len(video.segments) == 1:
        original = open_video(source)
        return (lambda number: original), frames
    source = source if isinstance(source, str | Path) else open_video(source)
    info = source.info if isinstance(source, Video) else survey(source, scenes=False).info
    indices = compared_frames(video.info, info, frames)
    step = indices[1] - indices[0] if len(indices) > 1 else 1

    def open_part(number: int) -> Video:
        segment = video.segments[number]
        return open_video(source, frames=slice(segment.first, min(segment.stop, info.frames)))

    return open_part, slice(indices[0], indices[-1] + 1, step)


def merged(reports: Sequence[Report]) -> Report:
    """Return the report of all frames, in order, of reports on parts of them; what is not of frames is the first one's.

    The score of a clip is the mean of those of its parts, weighted by frames.
    """
    rows = tuple(sorted((row for report in reports for row in report.frames), key=lambda row: row.frame))
    of_frames = rows[0].scores.keys()
    scores = {
        **means((row.scores for row in rows), of_frames),
        **weighted_means([(r.scores, len(r.frames)) for r in reports], reports[0].scores.keys() - of_frames),
        **frames_apart((row.scores, row.unseen) for row in rows),
    }
    scores = {name: scores[name] for name in reports[0].scores}
    return dataclasses.replace(reports[0], scores=scores, missing=why_missing(scores, reports[0].missing), frames=rows)


def joint_rate(reports: Sequence[Report]) -> float:
    """Return the frames per second of parts that are decoded one after the other."""
    return sum(len(r.frames) for r in reports) / sum(len(r.frames) / r.fps for r in reports)


def mean_psnr(video: NeuralVideo, original: Video, indices: Sequence[int] | None = None) -> float:
    """Return the mean PSNR in dB of frames, all by default, and nothing else, for a fit in progress."""
    indices = list(range(len(original)) if indices is None else indices)
    scores, done, advance = [], 0, stage("evaluating", len(indices))
    for decoded in video.decode_float(indices):
        scores.append(psnr(decoded, as_float(original.frames[indices[done : done + len(decoded)]].to(decoded.device))))
        done += len(decoded)
        advance(len(decoded))
    return float(torch.cat(scores).mean())


def check_network(video: Any) -> NeuralVideo | SegmentedVideo:
    """Refuse what decodes no frames, such as the name of a fit; return what does.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(video, (NeuralVideo, SegmentedVideo)):
        raise ConfigError(f"expected a network, got {video!r:.60}; enerv_zoo.load gives one from a folder or a name")
    return video


def matching_frames(video: NeuralVideo | SegmentedVideo, original: Video, frames: str | slice | None) -> list[int]:
    """Return the indices at which a fitted video and an original are compared.

    Raises:
        VideoError: their sizes differ, their lengths differ and no range was given, or the range leaves either.
    """
    ours, theirs = video.info, original.info
    if (ours.height, ours.width) != (theirs.height, theirs.width):
        if (ours.height, ours.width) == (theirs.height, square_width(theirs.width, theirs.pixel_aspect)):
            raise VideoError(
                f"the fit was made from square pixels, {theirs.name!r} has others; open it with square_pixels=True (on "
                "the command line, eval has --square-pixels)"
            )
        raise VideoError(
            f"the fit decodes to {ours.size_text}, {theirs.name!r} is {theirs.size_text}; "
            f'open it with resize="{ours.size_text}" (on the command line, eval has --resize)'
        )
    if theirs.colour.is_wide and not ours.colour.is_wide:
        logger.warning("the fit is SDR, %r is %s; open it with tone_map=True (--tone-map)", theirs.name, theirs.colour)
    return compared_frames(ours, theirs, frames)


def compared_frames(ours: VideoInfo, theirs: VideoInfo, frames: str | slice | None) -> list[int]:
    """Return the indices at which two videos are compared: all, or those of a range that both have.

    Raises:
        VideoError: their lengths differ and no range was given, or the range leaves either.
    """
    if frames is None and ours.frames != theirs.frames:
        raise VideoError(
            f"the fit has {ours.frames} frames, {theirs.name!r} has {theirs.frames}; say which to compare, "
            f'such as frames="0:{min(ours.frames, theirs.frames)}" (on the command line, eval has --frames)'
        )
    return select_frames(frames, min(ours.frames, theirs.frames))


def select_frames(frames: str | slice | None, count: int) -> list[int]:
    """Return the indices that a range such as `"0:53"` means in a video of `count` frames.

    Raises:
        VideoError: the range is empty or leaves the video.
    """
    selection = Selection.of(frames)
    selection.check(count, "the video")
    return list(selection.indices(count))


def stored_bytes(video: NeuralVideo) -> int:
    """Return the bytes of the compressed file that the network was read from, else of what `save_pretrained` writes."""
    if video.file_bytes is not None:
        return video.file_bytes
    return len(to_bytes(video.weights()))


def bits_per_pixel(size: int, info: VideoInfo) -> float:
    """Return 8 times the stored bytes over all pixels of the video."""
    return 8 * size / info.pixels
