"""Signals that stop a fit after a whole step, for programs that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_graceful: ContextVar[bool] = ContextVar("graceful_stop", default=False)


@contextmanager
def graceful_stop() -> Iterator[None]:
    """A context in which SIGINT and SIGTERM stop a fit after its current step, with a checkpoint; the command line's.

        with ez.graceful_stop():
            ez.fit("bunny", out="runs/bunny")

    The fit then raises `enerv_zoo.FitInterrupted`, and a second signal stops it at once. Handlers are installed while a
    fit runs in the main thread, and those of before come back as it ends. Outside this context a fit leaves signals
    alone: Ctrl-C is Python's KeyboardInterrupt, and SIGTERM does what it does without this package.
    """
    token = _is_graceful.set(True)
    try:
        yield
    finally:
        _is_graceful.reset(token)


def stops_gracefully() -> bool:
    """Return whether this code runs within `graceful_stop`."""
    return _is_graceful.get()
