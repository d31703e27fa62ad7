"""Peak signal-to-noise ratios."""

from __future__ import annotations

import torch
from torch import Tensor

from enerv_zoo.metrics.contract import Metric
from enerv_zoo.registry import metrics


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """PSNR of each frame in dB: -10 log10 of the mean squared error of frames in [0, 1].

    Shapes: (B, 3, H, W) twice -> (B,). Equal frames give infinity.
    """
    return _from_errors(prediction.float() - target.float())


def _from_errors(errors: Tensor) -> Tensor:
    return -10 * torch.log10(errors.square().mean(dim=tuple(range(1, errors.ndim))))  # flatten would copy channels_last


@metrics.register("psnr")
class PSNR(Metric):
    """PSNR over the three channels of RGB, in dB; infinite where a frame is exact."""

    unit = "dB"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        return psnr(prediction, target)


KR, KB = 0.2126, 0.0722
"""Weights of red and blue in the luma of ITU-R BT.709, section 3; that of green is the rest."""


@metrics.register("psnr_yuv")
class WeightedYUVPSNR(Metric):
    """PSNR of Y'CbCr in dB, weighted 6:1:1 as codecs are compared: (6 PSNR_Y + PSNR_U + PSNR_V) / 8.

    The weights are those of Ohm et al. 2012 ("Comparison of the Coding Efficiency of Video Coding Standards - Including
    High Efficiency Video Coding (HEVC)", IEEE TCSVT 22(12), section IV). The planes are computed in float from RGB by
    ITU-R BT.709, at full range (peak 1) and full resolution (4:4:4). Infinite where a plane is exact.
    """

    unit = "dB"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        red, green, blue = (prediction.float() - target.float()).unbind(1)  # the transform is linear
        luma = KR * red + (1 - KR - KB) * green + KB * blue
        planes = (luma, (blue - luma) / (2 - 2 * KB), (red - luma) / (2 - 2 * KR))
        y, u, v = (_from_errors(plane) for plane in planes)
        return (6 * y + u + v) / 8
