"""Worker of a fleet: it fits in a folder of its own, and shares checkpoints and results through the store.

Nothing here needs Ray: workers are processes that import this package, and jobs and answers are plain data.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from enerv_zoo.batch.jobs import FitJob, FitOutcome, reason, run_job
from enerv_zoo.batch.progress import Report, reporter
from enerv_zoo.batch.store import Store
from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.files import write_json
from enerv_zoo.fitting.checkpoint import CHECKPOINT, PREVIOUS
from enerv_zoo.fitting.choice import choose
from enerv_zoo.fitting.folder import OURS
from enerv_zoo.fitting.memory import memory_need
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.parsing import read_mapping
from enerv_zoo.stopping import graceful_stop
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.record import METRICS, RECORD
from enerv_zoo.video.origin import protected
from enerv_zoo.video.scenes import survey
from enerv_zoo.zoo import chosen_config

logger = logging.getLogger(__name__)

JOB = "job.json"
"""File in a fit's folder: the id of its job."""
BY_ID = ".jobs"
"""Folder in the store: a file for each id that was fitted, which names the folder."""
RESULTS = [name for name in OURS if name not in (WEIGHTS, CHECKPOINT, PREVIOUS)]

LAST_WORDS = 30.0
"""Seconds that the worker of an attempt that was given up may still write to the store."""


@dataclass(frozen=True)
class Prepared:
    """A job whose video was opened.

    Attributes:
        id: of the job, by the video's contents and the recipe.
        memory: bytes that the fit needs at most, as far as is known before its first step.
        work: pixels to be fitted in all epochs: how long it takes, up to a factor.
        ended: how it ended, where it did before.
    """

    id: str
    memory: int = 0
    work: float = 0.0
    ended: FitOutcome | None = None


def prepare(job: FitJob, root: str) -> Prepared:
    """Look at a job's video and network, and for its fit; nothing is decoded but a frame.

    Args:
        job: what is to be fitted.
        root: of the store.

    Raises:
        EnervZooError: the video cannot be read, the network cannot be made for it, or the store fails.
    """
    key, store = job.id, Store(root)
    if (store.read(f"{job.name}/{JOB}") or {}).get("id") == key and _has_ended(store.names(job.name)):
        metrics = store.read(f"{job.name}/{METRICS}")
        if metrics is not None:
            return Prepared(key, ended=FitOutcome(job.name, metrics=metrics, host=socket.gethostname()))
    plan = choose(job.plan("cpu"), job.source)
    info = survey(job.source, **plan.video, scenes=False).info
    with torch.device("meta"):
        config = chosen_config(plan.model, info)
        video = NeuralVideo(config, info)
    fit = plan.fit if plan.loss is None else replace(plan.fit, loss="L1")
    work = info.pixels * fit.total_epochs if fit.time_budget is None else fit.time_budget * 1e6
    return Prepared(key, memory_need(video, fit).total, work)


def do(
    job: FitJob,
    key: str,
    root: str,
    device: str,
    every: float = 60.0,
    share: float = 1.0,
    report: Report = lambda name, facts: None,
) -> FitOutcome:
    """Fit what there is to fit of a job: all of it, what is left after its last checkpoint, or nothing.

    Args:
        job: what to fit.
        key: its id; a folder of another id is refused, and a fit of this id under another name is copied.
        root: of the store.
        device: `"cpu"` or `"cuda"`.
        every: seconds between checkpoints in the store, at least.
        share: of the GPU's memory that is this fit's.
        report: called every few seconds.

    Returns:
        How it ended; an error is in there, too.
    """
    began, host = time.time(), socket.gethostname()
    report(job.name, {"host": host, "pid": os.getpid(), "progress": 0.0, "since": began})
    try:
        if device == "cuda" and share < 1:
            torch.cuda.set_per_process_memory_fraction(share)
        store = Store(root)
        alone = store.locked(job.name, LAST_WORDS)
        with protected(job.source), alone, tempfile.TemporaryDirectory(prefix="enerv-zoo-") as scratch:
            outcome = _do(job, key, store, device, every, report, Path(scratch))
    except Exception as error:  # whatever ends one job must not end the others
        logger.debug("%s", job.name, exc_info=True)
        outcome = FitOutcome(job.name, error=reason(error))
    return replace(outcome, seconds=time.time() - began, host=host)


