"""Progress of a fit that a program or a notebook runs: a bar on a terminal, or in a cell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from html import escape
from typing import TYPE_CHECKING, Any

from enerv_zoo.fitting.status import OnStatus, Status
from enerv_zoo.shell import duration, printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console


def status_line(status: Status) -> str:
    """Return a status in one line."""
    of = f"/{status.epochs}" if status.epochs else ""
    return (
        f"epoch {status.epoch}{of}  loss {status.loss:.4f}  PSNR {status.psnr:.2f} dB  "
        f"{status.frames_per_second:.1f} frames/s  {duration(status.seconds_left)} left"
    )


def shown_progress(name: str, progress: bool | None) -> AbstractContextManager[OnStatus | None]:
    """Return a context that gives what shows the statuses of a fit.

    Args:
        name: of what is fitted.
        progress: whether to show it; `None` for where someone sees it: in a notebook, or where the standard error
            output is a terminal.
    """
    if progress is False:
        return nullcontext()
    if _in_notebook():
        return _cell_bar(name)
    if progress or (sys.stderr is not None and sys.stderr.isatty()):
        from rich.console import Console

        return terminal_bar(name, Console(stderr=True))
    return nullcontext()


@contextmanager
def terminal_bar(name: str, console: Console) -> Iterator[OnStatus]:
    """Show the statuses of a fit as a bar on a console, which is gone in the end."""
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.fields[name]}", style="bold", markup=False),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None, name=printable(name))

        def show(status: Status) -> None:
            bar.update(task, total=1.0, completed=status.progress, description=status_line(status))

        yield show


@contextmanager
def _cell_bar(name: str) -> Iterator[OnStatus]:
    """Show the statuses of a fit below a notebook's cell; the last one stays."""
    from IPython.display import HTML, display

    handle: Any = display(HTML(f"{escape(name)}: starting"), display_id=True)

    def show(status: Status) -> None:
        bar = f'<progress value="{status.progress:.4f}"></progress>'
        handle.update(HTML(f"{escape(name)} {bar} {escape(status_line(status))}"))

    yield show


def _in_notebook() -> bool:
    """Return whether a notebook's kernel runs this, without loading IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
