"""Rows of the tables that `report.py` writes, by benchmark; a record is what a result file holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
from rates import RATES, rate_rows

COLUMNS = (
    "network", "frame", "batch", "ours in", "machine", "plain, frames/s", "ours, frames/s", "speed-up",
    "peak MiB, plain / ours",
)  # fmt: skip
JUMPS = (
    "frame", "machine", "decoded by", "first frame, ms", "middle, ms", "last, ms", "slowest / fastest", "in order, ms",
)  # fmt: skip


def place(record: dict[str, Any]) -> str:
    """Return the processor or GPU of a result, and how many cores it had."""
    machine = record["machine"]
    return f"{machine['gpu'] or machine['cpu']}, {machine['threads']} of {machine['cores']} cores"


def jump_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every contestant of `random_access`."""
    case = record["case"]
    for name, laps in record["milliseconds"].items():
        yield [
            case["resolution"],
            place(record),
            name if name == "H.264" else f"{case['model']} {case['size']}, {name}",
            *(f"{laps[i]:.1f}" for i in (0, len(laps) // 2, -1)),
            f"{max(laps) / min(laps):.2f}",
            f"{record['in_order'][name]:.1f}",
        ]


def speed_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """The row of a benchmark of two contestants."""
    case, speeds = record["case"], record["frames_per_second"]
    ratio, memory = record["speed_up"], record["peak_megabytes"]
    learns = "ssim" not in record["benchmark"]
    yield [
        f"{case['model']} {case['size']}" if learns else "",
        case["resolution"],
        str(case["batch"] or "default"),
        case["precision"] if learns else "float32",
        place(record),
        f"{speeds['plain']:.1f}",
        f"{speeds['enerv_zoo']:.1f}",
        f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})",
        f"{memory['plain']:.0f} / {memory['enerv_zoo']:.0f}",
    ]


FAMILIES = ("family", "paper", "parts", "stored", "PSNR, dB", "recipe", "with others, dB")
SPEEDS = ("family", "fitting, frames/s", "decoding, frames/s", "optimized, frames/s", "machine")


def family_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every family of `zoo`, the best first."""
    for name, row in sorted(record["families"].items(), key=lambda item: -item[1]["psnr"]):
        others = sorted((psnr for way, psnr in row["tried"].items() if way != row["recipe"]), reverse=True)
        tried = (f"{row['psnr']:.2f}", row["recipe"], ", ".join(f"{psnr:.1f}" for psnr in others))
        yield [f"`{name}`", row["paper"], row["parts"], f"{row['stored_numbers']:,}", *tried]


def family_speed_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every family of `zoo_speed`."""
    where = f"{place(record)}, {record['case']['precision']}"
    for name, speeds in record["frames_per_second"].items():
        yield [f"`{name}`", *(f"{speeds[key]:.0f}" for key in ("fitting", "drawing", "drawing_fast")), where]


COMPRESSION = ("network", "file", "bytes", "times smaller", "PSNR, dB", "against the fit", "over the entropy")


def compression_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every case of `compression`, and the same tuning without rounding."""
    network = record["case"]["run"].replace(" numbers", " parameters")  # older results say so
    for name, row in record["rows"].items():
        numbers = (f"{row['bytes']:,}", f"{row['ratio']:.2f}", f"{row['psnr']:.2f}")
        change = f"{row['psnr'] - row['psnr_before']:+.2f}"
        yield [network, name, *numbers, change, f"{row['bytes'] / row['entropy_bytes'] - 1:.2%}"]
        network = ""
    before, tuned = row["psnr_before"], record["control_psnr"]
    yield [network, "tuned, nothing rounded", "", "", f"{tuned:.2f}", f"{tuned - before:+.2f}", ""]


SHELF = (
    "fit", "frame", "network", "parameters", "bytes", "PSNR, dB", "x264 slow at these bytes, dB", "decoded frames/s",
    "minutes of fitting",
)  # fmt: skip


def shelf_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every fit that comes with the package: the smallest frames first, then by quality."""
    for fit in sorted(record["fits"], key=lambda fit: (fit["bytes"] / fit["bpp"], -fit["psnr"])):
        curve = sorted((math.log(point["bytes"]), point["psnr"]) for point in record["x264"][fit["frame"]])
        yield [
            f"`{fit['name']}`",
            fit["frame"],
            f"`{fit['network']}`",
            f"{fit['stored_numbers']:,}",
            f"{fit['bytes']:,}",
            f"{fit['psnr']:.2f}",
            f"{np.interp(math.log(fit['bytes']), *zip(*curve, strict=True)):.2f}",
            f"{fit['fps']:.0f}",
            f"{fit['fit_seconds'] / 60:.0f}",
        ]


PARTS = ("file", "bytes", "description", "embeddings", "join", "stages", "head")


