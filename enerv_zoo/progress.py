"""Progress of long work: stages and statuses, which the library reports, and displays, which show them.

    with progress.reported_to(print):                       # a display, or whatever takes a `Stage`
        advance = progress.stage("reading", total=132)
        advance(1)

Where nobody asks (`reported_to`), a report goes nowhere.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from enerv_zoo.shell import clock, printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console

REPORT_INTERVAL = 0.1
"""Seconds between two reports of one stage."""


@dataclass(frozen=True)
class Stage:
    """Part of long work that is going on.

    Attributes:
        name: such as `"reading"`.
        done: units of it that are over, such as frames.
        total: of how many; `None` where that is not known.
    """

    name: str
    done: int = 0
    total: int | None = None

    @property
    def progress(self) -> float | None:
        """Fraction of the stage that is done, where that is known."""
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def line(self) -> str:
        """The stage in one line."""
        return f"{self.name}  {self.done} of {self.total}" if self.total else self.name


@dataclass(frozen=True)
class Status:
    """Progress of a fit. Loss and PSNR are means over the epoch so far, of frames as they were decoded while fitting.

    Attributes:
        epoch: 1-based, over all phases; epochs: of how many, `None` under a time budget.
        step: steps done in this epoch; steps: of how many.
        loss: of the objective.
        psnr: dB.
        lr: learning rate of the last step.
        progress: fraction of the fit that is done.
        frames_per_second: fitted since the start of this phase.
        seconds_left: until the last step.
    """

    epoch: int
    epochs: int | None
    step: int
    steps: int
    loss: float
    psnr: float
    lr: float
    progress: float
    frames_per_second: float
    seconds_left: float

    @property
    def details(self) -> str:
        """Epoch, loss, PSNR and speed."""
        of = f"/{self.epochs}" if self.epochs else ""
        return (
            f"epoch {self.epoch}{of}  loss {self.loss:.4f}  PSNR {self.psnr:.2f} dB  "
            f"{self.frames_per_second:.1f} frames/s"
        )

    @property
    def line(self) -> str:
        """The status in one line."""
        return f"{self.details}  {clock(self.seconds_left)} left"


OnStatus = Callable[[Status], None]
OnReport = Callable[[Stage | Status], None]

_listener: ContextVar[OnReport | None] = ContextVar("listener", default=None)


@contextmanager
def reported_to(listener: OnReport | None) -> Iterator[None]:
    """Call a listener with every stage that is reported while the block runs, in this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def stage(name: str, total: int | None = None) -> Callable[[int], None]:
    """Report that a stage begins.

    Args:
        name: such as `"reading"`.
        total: units that it has, such as frames.

    Returns:
        What is called with how many more of them are done.
    """
    listener = _listener.get()
    if listener is None:
        return lambda count: None
    done, last = 0, time.monotonic()
    listener(Stage(name, 0, total))

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        if done == total or time.monotonic() - last >= REPORT_INTERVAL:
            last = time.monotonic()
            listener(Stage(name, done, total))

    return advance


# ---------------------------------------------------------------------- displays


class Display(Protocol):
    """Shows the reports of one piece of work after the other; `name` is the current one's."""

    name: str

    def begin(self, name: str) -> None:
        """Show that work of this name begins."""

    def __call__(self, report: Stage | Status) -> None:
        """Show a report of it."""


@contextmanager
def terminal_display(console: Console) -> Iterator[Display]:
    """A bar on a console, below it the details of a fit; it is gone in the end."""
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Bar(Progress):
        details = ""

        def get_renderables(self) -> Iterator[Any]:
            yield from super().get_renderables()
            if self.details:
                yield Text("  " + self.details, style="dim", no_wrap=True, overflow="ellipsis")

    name_column = Column(no_wrap=True, overflow="ellipsis", max_width=max(console.width - 52, 8))
    bar = Bar(
        TextColumn("{task.fields[name]}", style="bold", markup=False, table_column=name_column),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16 if console.width < 100 else 40),
        TextColumn("{task.fields[state]}", markup=False),
        console=console,
        transient=True,
    )  # fmt: skip
    task = bar.add_task("starting", total=None, name="", state="")

    class TerminalDisplay:
        name = ""

        def begin(self, name: str) -> None:
            self.name, bar.details = name, ""
            bar.update(task, total=None, completed=0, description="starting", name=printable(name), state="")
            bar.start()  # here, as another display may be on the console before

        def __call__(self, report: Stage | Status) -> None:
            if isinstance(report, Status):
                bar.details, description = report.details, "fitting"
                state = f"{report.progress:.0%}  {clock(report.seconds_left)} left"
            else:
                bar.details, description = "", report.name
                state = f"{report.done} of {report.total}" if report.total else ""
            done = report.progress
            total = None if done is None else 1.0
            bar.update(task, total=total, completed=done or 0, description=printable(description), state=state)

    try:
        yield TerminalDisplay()
    finally:
        bar.stop()


@contextmanager
def shown_progress(name: str, progress: bool | None) -> Iterator[OnReport | None]:
    """Show the progress of what a program or a notebook runs: a bar on a terminal, or in a cell.

    Args:
        name: of what is done.
        progress: whether to show it; `None` for where someone sees it: in a notebook, or where the standard error
            output is a terminal.
    """
    context: AbstractContextManager[Display | None] = nullcontext()
    if progress is not False and _in_notebook():
        context = nullcontext(_CellDisplay())
    elif progress or (progress is None and sys.stderr is not None and sys.stderr.isatty()):
        from rich.console import Console

        context = terminal_display(Console(stderr=True))
    with context as display:
        if display is None:
            yield None
            return
        display.begin(name)
        with reported_to(display):
            yield display


class _CellDisplay:
    """Shows reports below a notebook's cell; the last one stays."""

    name = ""

    def begin(self, name: str) -> None:
        from IPython.display import HTML, display

        self.name, self._html = name, HTML
        self._handle: Any = display(HTML(f"{escape(name)}: starting"), display_id=True)

    def __call__(self, report: Stage | Status) -> None:
        done = report.progress
        bar = "" if done is None else f'<progress value="{done:.4f}"></progress> '
        self._handle.update(self._html(f"{escape(self.name)} {bar}{escape(report.line)}"))


def _in_notebook() -> bool:
    """Return whether a notebook's kernel runs this, without loading IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
