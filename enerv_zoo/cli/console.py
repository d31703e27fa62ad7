"""Where the commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_nothing() -> None:
    """From here on: this process is one of several, and the first of them prints."""
    out.quiet = err.quiet = True


def fail(message: str, code: int = 1) -> NoReturn:
    """Print one line and end."""
    err.print(Text.assemble(("error: ", "bold red"), plain(" ".join(message.split()))))
    sys.exit(code)


def print_json(data: Any) -> None:
    """Print plain data as JSON on stdout."""
    if out.quiet:
        return
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """A number for people; n/a where there is none."""
    if value is None:
        return "n/a"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"
    return f"{text} {unit}".rstrip()


def count(number: int, thing: str) -> str:
    """So many of a thing: 1 frame, 132 frames."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def seconds(value: float) -> str:
    """A duration as 1:02:03 or 4:05."""
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def metrics_rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows that every table of metrics shows, in one order."""
    missing = f" ({metrics['ms_ssim_missing']})" if metrics.get("ms_ssim_missing") else ""
    return [
        ("PSNR", number(metrics["psnr"], 2, "dB")),
        ("MS-SSIM", number(metrics["ms_ssim"], 4) + missing),
        ("stored parameters", number(metrics["stored_numbers"])),
        ("size", number(metrics["stored_bytes"] / 1e6, 2, "MB") + f", {metrics['bpp']:.3f} bits per pixel"),
        ("decoding", number(metrics["fps"], 1, "frames/s") + f" on {metrics['device']}"),
    ]


def plain(text: str) -> Text:
    """Text as it stands: a stranger's may hold markup or codes that a terminal obeys."""
    return Text("".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text))


def table(rows: list[tuple[str, str]], title: str | None = None) -> Table:
    """Two columns: what, and how much."""
    grid = Table(
        title=title, show_header=False, box=None, title_justify="left", title_style="bold", padding=(0, 2, 0, 0)
    )
    grid.add_column(style="dim")
    grid.add_column()
    for row in rows:
        grid.add_row(*map(plain, row))
    return grid


class LineHandler(logging.Handler):
    """Log records as single lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(Text.assemble(("note: ", "yellow"), plain(record.getMessage())))
