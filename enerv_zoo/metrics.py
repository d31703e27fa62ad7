"""Distances between frames, in the numbers that papers report."""

from __future__ import annotations

import torch
from torch import Tensor

from enerv_zoo.config import size_text
from enerv_zoo.ssim import MS_SSIM_SIDE, ms_ssim

__all__ = ["MS_SSIM_SIDE", "ms_ssim", "psnr", "why_no_ms_ssim"]


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """PSNR of each frame in dB: -10 log10 of the mean squared error of frames in [0, 1].

    Shapes: (B, 3, H, W) twice -> (B,). Equal frames give infinity.
    """
    return -10 * torch.log10((prediction.float() - target.float()).square().flatten(1).mean(dim=1))


def why_no_ms_ssim(height: int, width: int) -> str | None:
    """The reason why frames of this size have no MS-SSIM, or `None` where they have."""
    if min(height, width) > MS_SSIM_SIDE:
        return None
    return f"MS-SSIM needs both sides longer than {MS_SSIM_SIDE} pixels, the frames are {size_text(height, width)}"
