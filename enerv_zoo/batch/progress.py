"""Progress of a batch: jobs that are over, jobs that run, and an estimate of the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from enerv_zoo.progress import OnStatus, Status

REPORT_EVERY = 2.0
"""Seconds between two reports of a worker."""

Report = Callable[[str, dict[str, Any]], None]
"""Called with a job's name and facts: `host`, `pid`, `since` as it begins, and `progress`, `epoch`, `psnr`."""


@dataclass(frozen=True)
class Running:
    """A fit that is being done.

    Attributes:
        name: of the job.
        host: the machine.
        pid: of its process there.
        progress: fraction of the fit that is done.
        psnr: dB, of frames as they were decoded while fitting; `None` before the first.
        attempt: 1 for the first.
    """

    name: str
    host: str
    pid: int
    progress: float
    psnr: float | None
    attempt: int


@dataclass(frozen=True)
class BatchStatus:
    """Progress of a batch.

    Attributes:
        jobs: in all.
        done: fitted, now or before.
        failed: given up.
        running: being fitted.
        lost: workers that were lost, and whose jobs were begun again.
        seconds: since the beginning.
        processor_seconds: cores times seconds of all fits, ended or not.
        gpu_seconds: shares of GPUs times seconds of all fits.
        seconds_left: until all is done, at the rate so far; `None` before there is any.
    """

    jobs: int
    done: int
    failed: int
    running: tuple[Running, ...]
    lost: int
    seconds: float
    processor_seconds: float
    gpu_seconds: float
    seconds_left: float | None


class Board:
    """Facts that workers report; nobody waits for it."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Any]] = {}

    def tell(self, name: str, facts: dict[str, Any]) -> None:
        """Note facts about a fit; one that begins (`since`) is another attempt."""
        self._facts[name] = facts if "since" in facts else {**self._facts.get(name, {}), **facts}

    def look(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the facts about these fits, and forget the others, which are over."""
        self._facts = {name: self._facts[name] for name in names if name in self._facts}
        return self._facts


def reporter(name: str, report: Report) -> OnStatus:
    """Return the `on_status` of a worker's fit, which reports every few seconds."""
    last = 0.0

    def on_status(status: Status) -> None:
        nonlocal last
        if time.monotonic() - last >= REPORT_EVERY:
            last = time.monotonic()
            report(name, {"progress": status.progress, "epoch": status.epoch, "psnr": status.psnr})

    return on_status


@dataclass
class Task:
    """A call that a worker is to make; one that `reports` is a fit, and takes a `report` as a keyword."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    cpus: float
    gpus: float = 0.0
    memory: int = 0
    reports: bool = False
    attempts: int = 0
    seconds: float = 0.0


@dataclass
class Progress:
    """Sums of a `BatchStatus`, which each event changes, so that a look costs the same for a million jobs."""

    jobs: int
    began: float = field(default_factory=time.monotonic)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: int = 0
    failed: int = 0
    lost: int = 0
    processor_seconds: float = 0.0
    gpu_seconds: float = 0.0
    _work: dict[str, float] = field(default_factory=dict)
    _total: float = 0.0  # of the work of jobs, of which this much is over, of so many jobs
    _over: float = 0.0
    _over_count: int = 0

    def add(self, name: str, work: float) -> None:
        """Note how much work a job is, before it is begun."""
        self._work[name] = work
        self._total += work

    def end(self, name: str, *, failed: bool) -> None:
        """Note that a job is over; one whose work was never added says nothing of the rate."""
        self.ended += 1
        self.failed += failed
        if name in self._work:
            self._over += self._work[name]
            self._over_count += 1

    def leave(self, task: Task, outcome: Any) -> None:
        """Note that a fit has left its worker, and how long it was there: as its outcome says, else as it reported."""
        if not task.reports:
            return
        since = self.facts.pop(task.name, {}).get("since", time.time())
        seconds = (outcome and outcome.seconds) or max(time.time() - since, 0.0)
        task.seconds += seconds
        self.processor_seconds += task.cpus * seconds
        self.gpu_seconds += task.gpus * seconds

    def status(self, fits: Iterable[Task]) -> BatchStatus:
        now, spent, running = time.time(), [0.0, 0.0], []
        going = 0.0
        for task in fits:
            facts = self.facts.get(task.name, {})
            if "since" not in facts:
                continue
            lasted = max(now - facts["since"], 0.0)
            spent = [spent[0] + task.cpus * lasted, spent[1] + task.gpus * lasted]
            going += self._work.get(task.name, 0.0) * facts["progress"]
            state = (facts["host"], facts["pid"], facts["progress"], facts.get("psnr"))
            running.append(Running(task.name, *state, task.attempts))
        seconds = time.monotonic() - self.began
        done, left = self._over + going, self._left() - going
        return BatchStatus(
            self.jobs, self.ended - self.failed, self.failed, tuple(running), self.lost, seconds,
            self.processor_seconds + spent[0], self.gpu_seconds + spent[1], seconds * left / done if done else None,
        )  # fmt: skip

    def _left(self) -> float:
        """Return the work that is left; a job that nobody looked at yet is as much as the others on average."""
        mean = self._total / len(self._work) if self._work else 1.0
        unknown = (self.jobs - len(self._work)) - (self.ended - self._over_count)
        return self._total - self._over + mean * unknown
