"""Weights -> numbers and pictures: reports, side-by-side videos, previews, curves."""

from enerv_zoo.evaluation.pictures import plot_psnr, write_preview
from enerv_zoo.evaluation.rendering import render
from enerv_zoo.evaluation.report import FrameScore, Report, evaluate, evaluate_segments, mean_psnr

__all__ = [
    "FrameScore",
    "Report",
    "evaluate",
    "evaluate_segments",
    "mean_psnr",
    "plot_psnr",
    "render",
    "write_preview",
]
