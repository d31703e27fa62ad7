"""Flicker: changes between frames that the original does not have."""

from __future__ import annotations

from torch import Tensor

from enerv_zoo.config import VideoInfo
from enerv_zoo.metrics.contract import Metric
from enerv_zoo.registry import metrics


@metrics.register("flicker")
class Flicker(Metric):
    """Error of the differences between consecutive frames, in 1/255: their root mean square, mean over the clip.

    It is dtSSD of Erofeev et al. 2015 ("Perceptually Motivated Benchmark for Video Matting", BMVC, section 4), of RGB
    in place of opacity and per pixel. An error that stands still has none.
    """

    unit, better, scope = "1/255", "lower", "clip"

    def missing(self, info: VideoInfo) -> str | None:
        """Return the reason where there is one frame."""
        return "flicker needs two frames or more" if info.frames < 2 else None

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (N, 3, H, W) twice -> ()."""
        errors = (prediction.float() - target.float()).diff(dim=0)
        return 255 * errors.square().mean(dim=(1, 2, 3)).sqrt().mean()
