"""A manifest's jobs, done: fitted, and pushed; what is done already is not done again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from enerv_zoo.config import read_mapping
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import write_json
from enerv_zoo.fitting.loop import OnStatus
from enerv_zoo.fitting.manifest import Job, check_name
from enerv_zoo.fitting.plan import check_record
from enerv_zoo.fitting.run import fit, has_ended
from enerv_zoo.hub import push
from enerv_zoo.hub.download import CARD, PREVIEW
from enerv_zoo.hub.folder import WEIGHTS
from enerv_zoo.hub.index import add_to_index
from enerv_zoo.hub.record import METRICS, RECORD

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
    fitting: Literal["fit", "resume", "nothing"] = "nothing"
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
    ) -> None:
        self.out, self.private, self.device = Path(out), private, device
        self.owner = None if owner is None else check_name(owner)
        self.index = self.out / INDEX if index is None else Path(index)

    def survey(self, jobs: Sequence[Job]) -> list[Outcome]:
        """What there is to do; nothing is written, and the network is not asked."""
        return [self._each(job, self._todo) for job in jobs]

    def publish(
        self, jobs: Sequence[Job], on_fit: Callable[[str], OnStatus | None] = lambda name: None
    ) -> Iterator[Outcome]:
        """Do what there is to do, job by job. One that fails says so in its outcome, and the others go on.

        Args:
            jobs: from `manifest_jobs`.
            on_fit: called with each name as its fit begins; returns that fit's `on_status`.
        """
        for job in jobs:
            yield self._each(job, lambda job: self._do(job, on_fit))

    def _each(self, job: Job, action: Callable[[Job], Outcome]) -> Outcome:
        try:
            return action(job)
        except Exception as error:  # a bug, a full disk or memory: whatever ends one job must not end the others
            logger.debug("%s", job.name, exc_info=True)
            reason = " ".join(str(error).split()) or type(error).__name__
            return Outcome(job.name, self._repository(job), error=reason)

    def _repository(self, job: Job) -> str | None:
        return None if self.owner is None else f"{self.owner}/{job.name}"

    def _todo(self, job: Job) -> Outcome:
        folder, outcome = self.out / job.name, Outcome(job.name, self._repository(job))
        pushing: Literal["push", "nothing"] = "nothing" if outcome.repository is None else "push"
        if (folder / RECORD).is_file():
            check_record(folder, job.plan(self.device))
        elif (folder / WEIGHTS).exists():
            raise ConfigError(f"{folder}: holds a network without the record of its fit ({RECORD}); move it away")
        if not has_ended(folder):
            return replace(outcome, fitting="resume" if (folder / RECORD).is_file() else "fit", pushing=pushing)
        done = replace(outcome, psnr=read_mapping(folder / METRICS).get("psnr"))
        pushed = self._pushes().get(job.name, {})
        if pushing == "push" and pushed.get("digest") == self._digest(job):
            return replace(done, url=pushed["url"])
        return replace(done, pushing=pushing)

    def _do(self, job: Job, on_fit: Callable[[str], OnStatus | None]) -> Outcome:
        outcome, folder = self._todo(job), self.out / job.name
        if outcome.fitting != "nothing":
            result = fit(
                job.source,
                recipe=job.recipe,
                device=self.device,
                out=folder,
                resume=outcome.fitting == "resume",
                on_status=on_fit(job.name),
            )
            outcome = replace(outcome, psnr=result.metrics["psnr"])
        if outcome.pushing == "push" and outcome.repository is not None:
            url = push(folder, outcome.repository, private=self.private, license=job.license)
            pushes = {**self._pushes(), job.name: {"url": url, "digest": self._digest(job)}}
            write_json(self.out / PUSHES, pushes)
            outcome = replace(outcome, url=url)
        if outcome.repository is not None:
            add_to_index(self.index, job.name, outcome.repository)
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