def part_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every file that comes with the package: what its bytes are of, in %."""
    for file in record["fits"]:
        shares = (f"{file['parts'].get(part, 0) / file['bytes']:.1%}" for part in PARTS[2:])
        yield [f"`{file['name']}`", f"{file['bytes']:,}", *shares]


COSTS = (
    "frame", "epochs", "PSNR, dB", "MS-SSIM", "bits per pixel", "core-hours per minute", "MB per minute",
    "fitted frames/s", "decoded frames/s",
)  # fmt: skip


def cost_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every height and number of epochs of `cost_model`."""
    for point in record["points"]:
        yield [
            f"{point['width']}x{point['height']}",
            str(point["epochs"]),
            f"{point['psnr']:.1f}",
            f"{point['ms_ssim']:.3f}",
            f"{point['bpp']:.3f}",
            f"{point['seconds_a_minute'] / 3600:.1f}",
            f"{point['bytes_a_minute'] / 1e6:.0f}",
            f"{point['fit_frames_per_second']:.2f}",
            f"{point['decode_frames_per_second']:.1f}",
        ]


COLLECTIONS = (1_000, 1_000_000)
"""Hours of video."""

WORKERS = (1_000, 10_000)
"""That fit them at the same time."""

CHECKPOINT = 36
"""Bytes of a running fit for each of its parameters."""


def collection_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """What so many hours of video cost, by the last row of `cost_model`."""
    point = record["points"][-1]
    spent = [hours * point["seconds_a_minute"] / 60 for hours in COLLECTIONS]
    yield ["core-hours to fit", *(f"{hours:,.0f}" for hours in spent)]
    yield ["on 1,000 cores", *map(days, (hours / 1_000 for hours in spent))]
    yield ["on 100 GPUs, if one replaces 100 cores (assumed)", *map(days, (hours / 10_000 for hours in spent))]
    yield ["bytes of `.nvz`", *(f"{hours * 60 * point['bytes_a_minute'] / 1e12:,.1f} TB" for hours in COLLECTIONS)]
    kept = (CHECKPOINT * point["stored_numbers"] * workers / 1e9 for workers in WORKERS)
    yield [
        "checkpoints of running fits",
        *(f"{size:,.0f} GB on {workers:,} workers" for size, workers in zip(kept, WORKERS, strict=True)),
    ]


def days(hours: float) -> str:
    """Write a long time."""
    size, unit = next(
        (size, unit) for size, unit in ((24 * 365, "years"), (24, "days"), (1, "hours")) if hours > 2 * size
    )
    return f"{hours / size:,.0f} {unit}"


FLEETS = (
    "fits", "workers", "seconds", "fitting", "seconds of a fit: nerv, enerv", "besides each fit, s",
    "repeated run, s",
)  # fmt: skip


def fleet_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row of a real fleet, from `fleet`."""
    spent = (f"{own['mean']:.1f} ± {own['variation']:.0%}" for own in record["fit_seconds"].values())
    yield [
        str(record["jobs"]),
        str(record["workers"]),
        f"{record['seconds']:.0f}",
        f"{record['fitting_share']:.0%}",
        ", ".join(spent),
        f"{record['seconds_beside_the_fit']:.1f}",
        f"{record['nothing_to_do_seconds']:.1f}",
    ]


SIMULATED = ("fleet", "jobs", "workers", "hours", "fitting", "work lost", "failures", "last 5 % of jobs take")


def simulated_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every scenario of `fleet_simulation`."""
    for row in record["rows"]:
        yield [
            row["scenario"],
            f"{row['jobs']:,}",
            f"{row['workers']:,}",
            f"{row['hours']:.2f}",
            f"{row['utilisation']:.1%}",
            f"{row['lost']:.2%}",
            f"{row['failures']:,.0f}",
            f"{row['tail']:.1%} of the time",
        ]


STARTS = ("epochs", "fresh", "from the same scene", "from another scene", "collapses rolled back")


def start_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every number of epochs of `warm_start`: means over seeds, and the least and the most."""
    for row in record["rows"]:
        found = (
            f"{row[name]:.1f} ({min(row['each'][name]):.1f} to {max(row['each'][name]):.1f})"
            for name in ("fresh", "same scene", "other scene")
        )
        yield [str(row["epochs"]), *found, str(row["recoveries"])]


LOADS = ("threads wait by", "busy loops", "fitted frames/s", "decoded frames/s")


def load_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every setting of `loaded`, alone and beside busy loops: medians, and the least and the most."""
    for row in record["rows"]:
        speeds = (
            f"{median(row[part]):.2f} ({min(row[part]):.2f} to {max(row[part]):.2f})" for part in ("fit", "decode")
        )
        yield [row["setting"], str(row["busy_loops"]), *speeds]


BUDGETS = (
    "clip", "busy programs", "asked, s", "taken, s", "first sign, s", "fitted", "parameters", "epochs", "PSNR, dB",
)  # fmt: skip


def budget_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """Yield a row for every fit of `budgets`: by clip, then by what ran beside it and by seconds."""
    clips = list(dict.fromkeys(row["clip"] for row in record["rows"]))
    for row in sorted(record["rows"], key=lambda row: (clips.index(row["clip"]), row["busy"], row["budget"])):
        fitted = f"{row['frames']} x {row['width']}x{row['height']}"
        times = (str(row["budget"]), f"{row['seconds']:.1f}", f"{row['first_status']:.1f}")
        found = (f"{row['stored_numbers']:,}", str(row["epochs"]), f"{row['psnr']:.2f}")
        yield [Path(row["clip"]).stem, str(row["busy"]), *times, fitted, *found]


