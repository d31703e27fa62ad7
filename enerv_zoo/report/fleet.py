"""A fleet on one page: quality over rate, failures with their reasons, every fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enerv_zoo import __version__
from enerv_zoo.config import size_text
from enerv_zoo.files import write_text
from enerv_zoo.metrics.columns import Column, columns
from enerv_zoo.pages import asset, template
from enerv_zoo.report.page import HERE

MOST_ROWS = 2000
COLOURS = 6
COSTS = ("parameters", "bits per pixel", "frames", "size", "fit time", "attempts", "machine")
LEFT, RIGHT, TOP, BOTTOM = 50.0, 450.0, 10.0, 220.0


def write_fleet_report(rows: Sequence[Mapping[str, Any]], out: str | Path) -> Path:
    """Write the page.

    Args:
        rows: of a fleet's summary (`enerv_zoo.batch.run.columns_of`).
        out: the file, which needs nothing else and asks no network.

    Returns:
        Its path.
    """
    failed = [row for row in rows if row["state"] == "failed"]
    fits = [row for row in rows if row["attempts"]]
    quality = columns(rows)
    lead = quality[0]
    plotted = [row for row in fits if row[lead.name] is not None and row["bpp"]][:MOST_ROWS]
    seconds = sum(row["seconds"] or 0.0 for row in fits)
    text = template(HERE / "fleet.html.jinja").render(
        css=asset(HERE / "page.css"),
        version=__version__,
        title=f"{len(rows) - len(failed):,} of {len(rows):,} done",
        summary=f"{seconds / 3600:,.2f} hours of fitting, {sum(row['attempts'] for row in fits):,} attempts.",
        failed=failed[:MOST_ROWS],
        headings=["fit", *(column.label for column in quality), *COSTS],
        lead=lead,
        cells=[_cells(row, quality) for row in rows[:MOST_ROWS]],
        hidden=max(len(rows) - MOST_ROWS, 0),
        **_chart(plotted, lead),
    )
    write_text(out, text)
    return Path(out)


def _cells(row: Mapping[str, Any], quality: Sequence[Column]) -> list[str]:
    def number(key: str, form: str, unit: str = "") -> str:
        return "" if row[key] is None else format(row[key], form) + unit

    scores = ["" if row[column.name] is None else column.text(row[column.name]) for column in quality]
    if row["state"] != "done":
        scores[0] = "failed"
    size = "" if row["height"] is None else size_text(row["height"], row["width"])
    return [
        row["name"],
        *scores,
        number("stored_numbers", ","),
        number("bpp", ".4f"),
        number("frames", ","),
        size,
        number("fit_seconds", ",.0f", " s"),
        number("attempts", "d") if row["attempts"] else "",
        row["host"] or "",
    ]


def _chart(rows: Sequence[Mapping[str, Any]], lead: Column) -> dict[str, Any]:
    """Return the places of points and lines of the chart, in its own units; scores of `lead` rise."""
    models = sorted({row["model"] for row in rows})
    if not rows:
        return {"points": [], "models": [], "rates": [], "qualities": []}
    low, high = (math.log2(pick(row["bpp"] for row in rows)) for pick in (min, max))
    low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    least, most = (pick(row[lead.name] for row in rows) for pick in (min, max))
    step = _step(most - least)
    bottom = math.floor(least / step) * step
    top = max(math.ceil(most / step) * step, bottom + step)

    def x(rate: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (rate - low) / (high - low), 1)

    def y(quality: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (quality - bottom) / (top - bottom), 1)

    return {
        "points": [
            {
                "x": x(math.log2(row["bpp"])),
                "y": y(row[lead.name]),
                "colour": models.index(row["model"]) % COLOURS,
                "name": row["name"],
                "text": f"{lead.text(row[lead.name])} at {row['bpp']:.4f}",
            }
            for row in rows
        ],
        "models": [{"name": model, "colour": i % COLOURS} for i, model in enumerate(models)],
        "rates": [{"at": x(rate), "text": f"{2.0**rate:.3g}"} for rate in range(low, high + 1)],
        "qualities": [
            {"at": y(bottom + n * step), "text": f"{bottom + n * step:.6g}"}
            for n in range(round((top - bottom) / step) + 1)
        ],
    }


def _step(span: float) -> float:
    """A round number, of which a span takes eight at most."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / 8))
    return next(power * factor for factor in (1, 2, 5, 10) if span <= 8 * power * factor)
