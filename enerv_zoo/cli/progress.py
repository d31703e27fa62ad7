"""A fit's progress, live on a terminal and as occasional lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn

from enerv_zoo.cli import console
from enerv_zoo.fitting.loop import OnStatus, Status

LINE_INTERVAL = 10.0
"""Seconds between two lines where the output is no terminal."""


def _line(status: Status) -> str:
    return (
        f"epoch {status.epoch}/{status.epochs}  loss {status.loss:.4f}  PSNR {status.psnr:.2f} dB  "
        f"{status.frames_per_second:.1f} frames/s  {console.seconds(status.seconds_left)} left"
    )


@contextmanager
def shown(name: str) -> Iterator[OnStatus]:
    """Show the statuses of one fit while the block runs."""
    if not console.err.is_terminal:
        yield _Lines(name)
        return
    columns = (TextColumn("[bold]{task.fields[name]}"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console.err, transient=True) as progress:
        task = progress.add_task("starting", total=None, name=name)

        def show(status: Status) -> None:
            done = status.epoch - 1 + status.step / status.steps
            progress.update(task, total=status.epochs, completed=done, description=_line(status))

        yield show


class _Lines:
    def __init__(self, name: str) -> None:
        self.name = name
        self.last = time.monotonic()

    def __call__(self, status: Status) -> None:
        if time.monotonic() - self.last >= LINE_INTERVAL:
            self.last = time.monotonic()
            console.err.print(f"{self.name}: {_line(status)}")
