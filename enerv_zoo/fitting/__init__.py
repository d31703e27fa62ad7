"""Frames -> weights: recipes, the loop, checkpoints, and the folder that a fit leaves."""

from enerv_zoo.fitting.bench import Speed, bench
from enerv_zoo.fitting.callbacks import Callback
from enerv_zoo.fitting.interruption import FitInterrupted
from enerv_zoo.fitting.loggers import LOGGERS, KeepEpochs, TensorBoard, WeightsAndBiases
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.result import FitResult
from enerv_zoo.fitting.run import fit
from enerv_zoo.fitting.time_lapse import TimeLapse
from enerv_zoo.progress import Status

__all__ = [
    "LOGGERS",
    "Callback",
    "FitInterrupted",
    "FitResult",
    "Fitter",
    "KeepEpochs",
    "Speed",
    "Status",
    "TensorBoard",
    "TimeLapse",
    "WeightsAndBiases",
    "bench",
    "fit",
]
