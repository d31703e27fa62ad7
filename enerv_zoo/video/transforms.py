"""From a source's frame to the frame that is kept: cropped, resized."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F

from enerv_zoo.config import MAX_TERM, size_text
from enerv_zoo.errors import VideoError
from enerv_zoo.machine import available_memory
from enerv_zoo.video.sizes import Resize, Size

logger = logging.getLogger(__name__)

LARGE = 1 << 30
"""Bytes of a frame and its copy for which it is worth to look whether there is room."""


def resize(frame: torch.Tensor, size: Size) -> torch.Tensor:
    """Resample a frame (H, W, 3), uint8 or float in [0, 1], to `size`: bicubic, antialiased."""
    if tuple(frame.shape[:2]) == size:
        return frame
    # A permuted view of (H, W, 3) memory is channels-last, which the uint8 kernel takes without a copy.
    batch = frame.permute(2, 0, 1).unsqueeze(0)
    if frame.is_floating_point():
        wide = F.interpolate(batch.float(), size=size, mode="bicubic", antialias=True)
        return wide[0].permute(1, 2, 0).clamp(0, 1)
    return F.interpolate(batch, size=size, mode="bicubic", antialias=True)[0].permute(1, 2, 0)


def bounded_aspect(ratio: Fraction) -> Fraction:
    """Return the pixel aspect nearest to a positive ratio: both terms are at most 65,535."""
    if ratio > 1:
        return 1 / bounded_aspect(1 / ratio)
    return max(ratio.limit_denominator(MAX_TERM), Fraction(1, MAX_TERM))


def resized_aspect(aspect: Fraction, before: Size, after: Size) -> Fraction:
    """Return the pixel aspect with which a resized picture is shown as the picture before.

    It stays as it was where `after` is what scaling and rounding make of `before`.
    """
    scale = (Fraction(after[0], before[0]), Fraction(after[1], before[1]))
    if abs(before[1] * scale[0] - after[1]) < 1 or abs(before[0] * scale[1] - after[0]) < 1:
        return aspect
    return bounded_aspect(aspect * scale[0] / scale[1])


@dataclass(frozen=True)
class Transform:
    """Crop the centre of frames (where asked), then resize what is left (where asked).

    Attributes:
        crop: (height, width) to keep; the smaller half of an odd margin is cut from the top and the left.
        resize: to which size.
    """

    crop: Size | None = None
    resize: Resize | None = None

    def size(self, height: int, width: int) -> Size:
        """Return the size of a frame of height x width, cropped and resized.

        Raises:
            VideoError: the crop exceeds the frame, or a frame of the new size the memory there is.
        """
        cropped = self.crop or (height, width)
        if cropped[0] > height or cropped[1] > width:
            raise VideoError(
                f"crop {size_text(*cropped)} exceeds the frame, which is {size_text(height, width)} (WIDTHxHEIGHT); "
                "choose a smaller crop, or use resize"
            )
        if self.resize is None:
            return cropped
        size = self.resize.size(*cropped)
        need = 2 * 3 * size[0] * size[1]
        if need > LARGE and (available := available_memory()) is not None and need > available:
            raise VideoError(
                f"a frame of {size_text(*size)} takes {need / 1e6:,.0f} MB, {available / 1e6:,.0f} are available; "
                "choose a smaller resize"
            )
        return size

    def pixel_aspect(self, before: Size, aspect: Fraction) -> Fraction:
        """Return the pixel aspect of the result, of frames of a size and a pixel aspect."""
        if self.resize is None or self.resize.named is None:
            return aspect
        return resized_aspect(aspect, self.crop or before, self.resize.named)

    def note(self, before: Size) -> None:
        """Log it where frames of a size are squeezed."""
        text = None if self.resize is None else self.resize.note(*(self.crop or before))
        if text is not None:
            logger.info("%s", text, extra={"once": True})

    def __call__(self, frame: np.ndarray) -> torch.Tensor:
        """Return a frame (H, W, 3), uint8 or float, as the tensor (H', W', 3) that is kept.

        Raises:
            VideoError: as `size` does.
        """
        size = self.size(*frame.shape[:2])
        if self.crop is not None:
            top, left = ((side - cropped) // 2 for side, cropped in zip(frame.shape, self.crop, strict=False))
            frame = frame[top : top + self.crop[0], left : left + self.crop[1]]
        return resize(torch.from_numpy(frame), size)


def square_width(width: int, aspect: Fraction) -> int:
    """Return the width at which frames with a pixel aspect have square pixels, at their height."""
    return max(1, round(width * float(aspect)))


def squared(frame: torch.Tensor, aspect: Fraction) -> torch.Tensor:
    """Resample a frame (H, W, 3) with a pixel aspect to square pixels: its width is scaled."""
    return resize(frame, (frame.shape[0], square_width(frame.shape[1], aspect)))