def _do(job: FitJob, key: str, store: Store, device: str, every: float, report: Report, scratch: Path) -> FitOutcome:
    folder = scratch / job.name
    other = (store.read(f"{job.name}/{JOB}") or {}).get("id", key)
    if other != key and store.names(job.name) & {RECORD, WEIGHTS, CHECKPOINT}:  # one that failed may have left its id
        raise ConfigError(
            f"{store.root}/{job.name}: holds the fit of another video or recipe (job {other:.8}, this is {key:.8}); "
            "give this one another name, or move that away"
        )
    if not _fetch(store, job.name, folder):
        store.write(f"{job.name}/{JOB}", {"id": key})
        if _adopt(store, job, key, folder):
            _publish(store, job.name, folder)
            return FitOutcome(job.name, metrics=read_mapping(folder / METRICS))

    with _sharing_checkpoints(store, job.name, folder, every), graceful_stop():
        outcome = run_job(job, scratch, device, lambda name: reporter(name, report))
    if outcome.error is None and outcome.fitting != "nothing" and not _has_ended(store.names(job.name)):
        _publish(store, job.name, folder)
        store.write(f"{BY_ID}/{key}.json", {"name": job.name})
    return outcome


# ---------------------------------------------------------------------- the store


def _has_ended(names: set[str]) -> bool:
    """Return whether a fit in the store has ended: weights are put last, and checkpoints go after them."""
    return WEIGHTS in names and CHECKPOINT not in names


def _fetch(store: Store, name: str, folder: Path) -> bool:
    """Copy what a fit needs to go on, or what says that it has ended. Returns whether there is anything."""
    names = store.names(name)
    ended = _has_ended(names)
    for file in names.intersection((RECORD, METRICS, WEIGHTS) if ended else (RECORD, CHECKPOINT)):
        store.get(f"{name}/{file}", folder / file)
    return RECORD in names


def _publish(store: Store, name: str, folder: Path) -> None:
    """Put a fit that has ended into the store, so that it is whole as soon as it counts as ended."""
    for file in (*RESULTS, WEIGHTS):
        if (folder / file).is_file():
            store.put(folder / file, f"{name}/{file}")
    store.remove(f"{name}/{CHECKPOINT}")


def _adopt(store: Store, job: FitJob, key: str, folder: Path) -> bool:
    """Take over a fit of the same id that has another name; its record then says what this job's video is called."""
    other = (store.read(f"{BY_ID}/{key}.json") or {}).get("name")
    if not isinstance(other, str) or other == job.name or ".." in other.split("/"):
        return False
    names = store.names(other)
    if not _has_ended(names):
        return False
    for file in names.intersection((*RESULTS, WEIGHTS)):
        store.get(f"{other}/{file}", folder / file)
    write_json(folder / RECORD, {**read_mapping(folder / RECORD), "source": job.plan("cpu").source})
    return True


@contextmanager
def _sharing_checkpoints(store: Store, name: str, folder: Path, every: float) -> Iterator[None]:
    """Put a fit's checkpoints into the store while the block runs, so that it can go on elsewhere."""
    ended = threading.Event()
    last: list[Any] = [None]

    def keep() -> None:
        checkpoint = folder / CHECKPOINT
        try:
            now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
            if now is None or now == last[0]:
                return
            with tempfile.TemporaryDirectory(prefix="enerv-zoo-") as aside:  # the fit replaces its own meanwhile
                copy = Path(shutil.copy(checkpoint, aside))
                if last[0] is None:
                    store.put(folder / RECORD, f"{name}/{RECORD}")
                store.put(copy, f"{name}/{CHECKPOINT}")
            last[0] = now
        except (OSError, EnervZooError) as error:
            logger.warning("%s: no checkpoint could be shared, the fit goes on: %s", name, error)

    def watch() -> None:
        while not ended.wait(every):
            keep()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except BaseException:  # told to stop: a last checkpoint lies there
        ended.set()
        watcher.join()
        keep()
        raise
    ended.set()
    watcher.join()
