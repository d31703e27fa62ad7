"""Result of a fit, and reading it from the folder of one that has ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enerv_zoo.evaluation import Report
from enerv_zoo.fitting.folder import read_report
from enerv_zoo.fitting.history import read_history
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage import open_run
from enerv_zoo.storage.record import METRICS

logger = logging.getLogger(__name__)

ENDED = "%s: this fit has ended, there is nothing left to do; overwrite (fit --overwrite) fits anew"


@dataclass
class FitResult:
    """Result of `fit`.

    Attributes:
        video: the fitted network.
        metrics: numbers of the whole fit; also `metrics.json`.
        history: a row per epoch; also `history.jsonl`.
        report: per-frame numbers.
        folder: where all of it was written, or `None`.
        ended_before: whether there was nothing left to do: the fit in the folder is complete, and was read from it.
    """

    video: NeuralVideo
    metrics: dict[str, Any] = field(repr=False)
    history: list[dict[str, Any]] = field(repr=False)
    report: Report
    folder: Path | None = None
    ended_before: bool = False

    def _repr_html_(self) -> str:
        return self.video._repr_html_() + self.report._repr_html_()


def read_result(folder: Path) -> FitResult:
    """Return the fit that a folder holds, as it ended."""
    logger.info(ENDED, folder)
    metrics, report = read_mapping(folder / METRICS), read_report(folder)
    video = open_run(folder).network(0, NeuralVideo)
    return FitResult(video, metrics, read_history(folder), report, folder, ended_before=True)
