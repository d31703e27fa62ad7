"""Published results as tables, alone (`models --published`) and beside fits (`compare --published`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from enerv_zoo.cli import console
from enerv_zoo.metrics.columns import column
from enerv_zoo.published_results import PublishedResult, published

if TYPE_CHECKING:
    from enerv_zoo.config import VideoInfo


def print_published(pattern: str, json: bool) -> None:
    """Print the results whose method, family or clip matches a wildcard."""
    results = published(pattern) or published(clip=pattern)
    if json:
        console.print_json([asdict(result) for result in results])
    elif results:
        console.out.print(listing(results), soft_wrap=False)
    else:
        console.fail(f"no published result is by or of {pattern!r}; try enerv-zoo models --published")


def of_comparison(results: Mapping[str, Mapping[str, Any]], info: VideoInfo) -> list[PublishedResult]:
    """Return published results of the families and the clip of a comparison."""
    return [
        row for family in sorted({row["model"] for row in results.values()}) for row in published(family, info.name)
    ]


def print_beside(results: Mapping[str, Mapping[str, Any]], info: VideoInfo) -> None:
    """Print a table of fits and of published results of their families, the best PSNR first."""
    theirs = of_comparison(results, info)
    if not theirs:
        console.out.print(
            f"nothing is published here of these families on {info.name}; see enerv-zoo models --published"
        )
        return
    ours = [
        PublishedResult(
            method=name, clip=info.name, videos=1, frames=info.frames, width=info.width, height=info.height,
            parameters=row["stored_numbers"], epochs=row["epochs"], psnr=row.get("psnr"), ms_ssim=row.get("ms_ssim"),
            bpp=row["bpp"], source="this comparison",
        )
        for name, row in results.items()
    ]  # fmt: skip
    console.out.print(listing(sorted([*ours, *theirs], key=lambda result: column("psnr").rank(result.psnr))))
    if {info.size_text} != {result.size_text for result in theirs}:
        console.out.print("frames of other sizes do not compare: smaller ones are easier")


def listing(results: list[PublishedResult]) -> Group:
    """Return a row per result, and below them their sources, which rows name by number."""
    scores = [column("psnr"), column("ms_ssim")]
    headings = [each.heading for each in scores]
    table = console.Listing("#", "method", "clip", "frames", "size", "epochs", *headings, "bits per pixel")
    sources: dict[str, int] = {}
    for result in results:
        notes = [f"mean of {result.videos} clips"] * (result.videos > 1) + ([result.note] if result.note else [])
        source = result.source + (f" ({'; '.join(notes)})" if notes else "")
        table.add_row(
            str(sources.setdefault(source, len(sources) + 1)),
            result.method,
            result.clip,
            result.size_text or "n/a",
            "n/a" if result.parameters is None else f"{result.parameters / 1e6:.3g}M",
            console.number(result.epochs),
            *(each.number(getattr(result, each.name)) for each in scores),
            console.number(result.bpp, 3),
        )
    return Group(table, "", *(Text(f"{number}: {source}") for source, number in sources.items()))
