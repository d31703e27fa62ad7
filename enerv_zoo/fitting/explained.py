"""Variances that tell a network that decodes the frames from one that decodes a constant, or the clip's mean image."""

from __future__ import annotations

import math

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


def variation(decoded: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sums over frames (B, 3, H, W) that tell them from a constant, and from the mean image.

    Returns:
        Scalars: the variance over space and colours, from every 16th pixel, of `decoded` and of `target`, and the mean
        squared difference of their cells.
    """
    difference = _cells(decoded - target).square().mean(dim=(1, 2, 3)).sum()
    return _contrast(decoded), _contrast(target), difference


def _contrast(frames: Tensor) -> Tensor:
    return frames[..., ::4, ::4].flatten(1).var(dim=1, correction=0).sum()


def _cells(frames: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(frames, CELLS)


def coarse_variance(frames: Tensor) -> float | None:
    """Mean squared difference of the cells of frames (N, 3, H, W), uint8, from those of their mean image.

    It is the squared error of a network that decodes the mean image for every frame.

    Returns:
        The variance, of values in [0, 1]; `None` where the clip does not change, or as noise does.
    """
    sample = [as_float(frame[None]) for frame in frames[:: math.ceil(len(frames) / SAMPLED_FRAMES)]]
    coarse = _variance_in_time(torch.cat([_cells(frame).cpu() for frame in sample]))
    pixels = _variance_in_time(torch.cat([frame[..., ::4, ::4].cpu() for frame in sample]))
    return coarse if coarse >= max(MIN_VARIANCE, MIN_SHARE * pixels) else None


def _variance_in_time(values: Tensor) -> float:
    return float(wide(values).var(dim=0, correction=0).mean())
