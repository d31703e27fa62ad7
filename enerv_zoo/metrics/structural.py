"""SSIM and MS-SSIM as metrics; `enerv_zoo.ssim` computes them."""

from __future__ import annotations

from torch import Tensor

from enerv_zoo.config import VideoInfo, size_text
from enerv_zoo.metrics.contract import Metric
from enerv_zoo.registry import metrics
from enerv_zoo.ssim import WINDOW, ms_ssim, ms_ssim_side, ssim


def why_no_ms_ssim(height: int, width: int, window: int = WINDOW) -> str | None:
    """Return the reason why frames of this size have no MS-SSIM with such a window, or `None` where they have."""
    side = ms_ssim_side(window)
    if min(height, width) > side:
        return None
    return f"MS-SSIM needs both sides longer than {side} pixels, the frames are {size_text(height, width)}"


@metrics.register("ssim")
class SSIM(Metric):
    """SSIM (Wang et al. 2004), mean over channels and pixels, up to 1: a Gaussian window of 11, sigma 1.5."""

    def missing(self, info: VideoInfo) -> str | None:
        """Return the reason where a side is shorter than the window."""
        if min(info.height, info.width) >= WINDOW:
            return None
        return f"SSIM needs both sides of at least {WINDOW} pixels, the frames are {info.size_text}"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        return ssim(prediction, target)


@metrics.register("ms_ssim")
class MSSSIM(Metric):
    """MS-SSIM (Wang et al. 2003) over five scales, mean over channels, 0 to 1."""

    def missing(self, info: VideoInfo) -> str | None:
        """Return the reason where a side is too short to be halved four times."""
        return why_no_ms_ssim(info.height, info.width)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        return ms_ssim(prediction, target)
