"""The folder of a fit: what lies in it, how far its fit is, and what may be done with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.evaluation import Report
from enerv_zoo.evaluation.report import read_frames
from enerv_zoo.files import remove, remove_leftovers, write_json
from enerv_zoo.fitting.checkpoint import CHECKPOINT, PREVIOUS, has_checkpoint, load_checkpoint
from enerv_zoo.fitting.history import HISTORY, read_history
from enerv_zoo.fitting.plan import FitPlan, check_record
from enerv_zoo.fitting.ranks import Ranks
from enerv_zoo.hub.download import PREVIEW
from enerv_zoo.locking import locked
from enerv_zoo.metrics.columns import MISSING, names_in
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage.compressed import VIDEO
from enerv_zoo.storage.folder import CONFIG, WEIGHTS
from enerv_zoo.storage.record import FIRST_WEIGHTS, METRICS, RECORD
from enerv_zoo.storage.segments import is_segmented, remove_segments, segment_folders
from enerv_zoo.storage.sound import SOUND
from enerv_zoo.video.origin import protected

FRAMES = "frames.csv"
CURVE = "psnr.png"
REPORT = "report.html"
OURS = (RECORD, HISTORY, METRICS, FRAMES, PREVIEW, CURVE, CHECKPOINT, PREVIOUS, CONFIG, WEIGHTS, SOUND, REPORT, VIDEO)
"""Every file that a fit writes into its folder, and those that the command line adds: the report and, of a fit to a
rate, the compressed file."""

State = Literal["new", "begun", "ended", "extended"]
"""How far a fit is: not begun, or without anything to go on from; begun; complete; or complete but for new phases."""


@dataclass(frozen=True)
class FitFolder:
    """The folder of a fit while it is fitted; rank 0 alone reads and writes it.

    Attributes:
        path: of the folder, or `None` for a fit that leaves none.
        plan: of the fit, as the folder's fit was begun.
        state: how far that is.
        ranks: the processes of the fit.
    """

    path: Path | None
    plan: FitPlan
    state: State
    ranks: Ranks

    @classmethod
    @contextmanager
    def opened(
        cls, path: str | Path | None, plan: FitPlan, ranks: Ranks, resume: bool, overwrite: bool
    ) -> Iterator[FitFolder]:
        """Lock a folder for a fit while the block runs, and find out how far its fit is.

        Raises:
            FitError: it holds another fit, or another process writes to it.
            VideoError: it is the folder of images that is fitted.
        """
        folder = None if path is None else Path(path)
        if folder is not None:
            plan.origin.refuse_folder(folder)
        with locked_by_zero(folder, ranks), protected(plan.origin):
            state: State = "new"
            if folder is not None:
                decisions, state = ranks.broadcast_from_zero(check_folder, folder, plan, resume, overwrite)
                plan = replace(plan, **decisions)
            yield cls(folder, plan, state, ranks)

    @property
    def own(self) -> Path | None:
        """The folder in rank 0; `None` in other processes."""
        return self.path if self.ranks.first else None

    def start(self, plan: FitPlan) -> None:
        """Write what is decided by now, such as the batch that suits the device.

        Of a fit that was there before, only what is gone on with stays.

        Raises:
            FitError: the folder cannot be written.
        """
        if (folder := self.path) is not None:
            self.ranks.broadcast_from_zero(lambda: start_folder(folder, plan, self.state))

    def last_state(self) -> dict[str, Any]:
        """Return the checkpoint to go on from; of an extended fit, its last phase's number, history and sums.

        Returns:
            `{"phase": number, ...}`; without anything else, nothing has begun.

        Raises:
            FitError: all checkpoints are damaged.
        """
        if self.path is None or self.state == "new":
            return {"phase": 0}
        return {"phase": 0, **self.ranks.broadcast_from_zero(self._last_state, self.path)}

    def _last_state(self, folder: Path) -> dict[str, Any]:
        if self.state == "extended":
            return self._ended_state(folder)
        return load_checkpoint(folder) if has_checkpoint(folder) else {}

    def _ended_state(self, folder: Path) -> dict[str, Any]:
        metrics, ends = read_mapping(folder / METRICS), accumulate(phase.epochs for phase in self.plan.fit.split())
        return {
            "phase": next(number for number, end in enumerate(ends) if end > metrics["epochs"]),
            "history": read_history(folder),
            "guard": {"recoveries": metrics["recoveries"]},
            "before": (metrics["fit_seconds"], round(metrics["fit_seconds"] * metrics["fit_frames_per_second"])),
        }


@contextmanager
def locked_by_zero(folder: Path | None, ranks: Ranks) -> Iterator[None]:
    """Keep others from writing to the folder while the block runs; rank 0 does so for all.

    Raises:
        FitError: as `enerv_zoo.locking.locked` does.
    """
    with ExitStack() as stack:
        if folder is not None:
            ranks.broadcast_from_zero(lambda: stack.enter_context(locked(folder)))
        yield


def has_ended(folder: Path) -> bool:
    """Return whether a folder's fit is complete: its checkpoints go last, after all results are written."""
    return (folder / WEIGHTS).exists() and not has_checkpoint(folder)


