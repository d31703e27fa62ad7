"""Metrics: how close decoded frames are to the original's.

Contract. A subclass of `Metric`, or a class like it: with three attributes, which are read before it is built: the
`unit` of its scores (empty for a plain number), which of two scores is `better` (`"higher"` or `"lower"`), and what has
one (`scope`): each `"frame"`, or the whole `"clip"`. Built as `metric(*, options)`. `missing(info)` says why frames
like these have no score, or `None`; else the metric is called with a prediction and a target, (B, 3, H, W), float in
[0, 1], and returns the frames' scores (B,). They lie on the device that decodes, as does a metric that is a module. One
of the scope `"clip"` is called once, with all frames that are compared, in order and in host memory, and returns one
score.

A metric of frames may also say where in a frame its score is from: `places(prediction, target)` returns the x and y
of a pixel per frame, (B, 2), which files hold under the metric's name and `_at`.

What shows scores takes its columns from the metrics' names (`enerv_zoo.metrics.columns`).
"""

from enerv_zoo.metrics.contract import Metric
from enerv_zoo.metrics.peak_signal import PSNR, LumaPSNR, WeightedYUVPSNR, WorstTilePSNR, psnr
from enerv_zoo.metrics.perceptual import DISTS, LPIPS
from enerv_zoo.metrics.scoring import Scorer, check_metrics
from enerv_zoo.metrics.structural import MSSSIM, SSIM, ms_ssim, ssim, why_no_ms_ssim
from enerv_zoo.metrics.temporal import Flicker
from enerv_zoo.metrics.vmaf import VMAF

__all__ = [
    "DISTS",
    "LPIPS",
    "MSSSIM",
    "PSNR",
    "SSIM",
    "VMAF",
    "Flicker",
    "LumaPSNR",
    "Metric",
    "Scorer",
    "WeightedYUVPSNR",
    "WorstTilePSNR",
    "check_metrics",
    "ms_ssim",
    "psnr",
    "ssim",
    "why_no_ms_ssim",
]
