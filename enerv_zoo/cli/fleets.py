"""Options for fits by workers, and their progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar

from enerv_zoo.cli import console
from enerv_zoo.cli.progress import LINE_INTERVAL, shown
from enerv_zoo.shell import clock

if TYPE_CHECKING:
    from enerv_zoo.batch import BatchStatus
    from enerv_zoo.progress import Display

LEAST_HOURS = 0.001
"""Of what took less, no number is shown."""

SHOWN = 12
"""Running fits that are listed; of more, the first."""

Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Fit with N processes on this machine: each has a GPU, or its share of the cores.",
        show_default="fit here, one after the other",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="local|auto|ray://HOST:PORT",
        help="Fit on a Ray cluster: one on this machine, the one it is part of, or another one. --out is then a folder "
        "that all of its machines see.",
        show_default=False,
    ),
]


@contextmanager
def runner_at(
    address: str | None, workers: int | None = None, *, attempts: int = 5, **settings: Any
) -> Iterator[dict[str, Any]]:
    """`runner=`, for what takes one, where `--address` or `--workers` is given; else nothing.

    What it does is shown while the block runs: live on a terminal, else in a line now and then.
    """
    if address is not None and workers is not None:
        raise typer.BadParameter("a cluster has its own workers; give --workers or --address", param_hint="'--workers'")
    if address is None and workers is None:
        yield {}
        return
    due = 0.0
    with Live(console=console.err, transient=True, auto_refresh=False) as live:

        def show(status: BatchStatus) -> None:
            nonlocal due
            if console.err.is_terminal:
                live.update(Group(*_live(status)), refresh=True)
            elif (now := time.monotonic()) >= due:  # the status counts from the beginning of one of several batches
                due = now + LINE_INTERVAL
                console.err.print(_line(status))

        if workers is not None:
            from enerv_zoo.batch import WorkerPool

            with WorkerPool(workers, attempts=attempts, on_update=show) as pool:
                yield {"runner": pool}
            return
        from enerv_zoo.cluster import Fleet

        at = None if address == "local" else address
        with Fleet(at, attempts=attempts, on_update=show, **settings) as fleet:
            yield {"runner": fleet}


@contextmanager
def bars() -> Iterator[Callable[..., Display]]:
    """Show a bar for each of several fits, in turn: the `on_fit` of a runner that fits here."""
    with shown() as display:

        def on_fit(name: str) -> Display:
            display.begin(name)
            return display

        yield on_fit


def check_above_0(**options: float) -> None:
    """Refuse options, named as on the command line, that are not above 0.

    Raises:
        BadParameter: one is not.
    """
    for option, value in options.items():
        if value <= 0:
            raise typer.BadParameter(f"expected a number above 0, got {value:g}", param_hint=f"'{option}'")


def _line(status: BatchStatus) -> str:
    left = "" if status.seconds_left is None else f", {clock(status.seconds_left)} left"
    counts = f"{status.done} of {status.jobs} done, {len(status.running)} running, {status.failed} failed"
    return f"{counts}, {hours(status)}{left}"


def hours(status: BatchStatus) -> str:
    """Return the core-hours and GPU-hours that a batch took so far."""
    gpu = f", {_hours(status.gpu_seconds)} GPU-hours" if status.gpu_seconds else ""
    return f"{_hours(status.processor_seconds)} core-hours{gpu}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.3g}" if seconds >= LEAST_HOURS * 3600 else f"less than {LEAST_HOURS}"


def _live(status: BatchStatus) -> Iterator[Any]:
    yield _line(status)
    if not status.running:
        return
    table = console.Listing("fit", "machine", "", "", "PSNR (dB)")
    for row in sorted(status.running, key=lambda row: -row.progress)[:SHOWN]:
        again = f" (attempt {row.attempt})" if row.attempt > 1 else ""
        table.add_row(
            row.name + again,
            row.host,
            ProgressBar(total=1.0, completed=row.progress, width=24),
            f"{row.progress:.0%}",
            console.number(row.psnr),
        )
    yield table
