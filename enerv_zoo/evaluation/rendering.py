"""A fitted network -> a video file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.evaluation.report import check_network, matching_frames, select_frames
from enerv_zoo.files import check_target
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pixels import as_float
from enerv_zoo.progress import stage
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.threads import usable_threads
from enerv_zoo.video import Video, open_video, write_video
from enerv_zoo.video.origin import protected

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
    quality: int | None = None,
    overwrite: bool = True,
) -> Path:
    """Decode a fitted video into a file, or with `source` original | fitted | difference side by side.

    Args:
        video: the network.
        path: where to; the suffix says which format (see `enerv_zoo.write_video`), none means a folder of PNGs.
        source: the original, as `enerv_zoo.open_video` takes it.
        frames: which frames.
        fps: frames per second; by default the video's own.
        quality: of the encoder, see `enerv_zoo.write_video`.
        overwrite: whether a target that exists is replaced; the video that was fitted never is.

    Raises:
        ConfigError: `video` is no network.
        VideoError: the original does not match, the range is outside the video, the file cannot be written, or it is
            the video that was fitted.
    """
    check_network(video)
    with protected(video.origin, source):
        check_target(Path(path))
    original = None if source is None else open_video(source)
    indices = select_frames(frames, len(video)) if original is None else matching_frames(video, original, frames)
    times = video.info.timestamps if fps is None else None
    timestamps = tuple(times[i] - times[indices[0]] for i in indices) if times else None
    if fps is None and video.info.fps is not None and len(indices) > 1:
        fps = video.info.fps / (indices[1] - indices[0])
    decoded = _decoded(video, indices, original)
    with protected(video.origin, source):
        return write_video(
            path,
            decoded,
            fps=fps,
            timestamps=timestamps,
            pixel_aspect=video.info.pixel_aspect,
            colour=video.info.colour,
            quality=quality,
            overwrite=overwrite,
        )


def _decoded(video: NeuralVideo | SegmentedVideo, indices: list[int], original: Video | None) -> Iterator[Tensor]:
    done, advance = 0, stage("writing frames", len(indices))
    dtype = torch.uint8 if video.info.colour.bits == 8 else torch.float16
    for batch in _ahead(video.decode(indices, dtype=dtype)):
        for frame in batch:
            yield frame if original is None else side_by_side(original.frames[indices[done]], frame)
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
