"""Rate against quality: points on curves, and how far apart curves are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from enerv_zoo.config import DEFAULT_METRICS, MetricSpec, VideoInfo, from_dict
from enerv_zoo.errors import ConfigError, EnervZooError, VideoError, did_you_mean
from enerv_zoo.evaluation.bjontegaard import bd_quality, bd_rate
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.metrics import Scorer
from enerv_zoo.metrics.columns import Column, column, names_in
from enerv_zoo.metrics.scored import Scored
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pixels import as_float
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.video import Video
from enerv_zoo.video.remote import local_path
from enerv_zoo.video.streams import choose_stream

BATCH = 8
"""Frames compared at a time."""

MEASURES: tuple[tuple[Callable[..., float], str], ...] = ((bd_rate, "akima"), (bd_quality, "akima"), (bd_rate, "pchip"))
"""Differences of two curves that a gain holds, and how points are joined for each."""


@dataclass(frozen=True)
class RatePoint(Scored):
    """One encoding, measured.

    Attributes:
        setting: what was set to get it, such as `crf 22` or `6 bits`.
        bytes: of the whole file.
        bpp: 8 times that over all pixels of the video.
        scores: of the decoded 8-bit frames, by the metric's name; `None` where one is missing. The first one leads.
        encode_seconds: until the file was there: of a network, fitting and compressing it. `None` where nobody knows.
        decode_fps: frames decoded per second, conversion to 8-bit RGB included. `None` where nobody knows.
        stream_bytes: of the file without a container, where that is known.
    """

    setting: str
    bytes: int
    bpp: float
    scores: Mapping[str, float | None]
    encode_seconds: float | None
    decode_fps: float | None
    stream_bytes: int | None = None

    def quality(self, metric: str | None = None) -> float:
        """The score of a metric, by default the one that leads, the higher the better; of a missing one, the worst."""
        name = metric or next(iter(self.scores))
        return -column(name).rank(self.scores[name])

    def to_dict(self) -> dict[str, Any]:
        """The point as plain data, scores by their names."""
        plain = {key: value for key, value in vars(self).items() if key != "stream_bytes" or value is not None}
        return {**{name: plain.pop(name) for name in ("setting", "bytes", "bpp")}, **plain.pop("scores"), **plain}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> RatePoint:
        """A point from what `to_dict` returns.

        Raises:
            ConfigError: `where` it comes from, it is damaged.
        """
        names = names_in(data)
        rest = {key: value for key, value in data.items() if key not in names}
        return from_dict(cls, {**rest, "scores": {name: data[name] for name in names}}, where)


@dataclass(frozen=True)
class RateCurve:
    """Points of a codec or a family of networks on a video, at several rates.

    Attributes:
        name: of the codec or family.
        settings: what was the same for all points.
        points: in any order.
    """

    name: str
    settings: dict[str, str]
    points: tuple[RatePoint, ...]

    def best(self, metric: str | None = None) -> list[RatePoint]:
        """The points by which the curve is compared, by rate: its upper convex hull over bits per pixel.

        Between two points of a hull, a mix of both files has more quality than any point that was left out; two points
        of nearly one rate would bend a curve through them. Where the hull has less than four points, which a comparison
        needs, these are all that no other one beats in rate and quality.

        Args:
            metric: whose scores are the quality; by default the one that leads.
        """

        def slope(first: RatePoint, second: RatePoint) -> float:
            return (second.quality(metric) - first.quality(metric)) / (second.bpp - first.bpp)

        rising: list[RatePoint] = []
        for point in sorted(self.points, key=lambda point: (point.bpp, -point.quality(metric))):
            if not rising or point.quality(metric) > rising[-1].quality(metric):
                rising.append(point)
        hull: list[RatePoint] = []
        for point in rising:
            while len(hull) > 1 and slope(hull[-2], hull[-1]) <= slope(hull[-2], point):
                hull.pop()
            hull.append(point)
        return hull if len(hull) > 3 else rising

    def left_out(self) -> list[tuple[RatePoint, str]]:
        """Return the points that are not among the best, each with the reason why."""
        best, reasons = self.best(), []
        for point in (point for point in self.points if point not in best):
            better = [one for one in best if one.bpp <= point.bpp and one.quality() >= point.quality()]
            reasons.append((point, f"dominated by {better[-1].setting}" if better else "below the convex hull"))
        return reasons

    def has(self, metric: str) -> bool:
        """Return whether all points have a score of a metric."""
        return all(point.scores.get(metric) is not None for point in self.points)

    def to_dict(self) -> dict[str, Any]:
        """The curve as plain data; where points are left out, with the reasons by their settings."""
        plain = {"name": self.name, "settings": self.settings, "points": [point.to_dict() for point in self.points]}
        reasons = {point.setting: reason for point, reason in self.left_out()}
        return {**plain, "left_out": reasons} if reasons else plain


@dataclass(frozen=True)
class Gain:
    """Distance of a curve from the anchor, by Bjontegaard's measures.

    Attributes:
        curve, anchor: their names.
        bd_rate: rate that it needs more for the same quality, in %; negative is better. `None` where they share none.
            Points are joined by Akima's interpolation (Herglotz et al. 2022, arXiv:2202.12565).
        bd_quality: how much higher its score is at the same rate, joined alike. `None` where they share no rate.
        missing: why a number is missing.
        metric: whose scores are the quality.
        bd_rate_pchip: `bd_rate` with points joined by monotone cubics, as the common test conditions of JCT-VC and JVET
            do.
    """

    curve: str
    anchor: str
    bd_rate: float | None
    bd_quality: float | None
    missing: str | None = None
    metric: str = "psnr"
    bd_rate_pchip: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The gain as plain data: `bd_quality` is called `bd_psnr`, or after another metric."""
        names = {"bd_quality": f"bd_{self.metric}"}
        return {names.get(name, name): value for name, value in vars(self).items()}


