"""Rate against quality: points on curves, and how far apart curves are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import av
import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError, EnervZooError, VideoError, did_you_mean
from enerv_zoo.evaluation.bjontegaard import bd_psnr, bd_rate
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.metrics import ms_ssim, psnr, why_no_ms_ssim
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.video import Video
from enerv_zoo.video.remote import local_path

BATCH = 8
"""Frames compared at a time."""


@dataclass(frozen=True)
class RatePoint:
    """One encoding, measured.

    Attributes:
        setting: what was set to get it, such as `crf 22` or `6 bits`.
        bytes: of the whole file.
        bpp: 8 times that over all pixels of the video.
        psnr: mean of the frames' RGB PSNR in dB, of decoded 8-bit frames.
        ms_ssim: mean of the frames' MS-SSIM, or `None` for frames too small for it.
        encode_seconds: until the file was there: of a network, fitting and compressing it.
        decode_fps: frames decoded a second, conversion to 8-bit RGB included.
    """

    setting: str
    bytes: int
    bpp: float
    psnr: float
    ms_ssim: float | None
    encode_seconds: float
    decode_fps: float


@dataclass(frozen=True)
class RateCurve:
    """What a codec or a family of networks makes of a video at several rates.

    Attributes:
        name: of the codec or family.
        settings: what was the same for all points.
        points: in any order.
    """

    name: str
    settings: dict[str, str]
    points: tuple[RatePoint, ...]

    def best(self) -> list[RatePoint]:
        """The points that no other of the curve beats in rate and PSNR, by rate."""
        found: list[RatePoint] = []
        for point in sorted(self.points, key=lambda point: (point.bytes, -point.psnr)):
            if not found or point.psnr > found[-1].psnr:
                found.append(point)
        return found


@dataclass(frozen=True)
class Gain:
    """How far a curve is from the anchor, by Bjontegaard's measures.

    Attributes:
        curve, anchor: their names.
        bd_rate: rate that it needs more for the same PSNR, in %; negative is better. `None` where they share no PSNR.
        bd_psnr: dB that it has more at the same rate. `None` where they share no rate.
        missing: why a number is missing.
    """

    curve: str
    anchor: str
    bd_rate: float | None
    bd_psnr: float | None
    missing: str | None = None


def gains(curves: Sequence[RateCurve], anchor: str) -> list[Gain]:
    """Every other curve against the anchor; of each, its best points count.

    Raises:
        ConfigError: no curve has the anchor's name.
    """
    by_name = {curve.name: [(point.bpp, point.psnr) for point in curve.best()] for curve in curves}
    if anchor not in by_name:
        raise ConfigError(
            f"no curve is called {anchor!r}.{did_you_mean(anchor, by_name)} There are {', '.join(by_name)}"
        )
    found = []
    for name, points in by_name.items():
        if name == anchor:
            continue
        values: list[float | None] = []
        missing = None
        for measure in (bd_rate, bd_psnr):
            try:
                values.append(measure(by_name[anchor], points))
            except EnervZooError as error:
                values.append(None)
                missing = missing or str(error)
        found.append(Gain(name, anchor, values[0], values[1], missing))
    return found


def measure_network(
    video: NeuralVideo | SegmentedVideo, original: Video, setting: str, size: int, encode_seconds: float
) -> RatePoint:
    """A network as a point: its frames as a viewer gets them, in 8 bits, against the original's.

    Args:
        video: as it was loaded from its file.
        original: the same frames.
        setting: what to call the point.
        size: bytes of the file.
        encode_seconds: that it took to make.
    """
    start = time.perf_counter()
    frames = [batch.cpu() for batch in video.decode()]
    seconds = time.perf_counter() - start
    quality, similarity = scored(frames, original.frames)
    return RatePoint(
        setting, size, bits_per_pixel(size, original.info), quality, similarity, encode_seconds, len(original) / seconds
    )


def scored(batches: Iterable[Tensor], originals: Tensor) -> tuple[float, float | None]:
    """Mean PSNR (dB) and MS-SSIM of 8-bit frames, in batches (B, 3, H, W), against all originals (N, 3, H, W).

    MS-SSIM is `None` for frames too small for it.
    """
    scores: list[float] = []
    similarities: list[float] = []
    small = why_no_ms_ssim(*originals.shape[-2:]) is not None
    for frames in batches:
        for drawn in frames.split(BATCH):
            target = originals[len(scores) : len(scores) + len(drawn)].float() / 255
            drawn = drawn.float() / 255
            scores += psnr(drawn, target).tolist()
            if not small:
                with torch.no_grad():
                    similarities += ms_ssim(drawn, target).tolist()
    return fmean(scores), fmean(similarities) if similarities else None


def source_rate(source: str | Path) -> dict[str, str | float] | None:
    """What a source is compressed with already: `codec`, and `bpp` of its own frames; `None` for anything but a video.

    A codec of the same kind finds again what its like has left, and the better a source is, the less that helps it.
    """
    try:
        with av.open(str(local_path(source))) as file:
            stream = file.streams.video[0]
            sizes = [packet.size for packet in file.demux(stream) if packet.size]
            codec, area = stream.codec_context.name, stream.width * stream.height
    except (VideoError, av.FFmpegError, IndexError):
        return None
    return {"codec": codec, "bpp": 8 * sum(sizes) / (len(sizes) * area)} if sizes and area else None
