"""Anchors: codecs that networks are compared with, on the same frames. How many bytes, how good, how fast?

Contract. Built as `anchor(*, options)`: a class with the methods and attributes of `Anchor`, or a function that returns
an object of one. The four built-in ones are FFmpeg's encoders, through PyAV.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import torch
from torch import Tensor

from enerv_zoo.config import DEFAULT_METRICS, MetricSpec, PartSpec, VideoInfo, as_spec
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.evaluation.rates import BATCH, RatePoint, scored
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.registry import anchors
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.encoders import Clock, Movie, encode_movie

logger = logging.getLogger(__name__)

CODECS = ("x264", "x265", "svtav1", "vp9")
"""The anchors that are measured by default."""


class Anchor(Protocol):
    """A codec with its settings.

    Attributes:
        ladder: qualities to measure by default, from good to small.
        unit: name of a quality, such as `"crf"`.
        settings: same for all qualities, for tables and records.
    """

    @property
    def ladder(self) -> Sequence[float]: ...

    @property
    def unit(self) -> str: ...

    @property
    def settings(self) -> dict[str, str]: ...

    def missing(self) -> str | None:
        """Return why it cannot be had on this machine, or `None`."""
        ...

    def unsupported(self, info: VideoInfo) -> str | None:
        """Return why it cannot encode such frames, or `None`."""
        ...

    def encode(self, frames: Video, quality: float) -> bytes:
        """Return the whole file.

        Raises:
            ConfigError: there is no such quality.
            VideoError: the codec fails.
        """
        ...

    def decode(self, data: bytes) -> Iterator[Tensor]:
        """Yield all frames of a file in order, each (3, H, W), uint8, RGB."""
        ...


@dataclass(frozen=True)
class FFmpegAnchor:
    """An encoder of FFmpeg at constant rate factors, as 8-bit yuv420p without audio in a Matroska file.

    Attributes:
        encoder: FFmpeg's name of it.
        options: its preset and what else is set.
        ladder: constant rate factors, from good to small.
        worst: the largest factor it knows.
    """

    encoder: str
    options: dict[str, str]
    ladder: tuple[int, ...]
    worst: int
    unit: str = "crf"

    @property
    def settings(self) -> dict[str, str]:
        texts = (f"{key}={value}" for key, value in self.options.items() if "log-level" not in value)
        return {"encoder": self.encoder, "options": " ".join(texts)}

    def missing(self) -> str | None:
        return None if self.encoder in av.codecs_available else f"this build of PyAV has no {self.encoder}"

    def unsupported(self, info: VideoInfo) -> str | None:
        """Frames with an odd side cannot be, as half of the colour is what 4:2:0 keeps."""
        odd = info.height % 2 or info.width % 2
        return f"codecs need even sides, the frames are {info.size_text}; crop or resize them" if odd else None

    def encode(self, frames: Video, quality: float) -> bytes:
        if not 0 <= quality <= self.worst:
            raise ConfigError(f"the rate factor of {self.encoder} is 0 to {self.worst}, got {quality:g}")
        movie = Movie("matroska", self.encoder, self.ladder[0], self.worst, Fraction(1, 1000), self.options, {})
        clock = Clock(Fraction(frames.info.fps or 25).limit_denominator(1001), None)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoded.mkv"
            encode_movie(path, movie, (frame.permute(1, 2, 0).numpy() for frame in frames.frames), clock, quality)
            return path.read_bytes()

    def decode(self, data: bytes) -> Iterator[Tensor]:
        """Convert frames as this package reads any video."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoded.mkv"
            path.write_bytes(data)
            yield from open_video(path).frames


@anchors.register("x264")
def x264(*, preset: str = "slow") -> Anchor:
    """H.264 by x264."""
    return FFmpegAnchor("libx264", {"preset": preset}, (17, 22, 27, 32, 37), 51)


@anchors.register("x265")
def x265(*, preset: str = "slow") -> Anchor:
    """H.265 by x265."""
    return FFmpegAnchor("libx265", {"preset": preset, "x265-params": "log-level=error"}, (17, 22, 27, 32, 37), 51)


