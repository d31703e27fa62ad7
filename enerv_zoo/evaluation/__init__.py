"""Weights -> numbers and pictures: reports, side-by-side videos, previews, curves."""

from enerv_zoo.evaluation.anchors import measure_codec
from enerv_zoo.evaluation.bjontegaard import bd_quality, bd_rate
from enerv_zoo.evaluation.pictures import check_figure, plot_psnr, plot_rates, write_preview
from enerv_zoo.evaluation.rates import Gain, RateCurve, RatePoint
from enerv_zoo.evaluation.rendering import render
from enerv_zoo.evaluation.report import FrameScore, Report, evaluate, evaluate_segments, mean_psnr

__all__ = [
    "FrameScore",
    "Gain",
    "RateCurve",
    "RatePoint",
    "Report",
    "bd_quality",
    "bd_rate",
    "check_figure",
    "evaluate",
    "evaluate_segments",
    "mean_psnr",
    "measure_codec",
    "plot_psnr",
    "plot_rates",
    "render",
    "write_preview",
]
