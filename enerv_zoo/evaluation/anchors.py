"""Anchors: codecs that networks are compared with, on the same frames. How many bytes, how good, how fast?

Contract. Built as `anchor(*, options)`: a class with the methods and attributes of `Anchor`, or a function that returns
an object of one. The built-in ones are FFmpeg's encoders (`enerv_zoo.evaluation.ffmpeg`) and `command`, two programs of
one's own (`enerv_zoo.evaluation.commands`).

A codec is written as its name, as text with options such as `"x264:preset=veryslow,gop=250"`, as the path of a YAML
file with the options of `command`, or as a spec such as `{"name": "x264", "preset": "veryslow"}`.
"""

from __future__ import annotations

import importlib
import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from enerv_zoo.config import DEFAULT_METRICS, MetricSpec, PartSpec, Spec, VideoInfo
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.evaluation.rates import BATCH, RatePoint, scored
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.metrics import check_metrics
from enerv_zoo.parsing import parse_yaml, read_mapping
from enerv_zoo.pixels import as_bytes
from enerv_zoo.registry import anchors
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.reading import Readable

for _builtin in ("ffmpeg", "commands"):
    importlib.import_module(f"enerv_zoo.evaluation.{_builtin}")

logger = logging.getLogger(__name__)

CODECS = ("x264", "x265", "svtav1", "vp9")
"""The anchors that are measured by default."""
COMMAND = "command"
SUFFIXES = (".yaml", ".yml")
_COMMA = re.compile(r",(?![^\[{]*[\]}])")
"""A comma that is in no list or mapping."""


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
        """Yield all frames of a file in order, each (3, H, W), RGB: uint8, or float in [0, 1] of more than 8 bits.

        `data` is what `encode` returned.
        """
        ...

    def stream_bytes(self, data: bytes) -> int:
        """Return the bytes of a file without its container. An anchor may lack this; they are not known then."""
        ...


@dataclass(frozen=True)
class Codec:
    """A codec with its settings, ready to be measured.

    Attributes:
        label: what to call it, and its curve.
        anchor: built from its spec.
    """

    label: str
    anchor: Anchor


def split_codecs(text: str) -> list[str]:
    """Split codecs at commas: `"x264:preset=slow,gop=250,x265"` is `["x264:preset=slow,gop=250", "x265"]`."""
    codecs: list[str] = []
    for piece in filter(None, map(str.strip, _COMMA.split(text))):
        if codecs and "=" in piece and ":" not in piece.partition("=")[0]:
            codecs[-1] += f",{piece}"
        else:
            codecs.append(piece)
    return codecs


def open_codec(codec: PartSpec) -> Codec:
    """Build a codec that is written in one of the ways that this module takes.

    Raises:
        ConfigError: there is no such anchor, option or file, or it lacks what an anchor has.
    """
    label, spec = _read_codec(codec)
    anchor = anchors.build(spec)
    for name in ("ladder", "unit", "settings", "missing", "unsupported", "encode", "decode"):
        if not hasattr(anchor, name):
            raise ConfigError(
                f"anchor {spec['name']!r}: {type(anchor).__name__} has no {name!r}, which an anchor needs"
            )
    return Codec(label, anchor)


def _read_codec(codec: PartSpec | Path) -> tuple[str, Spec]:
    """Return the label and the spec of a codec; the steps of its ladder are no part of the label."""
    codec = str(codec) if isinstance(codec, Path) else codec
    if not isinstance(codec, str):
        return _label(str(codec.get("name")), [f"{key}={value}" for key, value in codec.items()]), dict(codec)
    if codec.endswith(SUFFIXES):
        path, options = Path(codec), read_mapping(codec)
        label = options.pop("name", path.stem)
        return str(label), {"folder": str(path.parent), **options, "name": COMMAND}
    name, _, text = codec.partition(":")
    pieces = [piece.strip() for piece in _COMMA.split(text) if text]
    return _label(name.strip(), pieces), {**dict(_option(codec, piece) for piece in pieces), "name": name.strip()}


