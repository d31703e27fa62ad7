"""The folder of a fit: what lies in it, how far its fit is, and what may be done with it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

from enerv_zoo.config import read_mapping
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.evaluation import Report
from enerv_zoo.evaluation.report import read_frames
from enerv_zoo.files import remove, remove_leftovers, write_json
from enerv_zoo.fitting.checkpoint import CHECKPOINT, PREVIOUS, has_checkpoint
from enerv_zoo.fitting.plan import FitPlan, check_record
from enerv_zoo.fitting.run_logger import HISTORY
from enerv_zoo.hub.download import PREVIEW
from enerv_zoo.metrics.columns import MISSING, names_in
from enerv_zoo.storage.folder import CONFIG, WEIGHTS
from enerv_zoo.storage.record import METRICS, RECORD
from enerv_zoo.storage.segments import is_segmented, remove_segments, segment_folders

FRAMES = "frames.csv"
CURVE = "psnr.png"
REPORT = "report.html"
OURS = (RECORD, HISTORY, METRICS, FRAMES, PREVIEW, CURVE, CHECKPOINT, PREVIOUS, CONFIG, WEIGHTS, REPORT)
"""Every file that a fit writes into its folder, and the report that the command line adds."""

State = Literal["new", "begun", "ended"]
"""How far a fit is: not begun, or without anything to go on from; begun; or complete."""


def has_ended(folder: Path) -> bool:
    """Whether a folder's fit is complete: its checkpoints go last, after weights, numbers and pictures are written."""
    return (folder / WEIGHTS).exists() and not has_checkpoint(folder)


def fit_state(folder: Path) -> State:
    """How far the fit in a folder is. One that was stopped before its first checkpoint holds nothing to go on from."""
    if has_ended(folder):
        return "ended"
    return "begun" if any((folder / name).exists() for name in OURS if name not in (RECORD, HISTORY)) else "new"


def segments_state(folder: Path) -> State:
    """How far a video in segments is."""
    if not is_segmented(folder):
        return "new"
    if (folder / METRICS).is_file():
        return "ended"
    return "begun" if any(fit_state(part) != "new" for part in segment_folders(folder)) else "new"


def check_choice(resume: bool, overwrite: bool) -> None:
    """Refuse to both go on with a fit and replace it.

    Raises:
        FitError: both were asked for.
    """
    if resume and overwrite:
        raise FitError("resume goes on with a fit and overwrite replaces it; give one of the two")


def check_free(folder: Path) -> None:
    """Refuse a folder that holds a fit, or a part of one.

    Raises:
        FitError: it does.
    """
    if fit_state(folder) != "new" or segments_state(folder) != "new":
        raise FitError(f"{folder}: already holds a fit; fit --resume goes on with it, fit --overwrite replaces it")


def check_folder(folder: Path, plan: FitPlan, resume: bool, overwrite: bool) -> tuple[FitPlan, State]:
    """Return the plan as the folder's fit has it, and how far that is.

    Args:
        folder: where the fit goes.
        plan: what was asked for.
        resume: go on with what is there; a fit that has not begun is begun.
        overwrite: take what is there for nothing.

    Raises:
        FitError: the folder holds another fit.
    """
    check_choice(resume, overwrite)
    if not resume:
        if not overwrite:
            check_free(folder)
        return plan, "new"
    if segments_state(folder) != "new":
        raise FitError(f"{folder}: holds a fit in segments; repeat the command that began it (fit --segments)")
    state = fit_state(folder)
    if state == "new":
        return plan, state
    if not (folder / RECORD).is_file():
        raise FitError(
            f"{folder}: holds no record of its fit ({RECORD}), so nothing can go on with it; "
            "choose another --out, or delete the folder"
        )
    return check_record(folder, plan), state


def start_folder(folder: Path, plan: FitPlan, state: State) -> None:
    """Write what is decided; of a fit that was there before, only what is gone on with stays.

    Raises:
        FitError: the folder cannot be written.
    """
    remove_leftovers(folder, OURS)
    if state == "new":
        clear(folder)
        write_json(folder / RECORD, plan.record())


def clear(folder: Path) -> None:
    """Remove a fit from its folder, whole or in segments; what else is there stays.

    Raises:
        FitError: the folder cannot be written.
    """
    try:
        remove_segments(folder)
        for name in OURS:
            remove(folder / name)
    except OSError as error:
        raise FitError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error


def read_history(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of a fit's `history.jsonl`; a last line that was cut off is left out.

    Raises:
        ConfigError: a line holds something else.
    """
    path = Path(folder) / HISTORY
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: line {len(rows) + 1} is no mapping, as an epoch's is; the file is damaged")
        rows.append(row)
    return rows


def read_report(folder: Path) -> Report:
    """What `evaluate` measured at the end of a fit, from `metrics.json` and `frames.csv`.

    Raises:
        ConfigError: one of them is not there, or damaged.
    """
    metrics, rows = read_mapping(folder / METRICS), read_frames(folder / FRAMES)
    others = [name for name in Report.__dataclass_fields__ if name not in ("scores", "missing", "frames")]
    of_frames = list(rows[0].scores) if rows else []
    if absent := [name for name in (*of_frames, *others) if name not in metrics]:
        raise ConfigError(f"{folder / METRICS}: says nothing of {absent[0]!r}; the file is damaged")
    names = dict.fromkeys([*of_frames, *names_in(metrics)])
    missing = {name: reason for name in names if (reason := metrics.get(name + MISSING)) is not None}
    scores = {name: metrics[name] for name in names}
    infinite = {name: math.inf for name in names if scores[name] is None and name not in missing}  # JSON has none
    return Report({**scores, **infinite}, missing, frames=rows, **{name: metrics[name] for name in others})
