"""Many fits, each fully decided before any begins, and the runners that do them: here, or in other processes.

    jobs = [job_of(name, "bunny", plan_fit("bunny", name, size="0.35M", epochs=30)) for name in ("nerv", "enerv")]
    for outcome in run_here(jobs, "runs"):
        ...

A `Runner` may send `run_job` to other processes: jobs and outcomes are plain data that can be pickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from enerv_zoo.compatibility import turned_sizes
from enerv_zoo.config import SQUARE, Recipe, to_dict
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.fitting.folder import State, fit_state
from enerv_zoo.fitting.plan import FitPlan, check_record, plan_fit, read_contents
from enerv_zoo.fitting.run import fit
from enerv_zoo.losses import Loss
from enerv_zoo.machine import choose_device, release_memory
from enerv_zoo.parsing import read_mapping
from enerv_zoo.progress import OnStatus
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.originals import source_name
from enerv_zoo.storage.record import COMPANIONS, METRICS, RECORD
from enerv_zoo.video.identity import digest
from enerv_zoo.video.reading import find_source
from enerv_zoo.video.remote import is_address
from enerv_zoo.zoo import check_choice

logger = logging.getLogger(__name__)

Todo = Literal["fit", "resume", "nothing"]
"""Work that is left of a job: all of it, the rest of it, or nothing, as its fit has ended before."""

WORK_LEFT: dict[State, Todo] = {"new": "fit", "begun": "resume", "ended": "nothing"}

OnFit = Callable[[str], OnStatus | None]
"""Called with a job's name as its fit begins; returns that fit's `on_status`."""


@dataclass(frozen=True)
class FitJob:
    """One fit, fully decided.

    Attributes:
        name: of its folder, among those of the other jobs.
        source: the video: a sample's name, a path, or an array.
        recipe: the network, how it is fitted, and to which part of the video.
        loss: a callable of the user's own that the recipe's `loss` names; it travels if it can be imported.
        frames_in: where frames are while fitting, as `fit` takes it.
        sound: whether the source's sound is kept.
        mask, reference: as `fit` takes them.
        init_from: folder of a fit whose weights to begin with, or `None` for fresh ones.
    """

    name: str
    source: Any
    recipe: Recipe
    loss: Loss | None = None
    frames_in: str = "auto"
    sound: bool = True
    mask: Any = None
    reference: Any = None
    init_from: Path | None = None

    @property
    def id(self) -> str:
        """32 hex digits that change with the video's contents, the recipe and first weights, and with nothing else.

        Raises:
            VideoError: the source cannot be read.
        """
        decided: dict[str, Any] = {"model": self.recipe.model, "fit": self.recipe.fit, "video": self.selection()}
        companions = {name: digest(value) for name in COMPANIONS if (value := getattr(self, name)) is not None}
        decided |= {"companions": companions} if companions else {}
        decided |= {"init_from": digest(self.init_from / WEIGHTS)} if self.init_from is not None else {}
        content = json.dumps([digest(self.source), decided], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def selection(self) -> dict[str, Any]:
        """Return the part of the video as format 1 had it, so that a fit keeps its id, and what that could not say."""
        selection = turned_sizes(self.recipe.video)
        if selection.pop("square_pixels", False) or not isinstance(self.source, str | Path):
            return selection
        if is_address(self.source) or find_source(self.source).pixel_aspect != SQUARE:
            selection["pixels"] = "stored"  # of an address, nothing is read for an id
        return selection

    @property
    def whole(self) -> FitJob:
        """The fit of the whole video, which is this one."""
        return self

    def todo(self, out: str | Path, device: str = "auto") -> Todo:
        """Return what there is to do; nothing is written.

        Raises:
            ConfigError: its folder holds a network of unknown origin.
            FitError: its folder holds a fit of another plan.
        """
        folder = Path(out) / self.name
        state = fit_state(folder)
        if state == "new":
            return "fit"
        if not (folder / RECORD).is_file():
            raise ConfigError(f"{folder}: holds a network without the record of its fit ({RECORD}); move it away")
        plan = self.plan(device)
        with suppress(VideoError):  # a video that is not at hand any more is not compared
            plan = plan if is_address(self.source) else replace(plan, contents=read_contents(self.source))
        check_record(folder, plan)
        return WORK_LEFT[state]

    def plan(self, device: str) -> FitPlan:
        """Return the plan that `fit` makes of this job."""
        return plan_fit(self.source, recipe=self.recipe, device=device, **self._own())

    def run(
        self,
        folder: Path,
        device: str,
        *,
        resume: bool,
        on_status: OnStatus | None = None,
        distributed: bool = False,
        began: float | None = None,
        report_follows: bool = False,
    ) -> None:
        """Fit into `folder`; the arguments and errors are those of `fit`."""
        fit(
            self.source,
            recipe=self.recipe,
            device=device,
            frames_in=self.frames_in,
            sound=self.sound,
            out=folder,
            resume=resume,
            init_from=self.init_from,
            distributed=distributed,
            on_status=on_status,
            began=began,
            report_follows=report_follows,
            **self._own(),
        )

    def _own(self) -> dict[str, Any]:
        """Return what is no part of the recipe."""
        loss = {} if self.loss is None else {"loss": self.loss}
        return {**loss, "mask": self.mask, "reference": self.reference}


@dataclass(frozen=True)
class FitOutcome:
    """Outcome of a job.

    Attributes:
        name: of the job.
        fitting: work that was left of it.
        metrics: of the whole fit, as in `metrics.json`; `None` where it failed.
        error: why it failed, in one line.
        seconds: that it took, all attempts together.
        attempts: how often it was begun: again after its worker was lost.
        host: the machine that did it.
        id: of the job, where it was needed.
        url: of its commit on the Hub, where it was pushed.
    """

    name: str
    fitting: Todo = "nothing"
    metrics: dict[str, Any] | None = None
    error: str | None = None
    seconds: float | None = None
    attempts: int = 1
    host: str | None = None
    id: str | None = None
    url: str | None = None


class Runner(Protocol):
    """Protocol of runners: `run_here`, a `WorkerPool` here, or a `Fleet` of machines that share a folder."""

    def __call__(
        self, jobs: Sequence[FitJob], out: str | Path, *, device: str = "auto", on_fit: OnFit = ...
    ) -> Iterator[FitOutcome]:
        """Do what there is to do for each job, in its folder `out/name`, and yield outcomes as they end, in any order.

        One that fails says so in its outcome, and the others go on. A runner that fits elsewhere may leave `on_fit`.
        """
        ...


def job_of(name: str, source: Any, plan: FitPlan, frames_in: str = "auto", init_from: Path | None = None) -> FitJob:
    """Turn a plan into a job, which any machine can do.

    Args:
        name: of its folder.
        source: the video; where the plan knows an absolute path, that is taken, as are those of its mask and reference.
        plan: from `plan_fit`, for any device.
        frames_in: as `fit` takes it.
        init_from: folder of a fit whose weights to begin with.

    Raises:
        ConfigError: a family, a size or an option of the network that there is not.
    """
    check_choice(plan.model)
    recipe = Recipe(model=plan.model, fit=to_dict(plan.fit), video=plan.video)
    companions: dict[str, Any] = {key: source_name(value := getattr(plan, key)) or value for key in COMPANIONS}
    return FitJob(name, plan.source or source, recipe, plan.loss, frames_in, init_from=init_from, **companions)


def run_job(job: FitJob, out: str | Path, device: str = "auto", on_fit: OnFit = lambda name: None) -> FitOutcome:
    """Do what there is to do for one job: fit, go on with a fit that was cut off, or nothing.

    Returns:
        How it ended; an error is in there, too, and only an interruption by the user is raised.
    """
    folder, began = Path(out) / job.name, time.time()
    try:
        todo = job.todo(out, device)
        if todo != "nothing":
            job.run(folder, device, resume=todo == "resume", on_status=on_fit(job.name))
        outcome = FitOutcome(job.name, todo, metrics=read_mapping(folder / METRICS))
    except Exception as error:  # a bug, a full disk or memory: whatever ends one job must not end the others
        logger.debug("%s", job.name, exc_info=True)
        outcome = FitOutcome(job.name, error=reason(error))
    if outcome.error or outcome.fitting != "nothing":
        release_memory()
    return replace(outcome, seconds=time.time() - began, host=socket.gethostname())


def run_here(
    jobs: Sequence[FitJob], out: str | Path, *, device: str = "auto", on_fit: OnFit = lambda name: None
) -> Iterator[FitOutcome]:
    """The `Runner` of this process: one job after the other, in their order.

    Raises:
        ConfigError: two jobs of one name, or `out` is an address.
        FitError: no such device.
    """
    device = check_jobs(jobs, out, device)
    for job in jobs:
        yield run_job(job, out, device, on_fit)


def check_names(names: Sequence[str]) -> None:
    """Refuse two jobs of one folder.

    Raises:
        ConfigError: a name is there twice.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"two fits would be called {min(twice)!r}; give one of them another name")


def check_jobs(jobs: Sequence[FitJob], out: str | Path, device: str) -> str:
    """Return the device on which a runner of this machine fits jobs into a folder.

    Raises:
        ConfigError: two jobs of one name, or `out` is an address, which only a cluster's workers fit into.
        FitError: no such device.
    """
    check_names([job.name for job in jobs])
    if is_address(str(out)):
        raise ConfigError(f"{out}: only a Ray cluster fits into an address; name a folder, or give --address")
    return choose_device(device)


def reason(error: Exception) -> str:
    """Return an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
