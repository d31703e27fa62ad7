"""Write the tables of the README and of all pages from the files in `results/`.

A table stands between `<!-- table: BENCHMARK -->` and `<!-- end -->`, with the rows of every result of that benchmark.

    python benchmarks/report.py            # rewrite the pages
    python benchmarks/report.py --check    # exit 1 if a page is not what the files say
    python benchmarks/report.py --older    # list the files that are older than the code they measure
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np

from enerv_zoo.evaluation.rates import Gain, RateCurve, RatePoint, gains

HERE = Path(__file__).parent
PAGES = [HERE.parent / "README.md", *sorted((HERE.parent / "docs").glob("*.md"))]
COLUMNS = (
    "network", "frame", "batch", "ours in", "machine", "plain, frames/s", "ours, frames/s", "speed-up",
    "peak MiB, plain / ours",
)  # fmt: skip
JUMPS = (
    "frame", "machine", "decoded by", "first frame, ms", "middle, ms", "last, ms", "slowest / fastest", "in order, ms",
)  # fmt: skip
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def cells(row: Iterable[str]) -> str:
    return f"| {' | '.join(row)} |"


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


RATES = (
    "source", "family or codec", "bits per pixel", "PSNR, dB", "BD-rate", "BD-PSNR", "seconds per point",
    "decode frames/s",
)  # fmt: skip


def psnr_gains(record: dict[str, Any]) -> dict[str, Gain]:
    """Compare the measured points of a result of `rd` with those of x264, as this version does."""
    curves = [
        RateCurve(curve["name"], curve["settings"], tuple(RatePoint.from_dict(each, "rd") for each in curve["points"]))
        for curve in record["curves"]
    ]
    return {gain.curve: gain for gain in gains(curves, "x264") if gain.metric == "psnr"}


def merged_by_clip(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a record of `rd` for each clip: the networks of all its results, and the codecs of the first."""
    clips: dict[str, dict[str, Any]] = {}
    for record in records:
        curves = [{**curve, "name": curve_name(curve)} for curve in record["curves"]]
        clip = clips.setdefault(clip_text(record), {**record, "curves": []})
        names = {curve["name"] for curve in clip["curves"]}
        clip["curves"] += [curve for curve in curves if curve["name"] not in names]
    for clip in clips.values():
        clip["curves"].sort(key=_networks_first)
    return list(clips.values())


def _networks_first(curve: dict[str, Any]) -> tuple[bool, str, int]:
    """Order networks by family and epochs, the most first; codecs follow as they come."""
    epochs = curve["settings"].get("epochs")
    if epochs is None:
        return True, "", 0
    return False, curve["name"].partition(",")[0], -int(epochs.partition(",")[0])


def curve_name(curve: dict[str, Any]) -> str:
    epochs = curve["settings"].get("epochs")
    return f"{curve['name']}, {epochs} epochs" if epochs else curve["name"]


def clip_text(record: dict[str, Any]) -> str:
    video = record["video"]
    return f"{record['case']['video']}, {video['frames']} frames of {video['width']}x{video['height']}"


def rate_rows(record: dict[str, Any]) -> Iterator[list[str]]:
    """A row for every curve of `rd`: the range of its points, and how far it is from the anchor."""
    source = clip_text(record)
    differences = psnr_gains(record)
    for curve in record["curves"]:
        points, gain = curve["points"], differences.get(curve["name"])
        ends = {key: sorted(point[key] for point in points) for key in ("bpp", "psnr", "encode_seconds", "decode_fps")}
        rate, quality = (gain.bd_rate, gain.bd_quality) if gain else (None, None)
        yield [
            source,
            curve["name"],
            f"{ends['bpp'][0]:.3f} to {ends['bpp'][-1]:.3f}",
            f"{ends['psnr'][0]:.2f} to {ends['psnr'][-1]:.2f}",
            "anchor" if gain is None else "no common PSNR" if rate is None else f"{rate:+.0f} %",
            "" if gain is None else "no common rate" if quality is None else f"{quality:+.2f} dB",
            f"{ends['encode_seconds'][0]:,.1f} to {ends['encode_seconds'][-1]:,.1f}",
            f"{ends['decode_fps'][len(points) // 2]:,.0f}",
        ]
        source = ""


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
    "decoded frames/s",
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
    "decoded frames/s", "machine",
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


