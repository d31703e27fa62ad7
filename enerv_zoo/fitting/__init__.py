"""Frames -> weights: recipes, the loop, checkpoints, and the folder that a fit leaves."""

from enerv_zoo.fitting.compare import compare
from enerv_zoo.fitting.loop import Fitter, Status
from enerv_zoo.fitting.run import FitResult, fit, open_original

__all__ = ["FitResult", "Fitter", "Status", "compare", "fit", "open_original"]
