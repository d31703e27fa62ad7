"""Variances that tell a network that decodes the frames from one that decodes a constant, or the clip's mean image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.pixels import as_float
from enerv_zoo.precision import wide

CELLS = 4
"""Frames are compared as means over CELLS x CELLS cells: what is left of noise and fine texture there is negligible."""

SAMPLED_FRAMES = 64
"""At most as many frames, evenly spread, give the mean image and the variance around it."""

MIN_VARIANCE = 1e-5
MIN_SHARE = 0.1
"""Changes in time are measured where the variance of the cells is at least `MIN_VARIANCE` (0.3 % of the range), and at
least `MIN_SHARE` of the variance of pixels in time. It is neither in a still, nor in noise."""


class Cells:
    """Means of frames over `CELLS` x `CELLS` equal parts, as two products, which channels_last memory suits.

    Args:
        size: of the frames, (H, W).
        device: where they are.
    """

    def __init__(self, size: Sequence[int], device: torch.device) -> None:
        self._rows, self._columns = (
            F.adaptive_avg_pool1d(torch.eye(length, device=device), CELLS).T.contiguous() for length in size
        )

    def __call__(self, frames: Tensor) -> Tensor:
        """Shapes: (B, C, H, W) -> (B, CELLS, CELLS, C)."""
        pixels = frames.permute(0, 2, 3, 1)
        return self._columns @ (self._rows @ pixels.flatten(2)).unflatten(2, pixels.shape[2:])


def contrast(frames: Tensor) -> Tensor:
    """Return the sum over frames (B, 3, H, W) of their variance over space and colours, from every 16th pixel."""
    pixels = frames[..., ::4, ::4].flatten(1)
    return (pixels - pixels.mean(dim=1, keepdim=True)).square().mean(dim=1).sum()  # var takes a CPU four times as long


def coarse_variance(frames: Tensor) -> float | None:
    """Mean squared difference of the cells of frames (N, 3, H, W), uint8, from those of their mean image.

    It is the squared error of a network that decodes the mean image for every frame.

    Returns:
        The variance, of values in [0, 1]; `None` where the clip does not change, or as noise does.
    """
    cells = Cells(frames.shape[2:], frames.device)
    sample = [as_float(frame[None]) for frame in frames[:: math.ceil(len(frames) / SAMPLED_FRAMES)]]
    coarse = _variance_in_time(torch.cat([cells(frame).cpu() for frame in sample]))
    pixels = _variance_in_time(torch.cat([frame[..., ::4, ::4].cpu() for frame in sample]))
    return coarse if coarse >= max(MIN_VARIANCE, MIN_SHARE * pixels) else None


def _variance_in_time(values: Tensor) -> float:
    return float(wide(values).var(dim=0, correction=0).mean())