def overview() -> str:
    """Return the README's table: quality per second, speed, and bytes, each beside what it is measured against."""
    seconds, fitted, decoded, rates = (
        json.loads((HERE / "results" / f"{name}.json").read_text())
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
            "quality after 30 s on one core",
            f"{psnr['pca_nerv']:.1f} dB, `pca_nerv`",
            f"{psnr['enerv']:.1f} dB, `enerv` of equal size",
        )
    ]
    for verb, record in (("fitted", fitted), ("decoded", decoded)):
        speed = record["frames_per_second"]
        rows += [(f"E-NeRV, frames {verb} per second", f"{speed['enerv_zoo']:.0f}", f"{speed['plain']:.0f}, {loop}")]
    rows += [
        (
            "bytes at equal quality",
            f"{1 + excess / 100:.2f} times as many, `pca_nerv`",
            "1, x264 (preset slow)",
        )
    ]
    rows += [("time to write the file", f"{spent[0]}, `pca_nerv`", f"{spent[1]}, x264")]
    rows += [("frames decoded per second", f"{speeds[0]}, `pca_nerv`", f"{speeds[1]}, x264")]
    head, *body = map(cells, rows)
    return "\n".join([head, "|---|---|---|", *body, ""])


LAYOUTS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], Iterator[list[str]]]]] = {
    "budgets": (BUDGETS, budget_rows),
    "compression": (COMPRESSION, compression_rows),
    "cost_model": (COSTS, cost_rows),
    "fleet": (FLEETS, fleet_rows),
    "fleet_simulation": (SIMULATED, simulated_rows),
    "fuzz": (DAMAGES, damage_rows),
    "loaded": (LOADS, load_rows),
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


def table(benchmark: str) -> str:
    if benchmark == "overview":
        return overview()
    records = [json.loads(path.read_text()) for path in sorted((HERE / "results").glob(f"{benchmark}-*.json"))]
    if not records:
        return "No results yet.\n"
    if benchmark == "rd":
        records = merged_by_clip(records)
    columns, rows_of = LAYOUTS.get(benchmark, (COLUMNS, speed_rows))
    rows = [row for record in records for row in rows_of(record)]
    note = ""
    if "machine" in columns and len(machines := {row[columns.index("machine")] for row in rows}) == 1:
        where = columns.index("machine")
        columns, *rows = ([*row[:where], *row[where + 1 :]] for row in (columns, *rows))
        note = f"\n*{machines.pop()}.*\n"
    return "\n".join([cells(columns), "|---" * len(columns) + "|", *map(cells, rows), note])


# ---------------------------------------------------------------------- results that are older than the code

NETWORK = ("blocks", "embeddings", "fusion", "heads", "layers", "models", "network.py")
DECODING = (*NETWORK, "compiling.py", "neural_video.py")
FITTING = (*NETWORK, "fitting", "losses.py", "optimizers", "ssim.py")
CODING = ("compression", "nvz")
MEASURED: dict[str, tuple[str, ...]] = {
    "budgets": (*FITTING, "cli", "evaluation", "video"),
    "compression": CODING,
    "cost_model": (*FITTING, *CODING),
    "decode_speed": DECODING,
    "entropy_coding": ("nvz",),
    "fleet": ("batch", "cluster"),
    "fleet_simulation": (),
    "fuzz": ("batch", "config", "nvz", "storage", "video"),
    "long_video": (*FITTING, "batch", "segmented.py"),
    "ms_ssim_speed": ("ssim.py",),
    "random_access": DECODING,
    "rd": (*FITTING, *CODING, "evaluation"),
    "shelf": (*CODING, "evaluation", "hub/bundled"),
    "soak": ("batch", "cli", "compression", "fitting", "hub", "storage"),
    "ssim_speed": ("ssim.py",),
    "steady": (*DECODING, "storage"),
    "zoo_speed": (*FITTING, *DECODING),
}
"""Paths in the package that a benchmark measures; of the others it is `FITTING`."""


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", HERE.parent, *words], capture_output=True, text=True, check=True).stdout.strip()


def is_known(commit: str) -> bool:
    return not subprocess.run(["git", "-C", HERE.parent, "cat-file", "-e", commit], capture_output=True).returncode


def older() -> Iterator[str]:
    """Yield a line for every result file since whose commit the code that it measures was changed.

    The commit is the one that the file names; where it names none that is known here (its branch may have been
    rewritten since), it is the last one that changed the file.
    """
    for path in sorted((HERE / "results").glob("*.json")):
        commit = json.loads(path.read_text()).get("commit", "").rstrip("+")
        if not commit or not is_known(commit):
            commit = git("log", "-1", "--format=%h", "--", str(path))
        measured = MEASURED.get(path.stem.partition("-")[0], FITTING)
        if not commit or not measured:
            continue
        code = (str(HERE.parent / "enerv_zoo" / part) for part in measured)
        changes = git("log", "--format=%h %cs", f"{commit}..HEAD", "--", *code).splitlines()
        if changes:
            yield f"{path.name}: {len(changes)} later commits to the code it measures, the last is {changes[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--older", action="store_true")
    case = parser.parse_args()
    if case.older:
        print(*older(), sep="\n")
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
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main())
