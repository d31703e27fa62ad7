"""Frames as movies inside a page."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.config import HD, SQUARE, Colour
from enerv_zoo.video.encoders import Clock, Movie, encode_movie
from enerv_zoo.video.storage import FrameStore

WIDEST = 1280
"""Frames that are wider are shown in this width."""

HEAT_RANGE = 32
"""The difference, in 255ths, that is shown brightest."""

_MOVIE = Movie(
    "mp4", "libx264", 16, 51, Fraction(1, 90_000), {"preset": "fast", "g": "12", "bf": "0"}, {"movflags": "+faststart"}
)
"""A keyframe every 12 frames, so that any frame is there at once."""

_RAMP = torch.tensor([(0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)], dtype=torch.float32)
"""Colours from no difference to the largest, equally far apart and ever brighter."""


def shown_size(height: int, width: int) -> tuple[int, int]:
    """The even size in which frames are shown."""
    if width > WIDEST:
        height, width = round(height * WIDEST / width), WIDEST
    return max(height // 2 * 2, 2), max(width // 2 * 2, 2)


def movie(
    frames: Iterable[Tensor], fps: float, crf: int = 16, pixel_aspect: Fraction = SQUARE, colour: Colour = HD
) -> str:
    """Frames (3, H, W), uint8, as the base64 of an H.264 movie of `shown_size`, at a constant rate."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.mp4"
        clock = Clock(Fraction(fps).limit_denominator(1001))
        encode_movie(path, _MOVIE, _images(frames), clock, crf, pixel_aspect, replace(colour, bits=8))
        return base64.b64encode(path.read_bytes()).decode()


def _images(frames: Iterable[Tensor]) -> Iterator[np.ndarray]:
    for frame in frames:
        size = shown_size(*frame.shape[-2:])
        if size != tuple(frame.shape[-2:]):
            frame = F.interpolate(frame[None].float(), size, mode="bilinear", antialias=True)[0].round().byte()
        yield frame.permute(1, 2, 0).contiguous().numpy()


def heat(frame: Tensor, other: Tensor) -> Tensor:
    """Return the difference of two frames (3, H, W), uint8, as colours of that shape: the largest channel counts."""
    difference = (frame.short() - other.short()).abs().amax(0).float() / HEAT_RANGE
    place = difference.clamp(0, 1) * (len(_RAMP) - 1)
    low = place.long().clamp(max=len(_RAMP) - 2)
    part = (place - low)[..., None]
    return (_RAMP[low] * (1 - part) + _RAMP[low + 1] * part).round().byte().permute(2, 0, 1)


def kept(batches: Iterable[Tensor], count: int) -> Tensor:
    """Return the frames of batches (B, 3, H, W), uint8, as one tensor: in memory where there is room, else on disk.

    Raises:
        VideoError: there is no room on disk either.
    """
    store = FrameStore(count)
    for batch in batches:
        for frame in batch:
            store.add(frame.permute(1, 2, 0))
    return store.frames()
