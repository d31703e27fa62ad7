"""Progress of commands: live on a terminal, and as occasional lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from enerv_zoo.cli import console
from enerv_zoo.progress import reported_to, terminal_display

if TYPE_CHECKING:
    from enerv_zoo.progress import Display, Stage, Status

LINE_INTERVAL = 10.0
"""Seconds between two lines where the output is no terminal."""
FIRST_LINE = 2.0
"""Seconds before the first one, so that short work has none."""


@contextmanager
def shown(name: str | None = None) -> Iterator[Display]:
    """Show what is reported while the block runs.

    Args:
        name: of what is done; `None` where the block calls `begin`.
    """
    display: Display = _Lines()
    try:
        with terminal_display(console.err) if console.err.is_terminal else nullcontext(display) as display:
            if name is not None:
                display.begin(name)
            with reported_to(display):
                yield display
    except KeyboardInterrupt as stop:
        if (number := getattr(stop, "signal", None)) is None:
            raise
        console.fail(f"{display.name}: {stop}", 128 + number)  # a `FitInterrupted`, which says how to go on


class _Lines:
    """A line now and then, once work has begun."""

    name = ""
    _next = math.inf

    def begin(self, name: str) -> None:
        self.name, self._next = name, time.monotonic() + FIRST_LINE

    def __call__(self, report: Stage | Status) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_INTERVAL
            console.err.print(f"{self.name}: {report.line}")