def gains(curves: Sequence[RateCurve], anchor: str) -> list[Gain]:
    """Every other curve against the anchor by each metric that both have, the one that leads first; best points count.

    Raises:
        ConfigError: no curve has the anchor's name.
    """
    by_name = {curve.name: curve for curve in curves}
    if anchor not in by_name:
        raise ConfigError(
            f"no curve is called {anchor!r}.{did_you_mean(anchor, by_name)} There are {', '.join(by_name)}"
        )
    first = by_name.pop(anchor)
    return [
        _gain(metric, first, curve)
        for metric in first.points[0].columns
        for curve in by_name.values()
        if first.has(metric.name) and curve.has(metric.name)
    ]


def _gain(metric: Column, anchor: RateCurve, curve: RateCurve) -> Gain:
    points, own = ([(p.bpp, p.quality(metric.name)) for p in each.best(metric.name)] for each in (anchor, curve))
    values: list[float | None] = []
    missing = None
    for measure, method in MEASURES:
        try:
            values.append(measure(points, own, method))
        except EnervZooError as error:
            values.append(None)
            missing = missing or str(error)
    rate, quality, pchip = values
    change = None if quality is None else metric.gain(quality)
    return Gain(curve.name, anchor.name, rate, change, missing, metric.name, pchip)


def measure_network(
    video: NeuralVideo | SegmentedVideo,
    original: Video,
    setting: str,
    size: int,
    encode_seconds: float | None,
    metrics: Sequence[MetricSpec] = DEFAULT_METRICS,
) -> RatePoint:
    """Return a network as a point: its frames as a viewer gets them, as deep as the original's, against these.

    Args:
        video: as it was loaded from its file.
        original: the same frames.
        setting: what to call the point.
        size: bytes of the file.
        encode_seconds: that it took to make.
        metrics: what frames are measured by.
    """
    start = time.perf_counter()
    frames = list(video.decode(dtype=original.frames.dtype))
    seconds = time.perf_counter() - start
    scores = scored(frames, original.frames, metrics)
    bpp = bits_per_pixel(size, original.info)
    return RatePoint(setting, size, bpp, scores, encode_seconds, len(original) / seconds)


def scored(
    batches: Iterable[Tensor], originals: Tensor, metrics: Sequence[MetricSpec] = DEFAULT_METRICS
) -> dict[str, float | None]:
    """Score frames in batches (B, 3, H, W) against all originals (N, 3, H, W), by the metric's name."""
    count, _, height, width = originals.shape
    scorer = Scorer(metrics, VideoInfo(count, height, width))
    done = 0
    for frames in batches:
        for part in frames.split(BATCH):
            scorer.add(as_float(part), as_float(originals[done : done + len(part)]))
            done += len(part)
    return scorer.scores(scorer.rows())


def source_rate(source: str | Path, number: int | None = None) -> dict[str, str | float] | None:
    """Return the `codec` of a source, and the `bpp` of its own frames; `None` for anything but a video.

    A codec of the same kind finds again what its like has left, and the better a source is, the less that helps it.

    Args:
        source: of the frames.
        number: of its video stream, as `enerv_zoo.open_video` takes it (`stream`).
    """
    try:
        path = local_path(source)
        with av.open(f"file:{path}", container_options={"pattern_type": "none"}, metadata_errors="replace") as file:
            stream = choose_stream(file, path, number)
            sizes = [packet.size for packet in file.demux(stream) if packet.size]
            codec, area = stream.codec_context.name, stream.width * stream.height
    except (VideoError, av.FFmpegError, IndexError):
        return None
    return {"codec": codec, "bpp": 8 * sum(sizes) / (len(sizes) * area)} if sizes and area else None
