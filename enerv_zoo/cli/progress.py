"""Progress of a fit, live on a terminal and as occasional lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from enerv_zoo.cli import console

if TYPE_CHECKING:
    from enerv_zoo.fitting.status import OnStatus, Status

LINE_INTERVAL = 10.0
"""Seconds between two lines where the output is no terminal."""


@contextmanager
def shown(name: str) -> Iterator[OnStatus]:
    """Show the statuses of one fit while the block runs."""
    from enerv_zoo.fitting import FitInterrupted
    from enerv_zoo.fitting.progress import terminal_bar

    try:
        with terminal_bar(name, console.err) if console.err.is_terminal else nullcontext(_Lines(name)) as show:
            yield show
    except FitInterrupted as stop:
        console.fail(f"{name}: {stop}", 128 + stop.signal)


class _Lines:
    def __init__(self, name: str) -> None:
        self.name = name
        self.last = time.monotonic()

    def __call__(self, status: Status) -> None:
        from enerv_zoo.fitting.progress import status_line

        if time.monotonic() - self.last >= LINE_INTERVAL:
            self.last = time.monotonic()
            console.err.print(f"{self.name}: {status_line(status)}")
