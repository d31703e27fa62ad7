"""What a fleet did, on one page: how good at what rate, what failed and why, every fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enerv_zoo import __version__
from enerv_zoo.config import size_text
from enerv_zoo.files import write_text
from enerv_zoo.report.page import asset, template

MOST_ROWS = 2000
COLOURS = 6
HEADINGS = (
    "fit",
    "PSNR",
    "MS-SSIM",
    "parameters",
    "bits per pixel",
    "frames",
    "size",
    "fit time",
    "attempts",
    "machine",
)
LEFT, RIGHT, TOP, BOTTOM = 50.0, 450.0, 10.0, 220.0


def write_fleet_report(rows: Sequence[Mapping[str, Any]], out: str | Path) -> Path:
    """Write the page.

    Args:
        rows: of a fleet's summary (`enerv_zoo.batch.run.COLUMNS`).
        out: the file, which needs nothing else and asks no network.

    Returns:
        Its path.
    """
    failed = [row for row in rows if row["state"] == "failed"]
    fits = [row for row in rows if row["attempts"]]
    seconds = sum(row["seconds"] or 0.0 for row in fits)
    text = template("fleet.html.jinja").render(
        css=asset("page.css"),
        version=__version__,
        title=f"{len(rows) - len(failed):,} of {len(rows):,} done",
        summary=f"{seconds / 3600:,.2f} hours of fitting, {sum(row['attempts'] for row in fits):,} attempts.",
        failed=failed[:MOST_ROWS],
        headings=HEADINGS,
        cells=[_cells(row) for row in rows[:MOST_ROWS]],
        hidden=max(len(rows) - MOST_ROWS, 0),
        **_chart([row for row in fits if row["psnr"] is not None and row["bpp"]][:MOST_ROWS]),
    )
    write_text(out, text)
    return Path(out)


def _cells(row: Mapping[str, Any]) -> list[str]:
    def number(key: str, form: str, unit: str = "") -> str:
        return "" if row[key] is None else format(row[key], form) + unit

    size = "" if row["height"] is None else size_text(row["height"], row["width"])
    return [
        row["name"],
        number("psnr", ".2f", " dB") if row["state"] == "done" else "failed",
        number("ms_ssim", ".4f"),
        number("stored_numbers", ","),
        number("bpp", ".4f"),
        number("frames", ","),
        size,
        number("fit_seconds", ",.0f", " s"),
        number("attempts", "d") if row["attempts"] else "",
        row["host"] or "",
    ]


def _chart(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where the points and the lines of the chart are, in its own units."""
    models = sorted({row["model"] for row in rows})
    if not rows:
        return {"points": [], "models": [], "rates": [], "qualities": []}
    low, high = (math.log2(pick(row["bpp"] for row in rows)) for pick in (min, max))
    low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    worst, best = math.floor(min(row["psnr"] for row in rows)), math.ceil(max(row["psnr"] for row in rows))
    best = max(best, worst + 1)

    def x(rate: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (rate - low) / (high - low), 1)

    def y(quality: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (quality - worst) / (best - worst), 1)

    return {
        "points": [
            {
                "x": x(math.log2(row["bpp"])),
                "y": y(row["psnr"]),
                "colour": models.index(row["model"]) % COLOURS,
                "name": row["name"],
                "text": f"{row['psnr']:.2f} dB at {row['bpp']:.4f}",
            }
            for row in rows
        ],
        "models": [{"name": model, "colour": i % COLOURS} for i, model in enumerate(models)],
        "rates": [{"at": x(rate), "text": f"{2.0**rate:.3g}"} for rate in range(low, high + 1)],
        "qualities": [{"at": y(quality), "text": quality} for quality in _steps(worst, best)],
    }


def _steps(first: int, last: int) -> range:
    return range(first, last + 1, max(math.ceil((last - first) / 8), 1))
