"""Write the tables of `docs/performance.md` from the files in `results/`.

A table stands between `<!-- table: BENCHMARK -->` and `<!-- end -->`, with a row for every result of that benchmark.

    python benchmarks/report.py            # rewrite the page
    python benchmarks/report.py --check    # exit 1 if the page is not what the files say
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
COLUMNS = (
    "network", "frame", "batch", "ours in", "machine", "plain, frames/s", "ours, frames/s", "speed-up",
    "peak MiB, plain / ours",
)  # fmt: skip
JUMPS = (
    "frame", "machine", "drawn by", "first frame, ms", "middle, ms", "last, ms", "slowest / fastest", "in order, ms",
)  # fmt: skip
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def cells(row: Iterable[str]) -> str:
    return f"| {' | '.join(row)} |"


def jump_rows(record: dict[str, Any]) -> Iterator[str]:
    """A row for every contestant of `random_access`."""
    case, machine = record["case"], record["machine"]
    for name, laps in record["milliseconds"].items():
        yield cells(
            [
                case["resolution"].replace("x", " x "),
                f"{machine['gpu'] or machine['cpu']}, {machine['threads']} of {machine['cores']} cores",
                name if name == "H.264" else f"{case['model']} {case['size']}, {name}",
                *(f"{laps[i]:.1f}" for i in (0, len(laps) // 2, -1)),
                f"{max(laps) / min(laps):.2f}",
                f"{record['in_order'][name]:.1f}",
            ]
        )


def speed_rows(record: dict[str, Any]) -> Iterator[str]:
    """The row of a benchmark of two contestants."""
    case, machine, speeds = record["case"], record["machine"], record["frames_per_second"]
    ratio, memory = record["speed_up"], record["peak_megabytes"]
    learns = "ssim" not in record["benchmark"]
    yield cells(
        [
            f"{case['model']} {case['size']}" if learns else "",
            case["resolution"].replace("x", " x "),
            str(case["batch"] or "default"),
            case["precision"] if learns else "float32",
            f"{machine['gpu'] or machine['cpu']}, {machine['threads']} of {machine['cores']} cores",
            f"{speeds['plain']:.1f}",
            f"{speeds['enerv_zoo']:.1f}",
            f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})",
            f"{memory['plain']:.0f} / {memory['enerv_zoo']:.0f}",
        ]
    )


LAYOUTS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], Iterator[str]]]] = {
    "random_access": (JUMPS, jump_rows),
}
"""Columns and rows of the benchmarks whose tables are not those of two contestants."""


def table(benchmark: str) -> str:
    records = [json.loads(path.read_text()) for path in sorted((HERE / "results").glob(f"{benchmark}-*.json"))]
    if not records:
        return "No results yet.\n"
    columns, rows = LAYOUTS.get(benchmark, (COLUMNS, speed_rows))
    lines = [line for record in records for line in rows(record)]
    return "\n".join([cells(columns), "|---" * len(columns) + "|", *lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    old = PAGE.read_text()
    new = TABLE.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[3]}", old)
    if parser.parse_args().check:
        return int(new != old)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
