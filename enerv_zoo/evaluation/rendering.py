"""A fitted network -> a video file."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.config import HD, VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.evaluation.report import check_network, matching_frames, select_frames
from enerv_zoo.files import check_target
from enerv_zoo.frame_access import Timeline
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pixels import as_bytes, as_float
from enerv_zoo.progress import stage
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.threads import usable_threads
from enerv_zoo.video import Video, open_video, write_video
from enerv_zoo.video.origin import protected
from enerv_zoo.video.sound import copy_sound
from enerv_zoo.video.source import Span
from enerv_zoo.video.tones import frames_to_sdr

logger = logging.getLogger(__name__)

DIFFERENCE_GAIN = 4
"""Absolute differences are shown this many times brighter."""


@usable_threads()
def render(
    video: NeuralVideo | SegmentedVideo,
    path: str | Path,
    *,
    source: Any = None,
    frames: str | slice | None = None,
    fps: float | None = None,
    speed: float = 1.0,
    quality: int | None = None,
    overwrite: bool | None = None,
    sound: bool = True,
    tone_map: bool = False,
) -> Path:
    """Decode a fitted video into a file, or with `source` original | fitted | difference side by side.

    A movie has the fit's sound, copied and cut to the frames, and its title, time of recording and chapters.

    Args:
        video: the network.
        path: where to; the suffix says which format (see `enerv_zoo.write_video`), none means a folder of PNGs.
        source: the original, as `enerv_zoo.open_video` takes it.
        frames: which frames.
        fps: frames per second, by default the video's own. With another one, frames are decoded at the moments that it
            asks for, between frames too, and the length stays. A video without a rate is shown at this one.
        speed: seconds of the video per second of the file: 0.25 is slow motion, whose frames are all decoded.
        quality: of the encoder, see `enerv_zoo.write_video`.
        overwrite: whether what exists is replaced, as `enerv_zoo.write_video` takes it: by default files are, and full
            folders are not. The video that was fitted never is.
        sound: write the sound, title, time of recording and chapters; sound and chapters are left out at another
            `speed`, which is logged.
        tone_map: convert a fit of HDR or wide colours to SDR, as `enerv_zoo.open_video` does, and its original.

    Raises:
        ConfigError: `video` is no network.
        VideoError: the original does not match, the range is outside the video, the file cannot be written, or it is
            the video that was fitted; `fps` or `speed` is not positive, or does not go with the original or with a
            range that leaves frames out.
    """
    check_network(video)
    for name, value in (("fps", fps), ("speed", speed)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise VideoError(f"{name} is a number above 0, got {value}")
    with protected(video.origin, source):
        check_target(Path(path))
    maps_tones = tone_map and video.info.colour.is_wide
    original = None if source is None else open_video(source, tone_map=tone_map and not maps_tones)
    indices = select_frames(frames, len(video)) if original is None else matching_frames(video, original, frames)
    places, fps, timestamps = _timed(video.info, indices, fps, speed)
    if original is not None and any(isinstance(place, float) for place in places):
        raise VideoError(
            "the original has no frames between its frames; leave out source (render --side-by-side), or fps and speed"
        )
    beside = _beside(video, indices, speed) if sound else {}
    decoded = _decoded(video, places, original, maps_tones)
    with protected(video.origin, source):
        return write_video(
            path,
            decoded,
            fps=fps,
            timestamps=timestamps,
            pixel_aspect=video.info.pixel_aspect,
            colour=HD if maps_tones else video.info.colour,
            quality=quality,
            overwrite=overwrite,
            **beside,
        )


def _beside(video: NeuralVideo | SegmentedVideo, indices: list[int], speed: float) -> dict[str, Any]:
    """Return the sound and the tags of frames, as `write_video` takes them."""
    times, step = video.timeline, indices[1] - indices[0] if len(indices) > 1 else 1
    zero, stop = float(times.starts[indices[0]]), float(times.starts[indices[-1]]) + step / times.fps
    is_to_end = indices[-1] + step >= len(video)
    span = Span(zero, zero if indices[0] else -math.inf, math.inf if is_to_end else stop)
    tags, sound = video.info.tags, video.sound
    if speed != 1:
        if sound is not None:
            logger.info("the sound is left out, as frames at another speed do not go with it")
        return {"tags": tags and replace(tags, chapters=())}
    sound = sound if sound is None or span == Span() else copy_sound(sound, span)
    return {"sound": sound, "tags": tags and tags.within(zero, span.stop - zero)}


def _timed(
    info: VideoInfo, indices: list[int], fps: float | None, speed: float
) -> tuple[list[int] | list[float], float | None, tuple[float, ...] | None]:
    """Return the indices to decode, whole ones as integers, their rate, and their moments where that varies.

    Raises:
        VideoError: frames are left out, and others were to be decoded between them.
    """
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    has_rate = info.fps is not None or info.timestamps is not None
    if speed == 1 and (fps is None or not has_rate):
        times = info.timestamps
        timestamps = tuple(times[i] - times[indices[0]] for i in indices) if times else None
        return indices, info.fps / step if fps is None and info.fps is not None else fps, timestamps
    if step > 1:
        raise VideoError("fps and speed say which frames are decoded; give frames as a range without a step")
    timeline = Timeline(info if has_rate else replace(info, fps=fps))
    rate = timeline.metadata.average_fps if fps is None else fps
    places = timeline.resampled(rate, speed, range(indices[0], indices[-1] + 1))
    is_whole = all(place.is_integer() for place in places)
    return [int(place) for place in places] if is_whole else places, rate, None


def _decoded(
    video: NeuralVideo | SegmentedVideo, indices: Sequence[float], original: Video | None, maps_tones: bool
) -> Iterator[Tensor]:
    done, advance = 0, stage("writing frames", len(indices))
    colour = video.info.colour
    dtype = torch.uint8 if colour.bits == 8 else torch.float16

    def shown(frame: Tensor) -> Tensor:
        return as_bytes(frames_to_sdr(frame, colour)) if maps_tones else frame

    for batch in _ahead(video.decode(indices, dtype=dtype)):
        for frame in batch:
            frame = shown(frame)
            yield frame if original is None else side_by_side(shown(original.frames[int(indices[done])]), frame)
            done += 1
            advance(1)


def side_by_side(original: Tensor, fitted: Tensor) -> Tensor:
    """Original | fitted | difference: two frames (3, H, W), uint8 or float in [0, 1] -> one of (3, H, 3 W)."""
    if original.is_floating_point() or fitted.is_floating_point():
        original, fitted = as_float(original), as_float(fitted)
        return torch.cat((original, fitted, ((original - fitted).abs() * DIFFERENCE_GAIN).clamp(max=1)), dim=2)
    difference = (original.short() - fitted.short()).abs().mul(DIFFERENCE_GAIN).clamp(max=255).to(torch.uint8)
    return torch.cat((original, fitted, difference), dim=2)


def _ahead(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same batches; the next one is decoded by a thread while the last one is encoded and written."""
    with ThreadPoolExecutor(1, "decoding") as pool:
        following = pool.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield batch
