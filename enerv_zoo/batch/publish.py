"""A manifest's jobs, done: fitted, and pushed; what is done already is not done again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from enerv_zoo.batch.jobs import FitJob, FitOutcome, OnFit, Runner, Todo, reason, run_here, todo
from enerv_zoo.batch.manifest import Job, check_name
from enerv_zoo.config import read_mapping
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import remove_leftovers, write_json
from enerv_zoo.hub.download import CARD, PREVIEW
from enerv_zoo.hub.index import add_to_index
from enerv_zoo.loading import push
from enerv_zoo.locking import locked
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.record import METRICS, RECORD

logger = logging.getLogger(__name__)

PUSHES = "published.json"
"""In the folder of all fits: what of them is on the Hub."""
INDEX = "index.yaml"
CONTENTS = (WEIGHTS, RECORD, METRICS, PREVIEW, CARD)
"""What a push is made of, beside the repository's name and the licence."""


@dataclass(frozen=True)
class Outcome:
    """What there is to do for a job, or what was done.

    Attributes:
        name: of the fit.
        repository: where it goes, or `None` if it stays here.
        fitting: `"fit"`, `"resume"`, or `"nothing"`, where the fit has ended before.
        pushing: `"push"`, or `"nothing"`, where it is on the Hub as it is here, or stays here.
        url: of its commit, where it is on the Hub.
        psnr: of the fit, dB, where it has ended.
        error: why it could not be done.
    """

    name: str
    repository: str | None
    fitting: Todo = "nothing"
    pushing: Literal["push", "nothing"] = "nothing"
    url: str | None = None
    psnr: float | None = None
    error: str | None = None


class Publisher:
    """Does the jobs of a manifest in one folder, which holds a folder for each, what was pushed, and the index.

    Args:
        out: the folder.
        owner: user or organisation on the Hub; `None` fits and pushes nothing.
        private: whether new repositories are private.
        index: a file of short names to add the repositories to; by default `index.yaml` in `out`.
        device: to fit on: auto, cpu or cuda.
        runner: does the fits.

    Raises:
        ConfigError: the owner's name can be none.
    """

    def __init__(
        self,
        out: str | Path,
        owner: str | None,
        *,
        private: bool | None = None,
        index: str | Path | None = None,
        device: str = "auto",
        runner: Runner = run_here,
    ) -> None:
        self.out, self.private, self.device, self.runner = Path(out), private, device, runner
        self.owner = None if owner is None else check_name(owner)
        self.index = self.out / INDEX if index is None else Path(index)

    def survey(self, jobs: Sequence[Job]) -> list[Outcome]:
        """What there is to do; nothing is written, and the network is not asked."""
        return [self._each(job, partial(self._survey, job)) for job in jobs]

    def publish(self, jobs: Sequence[Job], on_fit: OnFit = lambda name: None) -> Iterator[Outcome]:
        """Do what there is to do, pushing each fit as it ends. One that fails says so, and the others go on.

        Args:
            jobs: from `manifest_jobs`.
            on_fit: called with each name as its fit begins; returns that fit's `on_status`.

        Raises:
            FitError: another process writes to the folder.
        """
        by_name = {job.name: job for job in jobs}
        fits = [_whole(job) for job in jobs]
        with locked(self.out):
            remove_leftovers(self.out, (PUSHES, INDEX))
            for done in self.runner(fits, self.out, device=self.device, on_fit=on_fit):
                job = by_name[done.name]
                yield self._each(job, partial(self._push, job, done))

    def _each(self, job: Job, action: Callable[[], Outcome]) -> Outcome:
        try:
            return action()
        except Exception as error:  # whatever ends one job must not end the others
            logger.debug("%s", job.name, exc_info=True)
            return Outcome(job.name, self._repository(job), error=reason(error))

    def _repository(self, job: Job) -> str | None:
        return None if self.owner is None else f"{self.owner}/{job.name}"

    def _survey(self, job: Job) -> Outcome:
        needed = todo(_whole(job), self.out, self.device)
        if needed != "nothing":
            pushing: Literal["push", "nothing"] = "nothing" if self.owner is None else "push"
            return Outcome(job.name, self._repository(job), needed, pushing)
        return self._pushing(job, FitOutcome(job.name, needed, read_mapping(self.out / job.name / METRICS)))

    def _pushing(self, job: Job, done: FitOutcome) -> Outcome:
        """What is left to do for a fit that has ended."""
        outcome = Outcome(job.name, self._repository(job), done.fitting, psnr=(done.metrics or {}).get("psnr"))
        if outcome.repository is None:
            return outcome
        pushed = self._pushes().get(job.name, {})
        if pushed.get("digest") == self._digest(job):
            return replace(outcome, url=pushed["url"])
        return replace(outcome, pushing="push")

    def _push(self, job: Job, done: FitOutcome) -> Outcome:
        if done.error is not None:
            return Outcome(job.name, self._repository(job), error=done.error)
        outcome = self._pushing(job, done)
        repository = outcome.repository
        if repository is None:
            return outcome
        if outcome.pushing == "push":
            url = push(self.out / job.name, repository, private=self.private, license=job.license)
            pushes = {**self._pushes(), job.name: {"url": url, "digest": self._digest(job)}}
            write_json(self.out / PUSHES, pushes)
            outcome = replace(outcome, url=url)
        add_to_index(self.index, job.name, repository)
        return outcome

    def _pushes(self) -> dict[str, Any]:
        return read_mapping(self.out / PUSHES) if (self.out / PUSHES).is_file() else {}

    def _digest(self, job: Job) -> str:
        """Changes with whatever a push of the fit would change."""
        digest = hashlib.sha256(json.dumps([self._repository(job), job.license]).encode())
        for name in CONTENTS:
            file = self.out / job.name / name
            digest.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
        return digest.hexdigest()


def _whole(job: Job) -> FitJob:
    """A job's fit, which a repository can hold.

    Raises:
        ConfigError: it is a video in segments.
    """
    if not isinstance(job.fit, FitJob):
        raise ConfigError(
            f"{job.name}: publish fits one network for each repository, this is a video in segments; leave out "
            "'segments', or fit it with 'enerv-zoo fleet', make one file with 'enerv-zoo compress', and push that"
        )
    return job.fit
