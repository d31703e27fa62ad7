"""Output of the commands: results to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from enerv_zoo.shell import command, printable
from enerv_zoo.tables import ResultTable


class PlainConsole(Console):
    """A console on which a string is what it says, wherever it stands: one line, without markup or codes.

    Only a `Text` has styles. Where its reader is gone, it is quiet, and the work goes on.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text."""
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False, "highlight": False})

    def on_broken_pipe(self) -> None:
        """Print nothing from here on."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


out = PlainConsole(markup=False, highlight=False, emoji=False, soft_wrap=True)
err = PlainConsole(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def print_any_text() -> None:
    """Let this process's streams print every text: what their encoding lacks becomes an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_nothing() -> None:
    """Be quiet from here on, as one of several processes of which rank 0 prints."""
    out.quiet = err.quiet = True


COMMAND = re.compile(r" (\(see )?enerv-zoo ")
"""Where a command begins in a message, to be pasted."""


def fail(message: str, code: int = 1) -> NoReturn:
    """Print one line and end."""
    _print_prose(("error: ", "bold red"), message)
    sys.exit(code)


def note(message: str) -> None:
    """Print one line about what goes on."""
    _print_prose(("note: ", "yellow"), message)


def _print_prose(label: tuple[str, str], message: str) -> None:
    """Print one line; a terminal that is narrower gets lines of whole words, and a command in one to be pasted."""
    text = Text.assemble(label, printable(message))
    to_paste = COMMAND.search(text.plain)
    if not err.is_terminal or to_paste is None or text.cell_len <= err.width:
        err.print(text, soft_wrap=not err.is_terminal)
    else:
        err.print(text[: to_paste.start()], soft_wrap=False)
        err.print(text[to_paste.start() + 1 :])


def print_json(data: Any) -> None:
    """Print plain data as JSON on stdout; numbers that JSON lacks (infinity, NaN) are null."""
    from enerv_zoo.files import finite

    out.print(Text(json.dumps(finite(data), indent=2, allow_nan=False)))  # ASCII alone, and no codes


def print_command(name: str, *operands: str | Path, options: Sequence[str] = ()) -> None:
    """Print a command that can be pasted; see `enerv_zoo.shell.command`."""
    out.print("  " + command(name, *operands, options=options, encoding=out.encoding))


def files(folder: Path, *names: str, page: Path | None) -> str:
    """Name the files of a folder that are there, and a page to be opened."""
    present = [name for name in names if (folder / name).is_file()]
    return ", ".join([*([f"{page.name} (open it in a browser)"] if page else []), *present])


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """Format a number for people; n/a where there is none."""
    if value is None:
        return "n/a"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"
    return f"{text} {unit}".rstrip()


def count(number: int, thing: str) -> str:
    """Format a count of things: 1 frame, 132 frames."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def megabytes(size: int | None) -> str:
    """Format bytes for people; n/a where nobody knows."""
    if size is None:
        return "n/a"
    if size < 1e5:
        return f"{size} bytes" if size < 1e3 else f"{size / 1e3:.3g} kB"
    return f"{size / 1e6:,.0f} MB" if size >= 1e8 else f"{size / 1e6:.3g} MB"


def larger(size: int, raw: int, original: int | None = None) -> str:
    """Return a remark where a size is larger than the frames as they are, or than the original; else nothing."""
    if size > raw:
        return "; larger than the frames as they are"
    return "; larger than the original" if original is not None and size > original else ""


def size_rows(raw: int, original: int | None, sound: int = 0) -> list[tuple[str, str]]:
    """Return the rows beside a network's size.

    Args:
        raw: bytes of the frames as 8-bit RGB.
        original: of the original, all of it; `None` where nobody knows.
        sound: of the sound that is kept beside the network; 0 where there is none.
    """
    rows = [("sound beside it", sound or None), ("frames as they are", raw), ("original", original)]
    return [(name, megabytes(size)) for name, size in rows if size is not None]


def sizes_beside(raw: int, original: int | None) -> str:
    """Return a line for beneath a table of sizes: those of the frames, and of the original, all of it."""
    return "; ".join(f"{name}: {size}" for name, size in size_rows(raw, original))


def metrics_rows(
    metrics: dict[str, Any], raw: int, original: int | None = None, sound: int = 0
) -> list[tuple[str, str]]:
    """Return the rows that every table of metrics shows, in one order.

    Args:
        metrics: the metrics.
        raw: bytes of the frames as 8-bit RGB.
        original: bytes of the original, all of it; `None` where nobody knows.
        sound: bytes of the sound beside the network; 0 where there is none.
    """
    from enerv_zoo.metrics.columns import MISSING, columns

    scores = []
    for column in columns([metrics]):
        reason = metrics.get(column.name + MISSING)
        scores.append((column.label, column.text(metrics[column.name]) + (f" ({reason})" if reason else "")))
    return [
        *scores,
        ("stored parameters", number(metrics["stored_numbers"])),
        ("size", number(metrics["stored_bytes"] / 1e6, 2, "MB") + f", {metrics['bpp']:.3f} bits per pixel"
         + larger(metrics["stored_bytes"], raw, original)),
        *size_rows(raw, original, sound),
        ("decoding", number(metrics["fps"], 1, "frames/s") + f" on {metrics['device']}"),
    ]  # fmt: skip


def table(rows: list[tuple[str, str]], title: str | None = None) -> Table:
    """Return a table of two columns, names and values."""
    grid = Table(
        title=title, show_header=False, box=None, title_justify="left", title_style="bold", padding=(0, 2, 0, 0)
    )
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


WORD_WIDTH = 32
"""Cells of a terminal; a word that takes more is folded where a table is too wide."""


class Listing(Table):
    """A heading for each column, and rows that begin with a name; nothing is left out where the terminal is narrow."""

    def __init__(self, *headings: str) -> None:
        super().__init__(box=None)
        self._folds_names = False
        for heading in headings:
            self.add_column(heading, overflow="fold", min_width=_longest_word(heading))

    @classmethod
    def of(cls, table: ResultTable) -> Listing:
        """Return a table of results as a listing."""
        listing = cls(*table.headings)
        for cells in table.cells:
            listing.add_row(*cells)
        return listing

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row."""
        for column, cell in zip(self.columns, cells, strict=False):
            if isinstance(cell, str):
                column.min_width = max(column.min_width or 0, min(_longest_word(cell), WORD_WIDTH))
        if isinstance(cells[0], str):
            self._folds_names = self._folds_names or cell_len(printable(cells[0])) > WORD_WIDTH
            self.columns[0].no_wrap = not self._folds_names  # the other columns are narrowed first
        super().add_row(*cells, **options)


def _longest_word(text: str) -> int:
    return max(map(cell_len, printable(text).split()), default=0)


class LineHandler(logging.Handler):
    """Log records as single lines on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "once", False):  # such as what every segment of a video would say again
            if record.getMessage() in self._said:
                return
            self._said.add(record.getMessage())
        note(record.getMessage())
