"""A fit's progress, live on a terminal and as occasional lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn

from enerv_zoo.cli import console
from enerv_zoo.shell import printable

if TYPE_CHECKING:
    from enerv_zoo.fitting.loop import OnStatus, Status

LINE_INTERVAL = 10.0
"""Seconds between two lines where the output is no terminal."""


def _line(status: Status) -> str:
    of = f"/{status.epochs}" if status.epochs else ""
    return (
        f"epoch {status.epoch}{of}  loss {status.loss:.4f}  PSNR {status.psnr:.2f} dB  "
        f"{status.frames_per_second:.1f} frames/s  {console.seconds(status.seconds_left)} left"
    )


@contextmanager
def shown(name: str) -> Iterator[OnStatus]:
    """Show the statuses of one fit while the block runs."""
    from enerv_zoo.fitting import FitInterrupted

    try:
        with _bar(name) if console.err.is_terminal else nullcontext(_Lines(name)) as show:
            yield show
    except FitInterrupted as stop:
        console.fail(f"{name}: {stop}", 128 + stop.signal)


@contextmanager
def _bar(name: str) -> Iterator[OnStatus]:
    columns = (
        TextColumn("{task.fields[name]}", style="bold", markup=False),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console.err, transient=True) as progress:
        task = progress.add_task("starting", total=None, name=printable(name))

        def show(status: Status) -> None:
            progress.update(task, total=1.0, completed=status.progress, description=_line(status))

        yield show


class _Lines:
    def __init__(self, name: str) -> None:
        self.name = name
        self.last = time.monotonic()

    def __call__(self, status: Status) -> None:
        if time.monotonic() - self.last >= LINE_INTERVAL:
            self.last = time.monotonic()
            console.err.print(f"{self.name}: {_line(status)}")