@anchors.register("svtav1")
def svtav1(*, preset: int = 5) -> Anchor:
    """AV1 by SVT-AV1, which prints its settings unless the environment says `SVT_LOG=1`, as the command line's does."""
    return FFmpegAnchor("libsvtav1", {"preset": str(preset)}, (20, 29, 38, 47, 56), 63)


@anchors.register("vp9")
def vp9(*, cpu_used: int = 1) -> Anchor:
    """VP9 by libvpx."""
    options = {"deadline": "good", "cpu-used": str(cpu_used), "row-mt": "1"}
    return FFmpegAnchor("libvpx-vp9", options, (20, 29, 38, 47, 56), 63)


def build_anchor(codec: PartSpec) -> Anchor:
    """Build the anchor of a name, or of a name with options.

    Raises:
        ConfigError: there is none, or it lacks what an anchor has.
    """
    spec = as_spec(codec)
    anchor = anchors.build(spec)
    for name in ("ladder", "unit", "settings", "missing", "unsupported", "encode", "decode"):
        if not hasattr(anchor, name):
            raise ConfigError(
                f"anchor {spec['name']!r}: {type(anchor).__name__} has no {name!r}, which an anchor needs"
            )
    return anchor


def available(names: Sequence[str]) -> list[str]:
    """Return those of the codecs that can be had here; a missing one is logged.

    Raises:
        ConfigError: a name that no codec here has.
    """
    usable = []
    for name in names:
        if (reason := build_anchor(name).missing()) is None:
            usable.append(name)
        else:
            logger.warning("codec %s is left out: %s", name, reason)
    return usable


def check_frames(names: Sequence[str], info: VideoInfo) -> None:
    """Refuse frames that one of the codecs cannot encode.

    Raises:
        VideoError: says why.
    """
    for name in names:
        if reason := build_anchor(name).unsupported(info):
            raise VideoError(reason)


def measure_codec(
    codec: PartSpec,
    video: Video,
    ladder: Sequence[float] | None = None,
    metrics: Sequence[MetricSpec] = DEFAULT_METRICS,
) -> Iterator[RatePoint]:
    """Encode a video at every step of a ladder, decode it, and compare.

    Args:
        codec: a name (`enerv_zoo.list_components("anchor")`), or a spec of a name and options.
        video: the frames.
        ladder: qualities; by default the codec's.
        metrics: what frames are measured by.

    Raises:
        ConfigError: unknown or missing codec, or a quality that it does not know.
        VideoError: frames that it cannot encode, or the codec fails.
    """
    name, anchor = as_spec(codec)["name"], build_anchor(codec)
    if reason := anchor.missing():
        raise ConfigError(f"{reason}; choose another codec than {name}")
    check_frames([name], video.info)
    for quality in anchor.ladder if ladder is None else ladder:
        yield _measured(name, anchor, quality, video, metrics)


def _measured(name: str, anchor: Anchor, quality: float, video: Video, metrics: Sequence[MetricSpec]) -> RatePoint:
    start = time.perf_counter()
    data = anchor.encode(video, quality)
    encoded = time.perf_counter()
    frames = list(anchor.decode(data))
    seconds = time.perf_counter() - encoded
    if len(frames) != len(video):
        raise VideoError(f"{name} at {quality:g} gave {len(frames)} frames back of {len(video)}; choose another codec")
    expected = (3, video.info.height, video.info.width)
    for frame in frames:
        if frame.dtype != torch.uint8 or tuple(frame.shape) != expected:
            raise VideoError(f"{name} gave a frame of {frame.dtype} {tuple(frame.shape)}, expected uint8 {expected}")
    batches = (torch.stack(frames[first : first + BATCH]) for first in range(0, len(frames), BATCH))
    return RatePoint(
        setting=f"{anchor.unit} {quality:g}",
        bytes=len(data),
        bpp=bits_per_pixel(len(data), video.info),
        scores=scored(batches, video.frames, metrics),
        encode_seconds=encoded - start,
        decode_fps=len(frames) / seconds,
    )
