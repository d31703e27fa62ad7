"""A worker of a `WorkerPool`: it does one task after the other, and tells the pool how far it is."""

from __future__ import annotations

import _thread
import logging
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import torch

from enerv_zoo.batch.dispatch import Answer
from enerv_zoo.batch.jobs import FitJob, FitOutcome, reason, run_job
from enerv_zoo.batch.progress import Report, reporter
from enerv_zoo.registry import import_file
from enerv_zoo.stopping import graceful_stop


def fit_job(job: FitJob, out: str, device: str, report: Report) -> FitOutcome:
    """Do what there is to do for a job, in its folder `out/name`."""
    report(job.name, {"host": socket.gethostname(), "pid": os.getpid(), "progress": 0.0, "since": time.time()})
    return run_job(job, out, device, lambda name: reporter(name, report))


def serve(pipe: Connection, files: Sequence[str]) -> None:
    """Do tasks from a pipe until its other end is closed: by the pool, or with the process that held it.

    A fit that runs then stops after its current step, with a checkpoint.

    Args:
        pipe: gives tasks, and takes facts, log records and answers.
        files: Python files of the user's that register parts.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background has it ignored
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    worker = _Worker(pipe)
    threading.Thread(target=worker.listen, daemon=True).start()
    try:
        for file in files:
            import_file(file)
        with graceful_stop():
            worker.work()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except (KeyboardInterrupt, OSError):  # the pool is gone
        pass


class _Worker:
    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.calls, self.busy = pipe, SimpleQueue[bytes | None](), False
        self.speaking = threading.Lock()
        self.name = ""

    def listen(self) -> None:
        """Take tasks from the pipe; once it is closed, stop the one that is done."""
        try:
            while True:
                self.calls.put(self.pipe.recv_bytes())
        except (EOFError, OSError):
            self.calls.put(None)
            if self.busy:
                _thread.interrupt_main(signal.SIGINT)

    def work(self) -> None:
        """Do tasks."""
        logging.getLogger("enerv_zoo").addHandler(_Relay(self))
        while (call := self.calls.get()) is not None:
            self.busy = True
            answer = self.answer(call)
            self.busy = False
            self.say(answer)

    def answer(self, call: bytes) -> Answer:
        """Do a task. Returns how it ended; only a `BaseException` that is no `Exception` is raised."""
        try:
            self.name, reports, function, arguments = pickle.loads(call)
            value = function(*arguments, report=self.report) if reports else function(*arguments)
            pickle.dumps(value)
        except Exception as error:  # whatever ends one task must not end the others
            return Answer(error=reason(error))
        return Answer(value)

    def report(self, name: str, facts: dict[str, Any]) -> None:
        """Tell the pool facts about a fit; where it is gone, nobody wants to know."""
        with suppress(OSError):
            self.say(("facts", name, facts))

    def say(self, message: Any) -> None:
        with self.speaking:
            self.pipe.send(message)


class _Relay(logging.Handler):
    """Sends warnings to the pool, with the name of the task that they are about."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__(logging.WARNING)
        self.worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        with suppress(OSError):
            self.worker.say(("log", record.name, record.levelno, f"{self.worker.name}: {record.getMessage()}"))
