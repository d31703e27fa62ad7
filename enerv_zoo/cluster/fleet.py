"""`Fleet`: a `Runner` that has jobs done by the workers of a Ray cluster.

The driver holds plain data alone: videos are opened, hashed and decoded by workers. It hands out a few more tasks than
the cluster can do at once, so a manifest of any length neither floods Ray nor waits for it. Each job is prepared first
(its id, and the memory that its fit needs), then fitted with the resources that this asks for; a lost worker's job is
begun again elsewhere, from the last checkpoint in the store.
"""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from enerv_zoo.batch.dispatch import LOOK_EVERY, Answer, Dispatcher
from enerv_zoo.batch.jobs import FitJob, FitOutcome, OnFit, check_names, reason
from enerv_zoo.batch.progress import BatchStatus, Board, Progress, Task
from enerv_zoo.batch.store import Store
from enerv_zoo.cluster.worker import Prepared, do, prepare
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.machine import available_cores

logger = logging.getLogger(__name__)

PROCESS_BYTES = 800 << 20
"""Memory of a worker before its first tensor."""
CONTEXT_BYTES = 1 << 30
"""Memory of a GPU that a process takes before its first tensor, and that its allocator leaves unused."""
SMALLEST_SHARE = 0.05
TASKS_PER_CORE = 2.0
"""Tasks that are handed out, over those that the cluster can do at once."""
LOCAL_STORE_BYTES = 512 << 20
RAY_VARIABLES = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers have this package; nothing is sent to them
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Variables that are set while Ray is imported and started; the processes that it starts inherit it."""


class Fleet(Dispatcher):
    """Workers of a Ray cluster, as the `Runner` of `compare`, `run_batch`, `rate_distortion` and `fit_segments`.

        with Fleet("auto") as fleet:
            ez.compare("s3://bucket/clip.mp4", ["nerv", "enerv"], out="/shared/compare", runner=fleet)

    Args:
        address: of a cluster: `"auto"` (of which this machine is one) or `"ray://host:10001"`; without one, Ray is
            started on this machine and ended with the block.
        cpus: cores for each fit, its data and its share of a GPU.
        gpu_memory: bytes of each GPU; by default that of the first one that answers.
        attempts: how often a job is begun, if its worker is lost each time, before it is given up.
        checkpoint_every: seconds between checkpoints in the store, at least.
        on_update: called about once a second with the progress of all fits.

    Raises:
        ConfigError: Ray is not installed, or a number is out of range.
        FitError: no cluster answers at the address.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus: float = 1.0,
        gpu_memory: int | None = None,
        attempts: int = 5,
        checkpoint_every: float = 60.0,
        on_update: Callable[[BatchStatus], None] = lambda status: None,
    ) -> None:
        super().__init__(cpus, attempts, on_update)
        if checkpoint_every <= 0 or (gpu_memory is not None and gpu_memory <= 0):
            raise ConfigError("a fleet's checkpoint_every and gpu_memory are above 0")
        with _variables(RAY_VARIABLES):
            self._ray = _ray()
        self.address, self.checkpoint_every = address, checkpoint_every
        self._gpu_memory = gpu_memory
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._start()
        self._board = self._ray.remote(Board).options(num_cpus=0, max_restarts=-1).remote()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *reason: Any) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the cluster; one that was started here ends."""
        self._ray.kill(self._board)
        if self._ours:
            self._ray.shutdown()

    # ------------------------------------------------------------------ jobs

    def __call__(
        self, jobs: Sequence[FitJob], out: str | Path, *, device: str = "auto", on_fit: OnFit = lambda name: None
    ) -> Iterator[FitOutcome]:
        """Do what there is to do for each job, and yield how each ended, in the order in which they do.

        What has ended stays, what was cut off goes on from its last checkpoint, and a job that was fitted under another
        name before is copied; so a call can be repeated until all is done. A job that fails says so alone.

        Args:
            jobs: with names of their own.
            out: a folder that all machines see, by its path or its address (`s3://...`).
            device: `"auto"` (GPUs where the cluster has any), `"cpu"` or `"cuda"`.
            on_fit: left alone; `on_update` tells how far all is.

        Raises:
            ConfigError: two jobs of one name.
            FitError: no such device in the cluster, or the cluster is lost.
        """
        check_names([job.name for job in jobs])
        device, store, progress = self.choose_device(device), Store(out), Progress(len(jobs))
        store.check()
        by_name = {job.name: job for job in jobs}
        queue = deque(Task(job.name, prepare, (job, store.root), min(self.cpus, 1.0)) for job in jobs)
        ids: dict[str, str] = {}
        same: dict[str, deque[Task]] = {}  # fits of one id: the first is done, and the others copy it

        for task, answer, error in self.run(queue, progress):
            if error is None and task.function is prepare:
                ids[task.name], outcome = answer.id, answer.ended
                if outcome is None:
                    progress.add(task.name, answer.work)
                    fit = self._fit(by_name[task.name], answer, store, device)
                    waiting = same.setdefault(answer.id, deque())
                    waiting.append(fit)
                    if waiting[0] is fit:
                        queue.appendleft(fit)
                    continue
            else:
                outcome = answer if error is None else FitOutcome(task.name, error=error)
            if task.function is do:
                waiting = same[ids[task.name]]
                waiting.popleft()
                if waiting:
                    queue.appendleft(waiting[0])
            progress.end(task.name, failed=outcome.error is not None)
            yield replace(outcome, id=ids.get(task.name), attempts=task.attempts, seconds=task.seconds)
        self.on_update(progress.status(()))

    def _fit(self, job: FitJob, prepared: Prepared, store: Store, device: str) -> Task:
        share, memory = self._needs(prepared, device)
        arguments = (job, prepared.id, store.root, device, self.checkpoint_every, share)
        return Task(job.name, do, arguments, self.cpus, share if device == "cuda" else 0.0, memory, reports=True)

    def _needs(self, prepared: Prepared, device: str) -> tuple[float, int]:
        """Return the share of a GPU and the bytes of host memory that a fit asks for."""
        if device == "cpu":
            sizes = [node["Resources"].get("memory", 0) for node in self._ray.nodes() if node["Alive"]]
            most = max(sizes, default=0)
            return 1.0, int(min(prepared.memory + PROCESS_BYTES, most))
        if self._gpu_memory is None:
            self._gpu_memory = self._ray.get(self._ray.remote(num_gpus=0.01, max_calls=1)(_gpu_bytes).remote())
        return gpu_share(prepared.memory, self._gpu_memory or 1), 0

    def choose_device(self, device: str) -> str:
        """Return the device of all fits; `"auto"` is CUDA where any machine of the cluster has a GPU, else the CPU.

        Raises:
            FitError: no machine has such a device, or the name means nothing.
        """
        gpus = self._ray.cluster_resources().get("GPU", 0)
        if device not in ("auto", "cpu", "cuda"):
            raise FitError(f"device must be auto, cpu or cuda, got {device!r}")
        if device == "cuda" and not gpus:
            raise FitError("no machine of this cluster has a GPU; use --device auto or --device cpu")
        return "cuda" if device == "cuda" or (device == "auto" and gpus) else "cpu"

    # ------------------------------------------------------------------ tasks

    def room(self) -> int:
        """Return how many tasks may be with the cluster: somewhat more than it can do at once, as it is now."""
        cores = self._ray.cluster_resources().get("CPU", 0)
        return max(math.ceil(TASKS_PER_CORE * cores / self.cpus), 4)

    def begin(self, task: Task) -> Any:
        """Hand a task to the cluster. Returns the reference to its value."""
        function = _reporting if task.reports else task.function
        arguments = (self._board, task.function, *task.arguments) if task.reports else task.arguments
        options: dict[str, Any] = {"num_cpus": task.cpus, "num_gpus": task.gpus, "max_retries": 0}
        if task.memory:
            options["memory"] = task.memory
        if task.gpus:
            options["max_calls"] = 1  # with its process, all that it holds of the GPU is free again
        return self._ray.remote(**options)(function).options(name=task.name).remote(*arguments)

    def wait(self, running: dict[Any, Task]) -> Iterator[tuple[Any, Answer]]:
        """Wait for a task to end, for a second at most."""
        ready, _ = self._ray.wait(list(running), num_returns=1, timeout=LOOK_EVERY)
        for ref in ready:
            try:
                yield ref, Answer(self._ray.get(ref))
            except self._ray.exceptions.RayTaskError as error:
                cause = error.cause if isinstance(error.cause, Exception) else error
                yield ref, Answer(error=reason(cause))
            except self._ray.exceptions.RayError as error:
                yield ref, Answer(lost=type(error).__name__)

    def facts(self, names: list[str]) -> dict[str, dict[str, Any]] | None:
        """Ask the board."""
        try:
            return self._ray.get(self._board.look.remote(names), timeout=5 * LOOK_EVERY)
        except self._ray.exceptions.RayError:  # it moves to another machine; what it knew is reported again
            logger.debug("the board does not answer")
            return None

    def cancel(self, running: Iterable[Any]) -> None:
        """Have the cluster stop tasks, which leave checkpoints."""
        for ref in running:
            self._ray.cancel(ref)

    # ------------------------------------------------------------------ the cluster

    def _start(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "enerv-zoo"}
        if self.address is None:
            options |= {
                "address": "local",
                "num_cpus": available_cores(),
                "include_dashboard": False,
                "object_store_memory": LOCAL_STORE_BYTES,
            }
            logger.info("starting Ray on this machine, cores: %d", options["num_cpus"])
        else:
            options["address"] = self.address
            logger.info("joining the Ray cluster at %s", self.address)
        try:
            with _variables(RAY_VARIABLES):
                self._ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            where = self.address or "this machine"
            raise FitError(
                f"{where}: no Ray cluster answers ({reason(error)[:200]}); start one with 'ray start --head', or give "
                "--address local (address=None) for one on this machine"
            ) from error


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment, but for those that are there: Ray takes settings no other way."""
    ours = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _ray() -> Any:
    """Return the module; it takes seconds to import, and is an extra."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError("a fleet needs Ray, which is not installed; pip install 'enerv-zoo[cluster]'") from error
    return ray


def _reporting(board: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call, in a worker, a function that reports to the board."""
    return function(*arguments, report=lambda name, facts: board.tell.remote(name, facts))


def _gpu_bytes() -> int:
    """Return the memory of a worker's GPU."""
    import torch

    return torch.cuda.get_device_properties(0).total_memory


def gpu_share(need: int, memory: int) -> float:
    """Return the share of a GPU of `memory` bytes for a fit that needs `needed` of them, in hundredths, rounded up."""
    return min(max(math.ceil(100 * (need + CONTEXT_BYTES) / memory) / 100, SMALLEST_SHARE), 1.0)
