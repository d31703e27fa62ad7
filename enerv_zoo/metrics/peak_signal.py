"""Peak signal-to-noise ratios."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.errors import ConfigError
from enerv_zoo.metrics.contract import Metric
from enerv_zoo.registry import metrics


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """PSNR of each frame in dB: -10 log10 of the mean squared error of frames in [0, 1].

    Shapes: (B, 3, H, W) twice -> (B,). Equal frames give infinity.
    """
    return psnr_of_errors(prediction.float() - target.float())


def psnr_of_errors(errors: Tensor, weights: Tensor | None = None) -> Tensor:
    """PSNR of each frame in dB, from the differences of its values, or a weighted part of them: see `seen_psnr`.

    Shapes: (B, ...), (B, 1, H, W) or `None` -> (B,).
    """
    squared = errors.square()
    if weights is None:
        return -10 * torch.log10(squared.mean(dim=tuple(range(1, errors.ndim))))  # flatten would copy channels_last
    seen = squared.mean(dim=1, keepdim=True) * weights
    return -10 * torch.log10(seen.sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3)))


def seen_psnr(prediction: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """PSNR of each frame in dB, of a part of its pixels: errors are weighted.

    Shapes: (B, 3, H, W) twice, (B, 1, H, W) in [0, 1] -> (B,). Frames without weights give NaN.
    """
    return psnr_of_errors(prediction.float() - target.float(), weights)


@metrics.register("psnr")
class PSNR(Metric):
    """PSNR over the three channels of RGB, in dB; infinite where a frame is exact."""

    unit = "dB"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        return psnr(prediction, target)


KR, KB = 0.2126, 0.0722
"""Weights of red and blue in the luma of ITU-R BT.709, section 3; that of green is the rest."""


def luma(frames: Tensor) -> Tensor:
    """Return the luma of RGB by ITU-R BT.709, at full range; a linear map, also of differences.

    Shapes: (B, 3, H, W) -> (B, H, W).
    """
    red, green, blue = frames.unbind(1)
    return KR * red + (1 - KR - KB) * green + KB * blue


@metrics.register("psnr_y")
class LumaPSNR(Metric):
    """PSNR of luma (ITU-R BT.709, in float, at full range) in dB; infinite where it is exact."""

    unit = "dB"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        return psnr_of_errors(luma(prediction.float() - target.float()))


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
        errors = prediction.float() - target.float()
        y = luma(errors)
        planes = (y, (errors[:, 2] - y) / (2 - 2 * KB), (errors[:, 0] - y) / (2 - 2 * KR))
        scores = [psnr_of_errors(plane) for plane in planes]
        return (6 * scores[0] + scores[1] + scores[2]) / 8


@metrics.register("worst_tile")
class WorstTilePSNR(Metric):
    """PSNR of the worst square of a frame, in dB; infinite where the frame is exact.

    Frames are cut into squares from the top left; those at the right and the bottom may be smaller.

    Args:
        side: of the squares, in pixels.
    """

    unit = "dB"

    def __init__(self, *, side: int = 64) -> None:
        if side < 1:
            raise ConfigError(f"the side of a tile is 1 pixel or more, got {side}")
        self.side = side

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        return -10 * torch.log10(self._errors(prediction, target).flatten(1).amax(1))

    def places(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the left and the top of each frame's worst square, in pixels: (B, 2)."""
        errors = self._errors(prediction, target)
        worst = errors.flatten(1).argmax(1)
        columns = errors.shape[-1]
        return self.side * torch.stack([worst % columns, worst // columns], 1)

    def _errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error of each square: (B, rows, columns)."""
        squared = (prediction.float() - target.float()).square().mean(1)
        height, width = squared.shape[1:]
        size = (min(self.side, height), min(self.side, width))
        return F.avg_pool2d(squared[:, None], size, ceil_mode=True, count_include_pad=False)[:, 0]
