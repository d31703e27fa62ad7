"""Write the tables of the README and of all pages, and the pictures of rates, from the files in `results/`.

A table stands between `<!-- table: BENCHMARK -->` and `<!-- end -->`, with the rows of every result of that benchmark.

    python benchmarks/report.py            # rewrite the pages
    python benchmarks/report.py --check    # exit 1 if a page is not what the files say
    python benchmarks/report.py --older    # list those that are older than the code they measure (all.py renews them)
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common import RESULTS, read_result
from older import older
from rates import draw_rates, merged_by_clip, psnr_gains
from tables import COLUMNS, LAYOUTS, SOURCES, over_seeds, speed_rows

HERE = Path(__file__).parent
PAGES = [HERE.parent / "README.md", *sorted((HERE.parent / "docs").glob("*.md"))]
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def cells(row: Iterable[str]) -> str:
    return f"| {' | '.join(row)} |"


def on_cores(record: dict[str, Any]) -> str:
    """Return what a result was measured on, as words."""
    count = record["machine"]["threads"]
    return "on " + {1: "one core", 2: "two cores"}.get(count, f"{count} cores")


def overview() -> str:
    """Return the README's table: quality per second, speed, and bytes, each beside what it is measured against."""
    seconds, fitted, decoded, rates = (
        read_result(name)
        for name in (
            "time_to_psnr-cpu1-0.5M-256x144",
            "fit_speed-cpu2-enerv-0.5M-256x144-b2-bfloat16",
            "decode_speed-cpu2-enerv-0.5M-256x144-b0-bfloat16",
            "rd-fitted-bunny-cpu1",
        )
    )
    soon = [row for row in over_seeds(seconds["rows"]) if (row["clip"], row["budget"]) == ("bunny", 30)]
    psnr = {row["model"]: row["psnr"] for row in soon}
    ours, codec = (next(c["points"] for c in rates["curves"] if c["name"] == name) for name in ("pca_nerv", "x264"))
    excess = psnr_gains(rates)["pca_nerv"].bd_rate or 0.0
    ends = {key: [sorted(point[key] for point in c) for c in (ours, codec)] for key in ("encode_seconds", "decode_fps")}
    spent = [
        f"{times[0]:.{digits}f} to {times[-1]:.{digits}f} s"
        for times, digits in zip(ends["encode_seconds"], (0, 1), strict=True)
    ]
    speeds = [f"{laps[len(laps) // 2]:,.0f}" for laps in ends["decode_fps"]]
    loop = "E-NeRV's published loop"
    rows = [("", "enerv-zoo", "compared with")]
    rows += [
        (
            f"quality after 30 s {on_cores(seconds)}",
            f"{psnr['pca_nerv']:.1f} dB, `pca_nerv`",
            f"{psnr['enerv']:.1f} dB, `enerv` of equal size",
        )
    ]
    for verb, record in (("fitted", fitted), ("decoded", decoded)):
        speed = record["frames_per_second"]
        what = f"E-NeRV, frames {verb} per second {on_cores(record)}"
        rows += [(what, f"{speed['enerv_zoo']:.0f}", f"{speed['plain']:.0f}, {loop}")]
    rows += [
        (
            "bytes at equal quality",
            f"{1 + excess / 100:.2f} times as many, `pca_nerv`",
            "1, x264 (preset slow)",
        )
    ]
    rows += [(f"time to write the file {on_cores(rates)}", f"{spent[0]}, `pca_nerv`", f"{spent[1]}, x264")]
    rows += [(f"frames decoded per second {on_cores(rates)}", f"{speeds[0]}, `pca_nerv`", f"{speeds[1]}, x264")]
    head, *body = map(cells, rows)
    return "\n".join([head, "|---|---|---|", *body, ""])


def results(benchmark: str) -> list[dict[str, Any]]:
    """Read a benchmark's results; of `rd`, one for each clip."""
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{benchmark}-*.json"))]
    return merged_by_clip(records) if benchmark == "rd" else records


def table(benchmark: str) -> str:
    if benchmark == "overview":
        return overview()
    records = results(SOURCES.get(benchmark, benchmark))
    if not records:
        return "No results yet.\n"
    columns, rows_of = LAYOUTS.get(benchmark, (COLUMNS, speed_rows))
    rows = [row for record in records for row in rows_of(record)]
    note = ""
    if "machine" in columns and len(machines := {row[columns.index("machine")] for row in rows}) == 1:
        where = columns.index("machine")
        columns, *rows = ([*row[:where], *row[where + 1 :]] for row in (columns, *rows))
        note = f"\n*{machines.pop()}.*\n"
    return "\n".join([cells(columns), "|---" * len(columns) + "|", *map(cells, rows), note])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--older", action="store_true")
    case = parser.parse_args()
    if case.older:
        print(*(f"{name}: {why}" for name, why in older()), sep="\n")
        return 0
    check, stale = case.check, 0
    for page in PAGES:
        old = page.read_text()
        new = TABLE.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[3]}", old)
        if new != old:
            stale = 1
            print(f"{page.name}: {'stale; run benchmarks/report.py' if check else 'written'}")
            if not check:
                page.write_text(new)
    if not check:
        draw_rates(results("rd"))
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main())
