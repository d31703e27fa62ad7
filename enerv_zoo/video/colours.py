"""From the pixels of a decoded frame to 8-bit RGB."""

from __future__ import annotations

import av
import numpy as np
from av.video.frame import VideoFrame

ONE_THREAD: dict[str, int] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
"""Options of a conversion: a frame keeps its converter, and with it threads, which also take time to start. PyAV starts
none before version 17."""
_MATRICES = (1, 4, 5, 7, 9)
"""Tagged colour matrices that the converter knows (BT.709, FCC, BT.470BG, SMPTE 240M, BT.2020)."""
_DEFAULT_MATRIX = 5
_SIXTEEN_BITS = {"rgb48": None, "rgba64": None, "gray16": None, "ya16": "gray16le"}
"""Formats of 16 bits for each of red, green and blue, or for grey, and what to turn them into first."""


def to_rgb(frame: VideoFrame) -> np.ndarray:
    """A frame as (H, W, 3) uint8, without its alpha. 16 bits are rounded to 8.

    Raises:
        ValueError, av.error.FFmpegError: FFmpeg cannot convert its pixels.
    """
    name = frame.format.name
    if name[:-2] in _SIXTEEN_BITS and frame.color_range != 1:  # limited range is left to the converter
        other = _SIXTEEN_BITS[name[:-2]]
        wide = (frame.reformat(format=other, **ONE_THREAD) if other else frame).to_ndarray()
        wide = wide[..., None].repeat(3, axis=-1) if wide.ndim == 2 else wide[..., :3]
        return ((wide.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    tagged = frame.colorspace in _MATRICES
    # What a file says of its colours is passed on, as older versions of PyAV do not look at it by themselves; they also
    # ignore a matrix that equals the target's.
    return frame.reformat(
        format="rgb24",
        src_colorspace=int(frame.colorspace) if tagged else None,
        dst_colorspace=_DEFAULT_MATRIX if tagged else None,
        src_color_range=int(frame.color_range) if frame.color_range in (1, 2) else None,
        **ONE_THREAD,
    ).to_ndarray()