SECONDS = (
    "clip", "CPU s", "family", "parameters", "kMAC per pixel", "epochs", "PSNR, dB", "worst frame, dB",
    "optimized, frames/s",
)  # fmt: skip


def over_seeds(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per fit of `time_to_psnr`: means over its seeds, how many these are, and how PSNR deviates."""
    fits: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        fits.setdefault(tuple(row[key] for key in ("clip", "budget", "model")), []).append(row)
    return [
        {
            **seeds[0],
            **{key: fmean(row[key] for row in seeds) for key in ("psnr", "worst", "seconds", "decode")},
            "seeds": len(seeds),
            "deviation": stdev(row["psnr"] for row in seeds) if len(seeds) > 1 else 0.0,
        }
        for seeds in fits.values()
    ]


def time_to_psnr_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the fits of `time_to_psnr`: by clip and seconds, the best first."""
    clips = list(dict.fromkeys(row["clip"] for row in record["rows"]))
    rows = over_seeds(record["rows"])
    for row in sorted(rows, key=lambda row: (clips.index(row["clip"]), row["budget"], -row["psnr"])):
        psnr = f"{row['psnr']:.2f}" + (f" ± {row['deviation']:.2f}" if row["seeds"] > 1 else "")
        cost = (f"{row['stored']:,}", f"{row['kmacs']:.1f}", str(row["epochs"]))
        quality = (psnr, f"{row['worst']:.2f}", f"{row['decode']:.0f}")
        yield [row["clip"], f"{row['seconds']:.0f}", f"`{row['model']}`", *cost, *quality]


PRESETS = (
    "preset", "frame", "parameters", "epochs", "seconds of fitting", "seconds in all", "PSNR, dB", "worst frame, dB",
    "optimized, frames/s", "machine",
)  # fmt: skip


def preset_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """Yield a row for every fit of `presets`."""
    for row in record["rows"]:
        times = (f"{row['fit_seconds']:.0f}", f"{row['seconds']:.0f}")
        found = (f"{row['psnr']:.2f}", f"{row['worst']:.2f}", f"{row['decode']:,.0f}")
        network = (f"`{row['preset']}`", row["frame"], f"{row['stored_numbers']:,}", str(row["epochs"]))
        yield [*network, *times, *found, place(record)]


KILLS = ("command", "seconds undisturbed", "kills", "outputs compared", "files in one", "differences")


def kill_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """Yield a row per command; a difference would have ended the program without a result."""
    for command, row in record["rows"].items():
        yield [f"`{command}`", *(f"{row[key]:g}" for key in ("seconds_alone", "kills", "compared", "files")), "none"]


DAMAGES = ("what was damaged", "cases", "used", "refused in one line", "neither")


def damage_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    names = {"config": "config", "folder": "fit's folder", "nvz": "`.nvz` file", "text": "manifest or recipe"}
    for kind, row in record["rows"].items():
        faults = sum(fault["kind"] == kind for fault in record["faults"])
        used, refused = row.get("read", 0), row.get("refused", 0)
        counts = (used + refused + faults, used, refused, faults)
        yield [names.get(kind, "image or movie"), *(f"{count:,}" for count in counts)]


REQUESTS = ("requests", "threads", "minutes", "wrong frames", "memory after a fifth", "at the end")


def request_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    memory = record["megabytes"]
    yield [
        *(f"{number:,}" for number in (record["requests"], record["case"]["threads"], round(record["seconds"] / 60))),
        f"{record['wrong']:,}",
        *(f"{each:.0f} MB" for each in (memory[len(memory) // 5], memory[-1])),
    ]


LAYOUTS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], Iterator[list[str]]]]] = {
    "budgets": (BUDGETS, budget_rows),
    "compression": (COMPRESSION, compression_rows),
    "collection": (("", *(f"{hours:,} hours" for hours in COLLECTIONS)), collection_rows),
    "cost_model": (COSTS, cost_rows),
    "fleet": (FLEETS, fleet_rows),
    "fleet_simulation": (SIMULATED, simulated_rows),
    "fuzz": (DAMAGES, damage_rows),
    "loaded": (LOADS, load_rows),
    "parts": (PARTS, part_rows),
    "presets": (PRESETS, preset_rows),
    "random_access": (JUMPS, jump_rows),
    "rd": (RATES, rate_rows),
    "shelf": (SHELF, shelf_rows),
    "soak": (KILLS, kill_rows),
    "steady": (REQUESTS, request_rows),
    "time_to_psnr": (SECONDS, time_to_psnr_rows),
    "warm_start": (STARTS, start_rows),
    "zoo": (FAMILIES, family_rows),
    "zoo_speed": (SPEEDS, family_speed_rows),
}
"""Columns and rows of the benchmarks whose tables are not those of two contestants."""

SOURCES = {"collection": "cost_model", "parts": "shelf"}
"""The benchmark whose results a table is of, if that is not its name."""