def fit_state(folder: Path) -> State:
    """Return the progress of the fit in a folder; one without a checkpoint holds nothing to go on from."""
    if has_ended(folder):
        return "ended"
    return "begun" if any((folder / name).exists() for name in OURS if name not in (RECORD, HISTORY)) else "new"


def segments_state(folder: Path) -> State:
    """Return the progress of a video in segments."""
    if not is_segmented(folder):
        return "new"
    if (folder / METRICS).is_file():
        return "ended"
    return "begun" if any(fit_state(part) != "new" for part in segment_folders(folder)) else "new"


def begins_anew(folder: Path, resume: bool, overwrite: bool) -> bool:
    """Return whether a fit begins anew in a folder, rather than to go on with what may be there.

    Raises:
        FitError: it is to both go on and replace what is there, or neither, and the folder holds a fit.
    """
    if resume and overwrite:
        raise FitError("resume goes on with a fit and overwrite replaces it; give one of the two")
    if not (resume or overwrite):
        check_free(folder)
    return not resume


def check_free(folder: Path) -> None:
    """Refuse a folder that holds a fit, or a part of one.

    Raises:
        FitError: it does.
    """
    if fit_state(folder) != "new" or segments_state(folder) != "new":
        raise FitError(
            f"{folder}: already holds a fit; resume (fit --resume) goes on with it, overwrite (fit --overwrite) "
            "replaces it"
        )


def check_folder(folder: Path, plan: FitPlan, resume: bool, overwrite: bool) -> tuple[dict[str, Any], State]:
    """Return the decisions of the plan as the folder's fit has it, and how far that is.

    Args:
        folder: where the fit goes.
        plan: what was asked for.
        resume: go on with what is there; a fit that has not begun is begun, and one that has ended goes on to more
            epochs or phases.
        overwrite: take what is there for nothing.

    Raises:
        FitError: the folder holds another fit.
    """
    if begins_anew(folder, resume, overwrite):
        return plan.decisions, "new"
    if segments_state(folder) != "new":
        raise FitError(f"{folder}: holds a fit in segments; repeat the command that began it (fit --segments)")
    state = fit_state(folder)
    if state == "new":
        return plan.decisions, state
    if not (folder / RECORD).is_file():
        raise FitError(
            f"{folder}: holds no record of its fit ({RECORD}), so nothing can go on with it; "
            "choose another --out, or delete the folder"
        )
    plan = check_record(folder, plan, has_ended=state == "ended")
    if state == "ended" and plan.fit.time_budget is None and _epochs_of(folder) < plan.fit.total_epochs:
        state = "extended"
    return plan.decisions, state


def _epochs_of(folder: Path) -> float:
    """Return for how many epochs an ended fit went on, as its metrics say; older ones without metrics have all."""
    try:
        return int(read_mapping(folder / METRICS)["epochs"])
    except (ConfigError, KeyError, TypeError, ValueError):
        return math.inf


def start_folder(folder: Path, plan: FitPlan, state: State) -> None:
    """Write what is decided; of a fit that was there before, only what is gone on with stays.

    Raises:
        FitError: the folder cannot be written.
    """
    remove_leftovers(folder, OURS)
    if state == "new":
        clear(folder)
    if state in ("new", "extended"):
        record = plan.record()
        if state == "extended" and (first_weights := read_mapping(folder / RECORD).get(FIRST_WEIGHTS)):
            record[FIRST_WEIGHTS] = first_weights
        write_json(folder / RECORD, record)


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


def read_report(folder: Path) -> Report:
    """Read the scores that `evaluate` measured at the end of a fit, from `metrics.json` and `frames.csv`.

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
