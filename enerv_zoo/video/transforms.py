"""From a source's frame to the frame that is kept: made square where asked, cropped, resized."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F

from enerv_zoo.config import MAX_TERM, SQUARE, size_text
from enerv_zoo.errors import VideoError
from enerv_zoo.machine import available_memory
from enerv_zoo.video.sizes import Resize, Size

logger = logging.getLogger(__name__)

LARGE = 1 << 30
"""Bytes of a frame and its copy for which it is worth to look whether there is room."""


def crop_centre(frame: torch.Tensor, size: Size) -> torch.Tensor:
    """The middle of a frame (H, W, 3) at `size`; the smaller half of an odd margin is cut from the top and the left.

    Raises:
        VideoError: `size` exceeds the frame.
    """
    height, width = frame.shape[:2]
    if size[0] > height or size[1] > width:
        raise VideoError(
            f"crop {size_text(*size)} exceeds the frame, which is {size_text(height, width)} (WIDTHxHEIGHT); choose a "
            "smaller crop, or use resize"
        )
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return frame[top : top + size[0], left : left + size[1]]


def resize(frame: torch.Tensor, size: Size) -> torch.Tensor:
    """Resample a uint8 frame (H, W, 3) to `size`: bicubic, antialiased."""
    if tuple(frame.shape[:2]) == size:
        return frame
    # A permuted view of (H, W, 3) memory is channels-last, which the uint8 kernel takes without a copy.
    batch = frame.permute(2, 0, 1).unsqueeze(0)
    return F.interpolate(batch, size=size, mode="bicubic", antialias=True)[0].permute(1, 2, 0)


def bounded_aspect(ratio: Fraction) -> Fraction:
    """The pixel aspect nearest to a positive ratio: both terms are at most 65,535."""
    if ratio > 1:
        return 1 / bounded_aspect(1 / ratio)
    return max(ratio.limit_denominator(MAX_TERM), Fraction(1, MAX_TERM))


def resized_aspect(aspect: Fraction, before: Size, after: Size) -> Fraction:
    """The pixel aspect with which a resized picture is shown as the picture before.

    It stays as it was where `after` is what scaling and rounding make of `before`.
    """
    scale = (Fraction(after[0], before[0]), Fraction(after[1], before[1]))
    if abs(before[1] * scale[0] - after[1]) < 1 or abs(before[0] * scale[1] - after[0]) < 1:
        return aspect
    return bounded_aspect(aspect * scale[0] / scale[1])


@dataclass(frozen=True)
class Transform:
    """Make pixels square (where asked), crop the centre (where asked), then resize what is left (where asked).

    Attributes:
        crop: (height, width) to keep.
        resize: to which size.
        square: the pixel aspect of frames whose width is scaled by it first.
    """

    crop: Size | None = None
    resize: Resize | None = None
    square: Fraction = SQUARE

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.crop is not None or self.resize is not None or self.square != SQUARE

    def pixel_aspect(self, before: Size, aspect: Fraction) -> Fraction:
        """The pixel aspect of the result, of frames of a size and a pixel aspect."""
        aspect = SQUARE if self.square != SQUARE else aspect
        if self.resize is None or self.resize.named is None:
            return aspect
        return resized_aspect(aspect, self._cut(before), self.resize.named)

    def note(self, before: Size) -> None:
        """Log it where frames of a size are squeezed."""
        text = None if self.resize is None else self.resize.note(*self._cut(before))
        if text is not None:
            logger.info("%s", text, extra={"once": True})

    def __call__(self, frame: np.ndarray) -> torch.Tensor:
        """A frame (H, W, 3) uint8 as the tensor (H', W', 3) that is kept.

        Raises:
            VideoError: the crop exceeds the frame, or a frame of the new size the memory there is.
        """
        result = torch.from_numpy(frame)
        if self.square != SQUARE:
            result = resize(result, (result.shape[0], square_width(result.shape[1], self.square)))
        if self.crop is not None:
            result = crop_centre(result, self.crop)
        if self.resize is None:
            return result
        size = self.resize.size(result.shape[0], result.shape[1])
        needed = 2 * 3 * size[0] * size[1]
        if needed > LARGE and (there := available_memory()) is not None and needed > there:
            raise VideoError(
                f"a frame of {size_text(*size)} takes {needed / 1e6:,.0f} MB, {there / 1e6:,.0f} are available; choose "
                "a smaller resize"
            )
        return resize(result, size)

    def _cut(self, before: Size) -> Size:
        """The size that frames of a size have when they are resized."""
        return self.crop or (before[0], square_width(before[1], self.square))


def square_width(width: int, aspect: Fraction) -> int:
    """The width at which frames with a pixel aspect have square pixels, at their height."""
    return max(1, round(width * float(aspect)))
