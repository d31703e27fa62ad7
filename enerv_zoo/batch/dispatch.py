"""Tasks handed out to workers that may be lost: the part that a process pool and a Ray cluster share."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from enerv_zoo.batch.progress import BatchStatus, Progress, Task
from enerv_zoo.errors import ConfigError

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the progress of all fits."""


@dataclass(frozen=True)
class Answer:
    """Answer of a worker to a task.

    Attributes:
        value: that its function returned.
        error: why it failed, in one line.
        lost: how its worker was lost, which has another one do the task again.
    """

    value: Any = None
    error: str | None = None
    lost: str | None = None


class Dispatcher(ABC):
    """Has workers do tasks, and a lost worker's task done again, up to `attempts` times.

    Args:
        cpus: cores for each fit.
        attempts: how often a task is begun, if its worker is lost each time, before it is given up.
        on_update: called about once a second with the progress of all fits.

    Raises:
        ConfigError: a number is out of range.
    """

    def __init__(self, cpus: float, attempts: int, on_update: Callable[[BatchStatus], None]) -> None:
        if cpus <= 0 or attempts < 1:
            raise ConfigError(f"cores and attempts are above 0, got {cpus:g} and {attempts}")
        self.cpus, self.attempts, self._on_update = cpus, attempts, on_update
        self.status: BatchStatus | None = None  # the last one

    def on_update(self, status: BatchStatus) -> None:
        """Note the progress of all fits, and tell it."""
        self.status = status
        self._on_update(status)

    @abstractmethod
    def room(self) -> int:
        """Return how many tasks may be with the workers."""

    @abstractmethod
    def begin(self, task: Task) -> Any:
        """Hand out a task. Returns a key for it."""

    @abstractmethod
    def wait(self, running: dict[Any, Task]) -> Iterable[tuple[Any, Answer]]:
        """Wait for some `LOOK_EVERY` seconds at most. Returns keys of tasks that have ended, and how."""

    @abstractmethod
    def facts(self, names: list[str]) -> dict[str, dict[str, Any]] | None:
        """Return what is known about these fits; `None` where nothing answers."""

    @abstractmethod
    def cancel(self, running: Iterable[Any]) -> None:
        """Stop what is running, as this process is interrupted or wants no more results."""

    def map(
        self, function: Callable[..., Any], calls: dict[str, tuple[Any, ...]]
    ) -> Iterator[tuple[str, Any, str | None]]:
        """Have workers call a function. Yields each call's name, its value, and why it failed or `None`.

        Args:
            function: of this package, or one that workers can import.
            calls: arguments by name.
        """
        queue = deque(Task(name, function, arguments, self.cpus) for name, arguments in calls.items())
        for task, value, error in self.run(queue, Progress(0)):
            yield task.name, value, error

    def run(self, queue: deque[Task], progress: Progress) -> Iterator[tuple[Task, Any, str | None]]:
        """Have all tasks of a queue done, which may grow meanwhile; those at its left come first."""
        running: dict[Any, Task] = {}
        looked = 0.0
        try:
            while queue or running:
                while queue and len(running) < self.room():
                    task = queue.popleft()
                    task.attempts += 1
                    running[self.begin(task)] = task
                for key, answer in self.wait(running):
                    task = running.pop(key)
                    progress.leave(task, answer.value)
                    if answer.lost is None:
                        yield task, answer.value, answer.error
                    elif task.attempts < self.attempts:
                        progress.lost += 1
                        logger.info("%s: its worker was lost (%s), it is begun again", task.name, answer.lost)
                        queue.appendleft(task)
                    else:
                        yield task, None, f"its worker was lost {task.attempts} times ({answer.lost}); given up"
                if time.monotonic() - looked >= LOOK_EVERY:
                    looked = time.monotonic()
                    self._look(progress, running.values())
        finally:
            self.cancel(running)

    def _look(self, progress: Progress, running: Iterable[Task]) -> None:
        fits = [task for task in running if task.reports]
        facts = self.facts([task.name for task in fits])
        progress.facts = progress.facts if facts is None else facts
        if progress.jobs:
            self.on_update(progress.status(fits))
