"""Frames -> weights: recipes, the loop, checkpoints, and the folder that a fit leaves."""

from enerv_zoo.fitting.bench import Speed, bench
from enerv_zoo.fitting.compare import compare
from enerv_zoo.fitting.journal import FitInterrupted
from enerv_zoo.fitting.loop import Fitter, Status
from enerv_zoo.fitting.plan import open_original
from enerv_zoo.fitting.run import FitResult, fit

__all__ = ["FitInterrupted", "FitResult", "Fitter", "Speed", "Status", "bench", "compare", "fit", "open_original"]
