"""Classical codecs on the same frames: how many bytes, how good, how fast."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from enerv_zoo.config import DEFAULT_METRICS, MetricSpec, VideoInfo
from enerv_zoo.errors import ConfigError, VideoError, did_you_mean
from enerv_zoo.evaluation.rates import RatePoint, scored
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.encoders import Clock, Movie, encode_movie

logger = logging.getLogger(__name__)

_TICK = Fraction(1, 1000)


@dataclass(frozen=True)
class Codec:
    """An encoder with its settings.

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


CODECS = {
    "x264": Codec("libx264", {"preset": "slow"}, (17, 22, 27, 32, 37), 51),
    "x265": Codec("libx265", {"preset": "slow", "x265-params": "log-level=error"}, (17, 22, 27, 32, 37), 51),
    "svtav1": Codec("libsvtav1", {"preset": "5"}, (20, 29, 38, 47, 56), 63),
    "vp9": Codec("libvpx-vp9", {"deadline": "good", "cpu-used": "1", "row-mt": "1"}, (20, 29, 38, 47, 56), 63),
}
"""The encoders of `measure_codec`, as 8-bit yuv420p without audio in a Matroska file."""


def available(names: Sequence[str]) -> list[str]:
    """Those of the codecs that this build of PyAV has; a missing one is logged.

    Raises:
        ConfigError: a name that no codec here has.
    """
    found = []
    for name in names:
        if name not in CODECS:
            raise ConfigError(
                f"no codec is called {name!r}.{did_you_mean(name, CODECS)} There are: {', '.join(CODECS)}"
            )
        if CODECS[name].encoder in av.codecs_available:
            found.append(name)
        else:
            logger.warning("codec %s is left out: this build of PyAV has no %s", name, CODECS[name].encoder)
    return found


def check_sides(info: VideoInfo) -> None:
    """Refuse frames that 4:2:0 cannot keep.

    Raises:
        VideoError: an odd side.
    """
    if info.height % 2 or info.width % 2:
        raise VideoError(f"codecs need even sides, the frames are {info.size_text}; crop or resize them")


def measure_codec(
    name: str, video: Video, ladder: Sequence[int] | None = None, metrics: Sequence[MetricSpec] = DEFAULT_METRICS
) -> Iterator[RatePoint]:
    """Encode a video at every step of a ladder, decode it, and compare.

    SVT-AV1 prints its settings unless the process's environment says `SVT_LOG=1`, as the command line's does.

    Args:
        name: one of `CODECS`.
        video: the frames; sides must be even, as half of the colour is what 4:2:0 keeps.
        ladder: constant rate factors; by default the codec's.
        metrics: what frames are measured by.

    Raises:
        ConfigError: unknown or missing codec, or a factor it does not know.
        VideoError: an odd side, or the codec fails.
    """
    if not available([name]):
        raise ConfigError(f"this build of PyAV has no {CODECS[name].encoder}; choose another codec than {name}")
    check_sides(video.info)
    codec = CODECS[name]
    for crf in ladder or codec.ladder:
        if not 0 <= crf <= codec.worst:
            raise ConfigError(f"the rate factor of {name} is 0 to {codec.worst}, got {crf}")
        with tempfile.TemporaryDirectory() as folder:
            yield _measured(name, codec, crf, video, Path(folder) / "encoded.mkv", metrics)


def _measured(name: str, codec: Codec, crf: int, video: Video, path: Path, metrics: Sequence[MetricSpec]) -> RatePoint:
    movie = Movie("matroska", codec.encoder, crf, codec.worst, _TICK, codec.options, {})
    rate = Fraction(video.info.fps or 25).limit_denominator(1001)
    start = time.perf_counter()
    encode_movie(path, movie, (frame.permute(1, 2, 0).numpy() for frame in video.frames), Clock(rate, None), crf)
    encoded = time.perf_counter()
    frames = open_video(path).frames  # converted as this package reads any video
    seconds = time.perf_counter() - encoded
    if len(frames) != len(video):
        raise VideoError(f"{name} at {crf} gave {len(frames)} frames back of {len(video)}; choose another codec")
    size = path.stat().st_size
    return RatePoint(
        setting=f"crf {crf}",
        bytes=size,
        bpp=bits_per_pixel(size, video.info),
        scores=scored([frames], video.frames, metrics),
        encode_seconds=encoded - start,
        decode_fps=len(frames) / seconds,
    )
