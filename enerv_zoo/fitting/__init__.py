"""Frames -> weights: recipes, the loop, checkpoints, and the folder that a fit leaves."""

from enerv_zoo.fitting.bench import Speed, bench
from enerv_zoo.fitting.loop import Fitter, Status
from enerv_zoo.fitting.originals import part_opener
from enerv_zoo.fitting.plan import open_original
from enerv_zoo.fitting.run import FitResult, fit
from enerv_zoo.fitting.run_logger import FitInterrupted

__all__ = [
    "FitInterrupted",
    "FitResult",
    "Fitter",
    "Speed",
    "Status",
    "bench",
    "fit",
    "open_original",
    "part_opener",
]
