"""`WorkerPool`: a `Runner` of processes on this machine, a GPU or a share of the cores for each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from enerv_zoo.batch.dispatch import LOOK_EVERY, Answer, Dispatcher
from enerv_zoo.batch.jobs import FitJob, FitOutcome, OnFit, check_jobs, reason
from enerv_zoo.batch.pool_worker import fit_job
from enerv_zoo.batch.progress import BatchStatus, Board, Progress, Task
from enerv_zoo.errors import ConfigError
from enerv_zoo.machine import available_cores, start_worker
from enerv_zoo.registry import imported_files

logger = logging.getLogger(__name__)

SERVE = "enerv_zoo.batch.pool_worker:serve"
VISIBLE = "CUDA_VISIBLE_DEVICES"
MOST_WORKERS = 30 if sys.platform == "win32" and sys.version_info < (3, 13) else 1 << 20
"""Workers at most: there, Python waits for 63 things at once, two of each worker."""


@dataclass(eq=False)
class _Worker:
    """A process.

    Attributes:
        process: itself.
        pipe: its end here.
        place: its number in the pool, which decides its device.
        task: that it does.
        refused: why the task could not be sent to it.
    """

    process: BaseProcess
    pipe: Connection
    place: int
    task: Task | None = None
    refused: str | None = None


class WorkerPool(Dispatcher):
    """Processes on this machine, as the `Runner` of many fits; they end with the block.

        with WorkerPool(4) as pool:
            ez.compare("bunny", ["nerv", "enerv", "hnerv"], out="runs/compare", runner=pool)

    On GPUs each worker has one for itself; more workers than GPUs share them in turn. On the CPU the cores are shared
    out. A worker that is killed is replaced, and its fit goes on from the last checkpoint. Ctrl-C lets every fit end
    its current step and write a checkpoint, and a second one ends all at once. Workers import the caller's main module,
    as those of `multiprocessing` do: a script needs `if __name__ == "__main__":`.

    Args:
        workers: how many; by default one per GPU, and on the CPU one per core.
        threads: of each worker; by default `OMP_NUM_THREADS`, else its share of the cores.
        attempts: how often a job is begun, if its worker is lost each time, before it is given up.
        on_update: called about once a second with the progress of all fits.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        threads: int | None = None,
        attempts: int = 5,
        on_update: Callable[[BatchStatus], None] = lambda status: None,
    ) -> None:
        if (workers is not None and workers < 1) or (threads is not None and threads < 1):
            raise ConfigError(f"a pool's workers and threads are above 0, got {workers} and {threads}")
        super().__init__(1.0, attempts, on_update)
        self.workers, self.threads = workers, threads
        self.device = "cpu"
        self._workers: list[_Worker] = []
        self._board = Board()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *reason: Any) -> None:
        self.close()

    def __call__(
        self, jobs: Sequence[FitJob], out: str | Path, *, device: str = "auto", on_fit: OnFit = lambda name: None
    ) -> Iterator[FitOutcome]:
        """Do what there is to do for each job, and yield how each ended, in the order in which they do.

        What has ended stays, what was cut off goes on from its last checkpoint, so a call can be repeated until all is
        done. A job that fails says so alone.

        Args:
            jobs: with names of their own.
            out: a folder of this machine.
            device: `"auto"` (GPUs where there are any), `"cpu"` or `"cuda"`.
            on_fit: not called; `on_update` gets the progress of all fits.

        Raises:
            ConfigError: two jobs of one name, or `out` is an address.
            FitError: no such device.
        """
        device = check_jobs(jobs, out, device)
        if device != self.device:
            self.close()  # workers of another device
            self.device = device
        folder = str(Path(out).resolve())
        self.cpus = float(self._threads())
        gpus = min(torch.cuda.device_count() / self.room(), 1.0) if device == "cuda" else 0.0
        queue = deque(Task(job.name, fit_job, (job, folder, device), self.cpus, gpus, reports=True) for job in jobs)
        progress = Progress(len(jobs))
        for job in jobs:
            progress.add(job.name, 1.0)
        for task, value, error in self.run(queue, progress):
            outcome = value if error is None else FitOutcome(task.name, error=error)
            progress.end(task.name, failed=outcome.error is not None)
            yield replace(outcome, attempts=task.attempts, seconds=task.seconds)
        self.on_update(progress.status(()))

    def close(self) -> None:
        """End the workers: fits stop after their current step, with a checkpoint."""
        for worker in self._workers:
            worker.pipe.close()
        try:
            for worker in self._workers:
                worker.process.join()
        finally:
            for worker in self._workers:
                worker.process.kill()  # where a second Ctrl-C has come
            self._workers = []

    # ------------------------------------------------------------------ tasks

    def room(self) -> int:
        """Return how many tasks may be with workers: one each."""
        own = {"cuda": torch.cuda.device_count, "cpu": available_cores}.get(self.device)
        return min(self.workers or (1 if own is None else own()), MOST_WORKERS)

    def begin(self, task: Task) -> _Worker:
        """Give a task to a worker that has none; one is started where all are busy."""
        worker = next((each for each in self._workers if each.task is None), None) or self._start()
        worker.task, worker.refused = task, None
        try:
            call = pickle.dumps((task.name, task.reports, task.function, task.arguments))
        except Exception as error:  # pickle raises what it likes
            worker.refused = f"it cannot be sent to another process ({reason(error)}); define what it needs in a module"
            return worker
        with suppress(OSError):  # killed while it had nothing to do; the task is then begun again
            worker.pipe.send_bytes(call)
        return worker

    def wait(self, running: dict[Any, Task]) -> Iterator[tuple[_Worker, Answer]]:
        """Wait for a worker to say something or to end, for a second at most."""
        refused = [worker for worker in running if worker.refused is not None]
        ends = {end: worker for worker in running for end in (worker.pipe, worker.process.sentinel)}
        ready = [] if refused else wait(list(ends), LOOK_EVERY)
        for worker in refused or dict.fromkeys(ends[end] for end in ready):
            answer = Answer(error=worker.refused) if refused else self._hear(worker)
            if answer is not None:
                worker.task = None
                yield worker, answer

    def _hear(self, worker: _Worker) -> Answer | None:
        """Read a worker's messages. Returns its answer, if there is one."""
        try:
            while worker.pipe.poll():
                match worker.pipe.recv():
                    case ("facts", name, facts):
                        self._board.tell(name, facts)
                    case ("log", name, level, text):
                        logging.getLogger(name).log(level, "%s", text)
                    case answer:
                        return answer
            if worker.process.is_alive():
                return None
        except (EOFError, OSError):
            pass
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        return Answer(lost=f"exit code {worker.process.exitcode}")

    def facts(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Return the facts that workers have reported."""
        return self._board.look(names)

    def cancel(self, running: Iterable[Any]) -> None:
        """End the workers, if any is at work."""
        if list(running):
            logger.info("fits stop after their current step; the same command goes on with them")
            self.close()

    # ------------------------------------------------------------------ processes

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        place = min(set(range(len(self._workers) + 1)) - {worker.place for worker in self._workers})
        ours, theirs = context.Pipe()
        arguments = (self.environment_of(place), SERVE, theirs, imported_files())
        process = context.Process(target=start_worker, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours, place))
        return self._workers[-1]

    def environment_of(self, place: int) -> dict[str, str]:
        """Return the variables of a worker: its threads, and the GPU that it has for itself."""
        variables = {"OMP_NUM_THREADS": str(self._threads())}
        if self.device == "cuda":
            count = torch.cuda.device_count()
            visible = os.environ.get(VISIBLE) or ",".join(map(str, range(count)))
            variables[VISIBLE] = visible.split(",")[place % count]
        return variables

    def _threads(self) -> int:
        own = os.environ.get("OMP_NUM_THREADS", "")
        shared = int(own) if own.isdecimal() and int(own) else max(available_cores() // self.room(), 1)
        return self.threads or shared