def _label(name: str, pieces: Sequence[str]) -> str:
    settings = ",".join(piece for piece in pieces if piece.partition("=")[0] not in ("name", "ladder"))
    return f"{name}:{settings}" if settings else name


def _option(codec: str, text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    try:
        if equals and key.strip():
            return key.strip(), parse_yaml(value)
    except ConfigError:
        pass
    raise ConfigError(f"expected NAME:OPTION=VALUE,... such as x264:preset=veryslow,gop=250, got {codec!r:.120}")


def available(codecs: Sequence[PartSpec]) -> list[Codec]:
    """Return those of the codecs that can be had here; a missing one is logged.

    Raises:
        ConfigError: as `open_codec` does.
    """
    usable = []
    for codec in map(open_codec, codecs):
        if (reason := codec.anchor.missing()) is None:
            usable.append(codec)
        else:
            logger.warning("codec %s is left out: %s", codec.label, reason)
    return usable


def check_frames(codecs: Sequence[Codec], info: VideoInfo) -> None:
    """Refuse frames that one of the codecs cannot encode.

    Raises:
        VideoError: says why.
    """
    for codec in codecs:
        if reason := codec.anchor.unsupported(info):
            raise VideoError(reason)


def measure_codec(
    codec: PartSpec,
    video: Readable,
    ladder: Sequence[float] | None = None,
    metrics: Sequence[MetricSpec] = DEFAULT_METRICS,
) -> Iterator[RatePoint]:
    """Encode a video at every step of a ladder, decode it, and compare; yield a point as each is done.

    Args:
        codec: a name (`enerv_zoo.list_components("anchor")`), with options as in `"x264:preset=veryslow,gop=250"` or
            as a spec, or the path of a YAML file that describes the programs of a codec (see
            `enerv_zoo.evaluation.commands.CommandAnchor`).
        video: the frames, as `enerv_zoo.open_video` gives them, or what it takes.
        ladder: qualities, such as constant rate factors; by default the codec's.
        metrics: what frames are measured by, as `enerv_zoo.evaluate` takes them.

    Raises:
        ConfigError: an unknown or missing codec, an option that it does not have, or a quality that it does not know.
        VideoError: frames that it cannot encode, or the codec fails.
    """
    opened, specs = open_codec(codec), check_metrics(metrics)
    if reason := opened.anchor.missing():
        raise ConfigError(f"{reason}; choose another codec than {opened.label}")
    frames = video if isinstance(video, Video) else open_video(video)
    check_frames([opened], frames.info)
    steps = opened.anchor.ladder if ladder is None else ladder
    return (measure_quality(opened, quality, frames, specs) for quality in steps)


def measure_quality(codec: Codec, quality: float, video: Video, metrics: Sequence[MetricSpec]) -> RatePoint:
    """Return one point of a codec's curve; arguments and errors are those of `measure_codec`."""
    anchor, start = codec.anchor, time.perf_counter()
    data = anchor.encode(video, quality)
    encoded = time.perf_counter()
    frames = list(anchor.decode(data))
    seconds = time.perf_counter() - encoded
    if len(frames) != len(video):
        raise VideoError(
            f"{codec.label} at {quality:.12g} gave {len(frames)} frames back of {len(video)}; choose another codec"
        )
    expected = (3, video.info.height, video.info.width)
    for frame in frames:
        if not (frame.dtype == torch.uint8 or frame.is_floating_point()) or tuple(frame.shape) != expected:
            raise VideoError(
                f"{codec.label} gave a frame of {frame.dtype} {tuple(frame.shape)}, expected uint8 {expected}"
            )
    batches = (torch.stack(frames[first : first + BATCH]) for first in range(0, len(frames), BATCH))
    is_deep = video.frames.is_floating_point()
    return RatePoint(
        setting=f"{anchor.unit} {quality:.12g}",
        bytes=len(data),
        bpp=bits_per_pixel(len(data), video.info),
        scores=scored(batches if is_deep else map(as_bytes, batches), video.frames, metrics),
        encode_seconds=encoded - start,
        decode_fps=len(frames) / seconds,
        stream_bytes=anchor.stream_bytes(data) if hasattr(anchor, "stream_bytes") else None,
    )
