"""Does `enerv-zoo fit CLIP --time-budget S` end in time, and what does it choose? The table of docs/choosing.md.

Every fit is a command of its own, timed from its start to its end. `--busy N` starts so many programs that never rest.

    taskset -c 1 python benchmarks/budgets.py                                  # three hours of one core
    taskset -c 1 python benchmarks/budgets.py --busy 1 --seconds 20,60
    python benchmarks/budgets.py holiday.mp4 --seconds 300 --busy 2

Rows are added to those of the result file, where they replace those of the same clip, seconds and busy programs.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from common import machine, read_result, with_row, write_result
from flight import flight
from loaded import busy

import enerv_zoo as ez
from enerv_zoo.video import write_image, write_video

KEYS = ("clip", "budget", "busy")


def resized(path: Path, **selection: str) -> None:
    """Write the bunny cropped and resized, with its sound."""
    write_video(path, ez.open_video("bunny", **selection))


def minute(path: Path) -> None:
    """Write a flight of a minute."""
    write_video(path, flight(1500, 180, 320), fps=25)


CLIPS = {
    "33x17": lambda path: resized(path, resize="33x17"),
    "256x144.mp4": lambda path: resized(path, resize="256x144"),
    "4-to-3.mp4": lambda path: resized(path, crop="960x720", resize="480x360"),
    "640x360.mp4": lambda path: resized(path, resize="640x360"),
    "phone.mp4": lambda path: resized(path, crop="405x720", resize="1080x1920"),
    "minute.mp4": minute,
    "picture.png": lambda path: write_image(path, ez.open_video("bunny").frames[66]),
}
"""Clips that are made here: a name, and what writes it."""


def measured(source: str, seconds: int, out: Path) -> dict[str, Any]:
    """Fit a clip by the command line, and return what came of it.

    Returns:
        `seconds` from the start of the command to its end, `first_status` seconds until it shows something, and what
        was chosen and reached.
    """
    words = ["fit", source, "--time-budget", f"{seconds}s", "--out", str(out), "--yes"]
    ours, theirs = pty.openpty()  # as in a terminal, where bars are drawn
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "enerv_zoo", *words], stdout=theirs, stderr=theirs) as command:
        os.close(theirs)
        said = os.read(ours, 4096)
        first = time.perf_counter() - start
        with suppress(OSError):  # of a terminal that the last program has left
            while more := os.read(ours, 4096):
                said += more
    took = time.perf_counter() - start
    os.close(ours)
    if command.returncode:
        raise SystemExit(said.decode())
    metrics = json.loads((out / "metrics.json").read_text())
    chosen = ("frames", "height", "width", "stored_numbers", "stored_bytes", "epochs", "psnr", "model")
    return {"seconds": round(took, 2), "first_status": round(first, 2), **{name: metrics[name] for name in chosen}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", default=list(CLIPS), help="files, or names of clips that are made here")
    parser.add_argument("--seconds", default="20,60,300,1200")
    parser.add_argument("--busy", type=int, default=0, help="programs beside it that never rest")
    case = vars(parser.parse_args())
    name = f"budgets-cpu{len(os.sched_getaffinity(0))}"
    sources, case["clips"] = case["clips"], [Path(clip).name for clip in case["clips"]]
    rows = read_result(name).get("rows", [])
    with tempfile.TemporaryDirectory() as folder, busy(case["busy"]):
        for clip in sources:
            source = Path(folder) / clip if clip in CLIPS else Path(clip)
            if clip in CLIPS:
                CLIPS[clip](source)
            for seconds in map(int, case["seconds"].split(",")):
                row = {"clip": source.name, "budget": seconds, "busy": case["busy"]}
                row |= measured(str(source), seconds, Path(folder) / f"{source.stem}-{seconds}")
                rows = with_row(rows, row, KEYS)
                write_result(name, case, {"benchmark": "budgets", "machine": machine("cpu"), "rows": rows})
                print(row, flush=True)


if __name__ == "__main__":
    main()
