"""Encoders of FFmpeg, through PyAV, as anchors."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from av.video.format import VideoFormat
from torch import Tensor

from enerv_zoo.config import DEFAULT_FPS, HD, Colour, VideoInfo
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.registry import anchors
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.encoders import Clock, Movie, encode_movie

QUIET = "log-level=error"
"""Among the parameters of x265: it prints its settings otherwise."""


@dataclass(frozen=True)
class FFmpegAnchor:
    """An encoder of FFmpeg at constant rate factors, without audio in a Matroska file.

    Attributes:
        encoder: FFmpeg's name of it.
        options: its preset and what else is set.
        ladder: constant rate factors, from good to small.
        worst: the largest factor it knows.
        format: FFmpeg's name of the pixel format: yuv420p has 8 bits, yuv420p10le 10.
    """

    encoder: str
    options: dict[str, str]
    ladder: Sequence[float]
    worst: int
    format: str = "yuv420p"
    unit: str = "crf"

    def __post_init__(self) -> None:
        check_format(self.format)
        for quality in self.ladder:
            self._check(quality)

    @property
    def settings(self) -> dict[str, str]:
        options = ((key, value.removeprefix(QUIET).lstrip(":")) for key, value in self.options.items())
        settings = {"encoder": self.encoder, "options": " ".join(f"{key}={text}" for key, text in options if text)}
        return settings if self.format == "yuv420p" else {**settings, "format": self.format}

    def missing(self) -> str | None:
        if self.encoder not in av.codecs_available:
            return f"this build of PyAV has no {self.encoder}"
        formats = [each.name for each in av.Codec(self.encoder, "w").video_formats or ()]
        if self.format in formats:
            return None
        return f"{self.encoder} in this build of PyAV takes no {self.format}, but {', '.join(formats)}"

    def unsupported(self, info: VideoInfo) -> str | None:
        """Frames with an odd side cannot be, as half of the colour is what 4:2:0 keeps."""
        return odd_sides(info)

    def encode(self, frames: Video, quality: float) -> bytes:
        self._check(quality)
        tick = Fraction(1, 1000)
        movie = Movie("matroska", self.encoder, 0, self.worst, tick, self.options, {}, pixels=self.format)
        clock = Clock(Fraction(frames.info.fps or DEFAULT_FPS).limit_denominator(1001), None)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoded.mkv"
            images = (frame.permute(1, 2, 0).numpy() for frame in frames.frames)
            try:
                encode_movie(path, movie, images, clock, quality, colour=stored_colour(frames))
            except OSError as error:  # which is how FFmpeg's errors come out of there
                settings = ", ".join(f"{key} {text}" for key, text in self.settings.items())
                raise VideoError(
                    f"{self.encoder} does not encode frames of {frames.info.size_text} ({error.strerror}); check its "
                    f"settings: {settings}"
                ) from error
            return path.read_bytes()

    def decode(self, data: bytes) -> Iterator[Tensor]:
        """Convert frames as this package reads any video at its full depth."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoded.mkv"
            path.write_bytes(data)
            yield from open_video(path, full_depth=True).frames

    def stream_bytes(self, data: bytes) -> int:
        """Return the bytes of a file's packets and of the headers that the container keeps for them."""
        with av.open(io.BytesIO(data), "r") as file:
            stream = file.streams.video[0]
            return len(stream.codec_context.extradata or b"") + sum(packet.size for packet in file.demux(stream))

    def _check(self, quality: float) -> None:
        if not 0 <= quality <= self.worst:
            raise ConfigError(f"the rate factor of {self.encoder} is 0 to {self.worst}, got {quality:.12g}")


def check_format(name: str) -> None:
    """Refuse what is no pixel format.

    Raises:
        ConfigError: FFmpeg has none of this name.
    """
    try:
        VideoFormat(name)
    except (ValueError, FFmpegError):
        raise ConfigError(
            f"format {name!r:.40} is no pixel format of FFmpeg; expected one such as yuv420p or yuv420p10le"
        ) from None


def stored_colour(frames: Video) -> Colour:
    """Return the colour as which frames are encoded: of HD video, or their own where they have more than 8 bits."""
    return frames.info.colour if frames.frames.is_floating_point() else HD


def odd_sides(info: VideoInfo) -> str | None:
    """Return why 4:2:0 takes no such frames, or `None` where it does."""
    odd = info.height % 2 or info.width % 2
    return f"codecs need even sides, the frames are {info.size_text}; crop or resize them" if odd else None


@anchors.register("x264")
def x264(
    *,
    preset: str = "slow",
    tune: str | None = None,
    gop: int | None = None,
    options: Mapping[str, Any] | None = None,
    format: str = "yuv420p",
    ladder: Sequence[float] = (17, 22, 27, 32, 37),
) -> FFmpegAnchor:
    """H.264 by x264."""
    settings = _options({"preset": preset, "tune": tune, "g": gop}, options)
    return FFmpegAnchor("libx264", settings, ladder, 51, format)


@anchors.register("x265")
def x265(
    *,
    preset: str = "slow",
    tune: str | None = None,
    gop: int | None = None,
    options: Mapping[str, Any] | None = None,
    format: str = "yuv420p",
    ladder: Sequence[float] = (17, 22, 27, 32, 37),
) -> FFmpegAnchor:
    """H.265 by x265."""
    settings = _options({"preset": preset, "tune": tune, "g": gop, "x265-params": None}, options)
    settings["x265-params"] = ":".join(filter(None, (QUIET, settings.get("x265-params"))))
    return FFmpegAnchor("libx265", settings, ladder, 51, format)


@anchors.register("svtav1")
def svtav1(
    *,
    preset: int = 5,
    gop: int | None = None,
    options: Mapping[str, Any] | None = None,
    format: str = "yuv420p",
    ladder: Sequence[float] = (20, 29, 38, 47, 56),
) -> FFmpegAnchor:
    """AV1 by SVT-AV1, which prints its settings unless the environment says `SVT_LOG=1`, as the command line's does."""
    return FFmpegAnchor("libsvtav1", _options({"preset": preset, "g": gop}, options), ladder, 63, format)


@anchors.register("vp9")
def vp9(
    *,
    cpu_used: int = 1,
    gop: int | None = None,
    options: Mapping[str, Any] | None = None,
    format: str = "yuv420p",
    ladder: Sequence[float] = (20, 29, 38, 47, 56),
) -> FFmpegAnchor:
    """VP9 by libvpx."""
    settings = _options({"deadline": "good", "cpu-used": cpu_used, "row-mt": 1, "g": gop}, options)
    return FFmpegAnchor("libvpx-vp9", settings, ladder, 63, format)


def _options(named: Mapping[str, Any], others: Mapping[str, Any] | None) -> dict[str, str]:
    """Return options as FFmpeg takes them: those that are named here, and others by FFmpeg's own names."""
    return {key: str(value) for key, value in {**named, **(others or {})}.items() if value is not None}
