"""Host memory of a fit whose frames are many and large: 600 of 1920x1080 by default, 3.7 GB as numbers.

Generates a clip, fits it for a while in a process of its own with the frames mapped from disk, and watches how much
memory that process holds beside the map. There is no report, which would read the clip again, into memory.

    python benchmarks/long_clip.py --frames 600 --resolution 1920x1080 --budget 120
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from common import machine, write_result

from enerv_zoo import write_video

NETWORK = ("--size", "0.3M", "--set", "lower_width=8", "--set", "block_dim=48")


def drifting_waves(count: int, height: int, width: int) -> Iterator[torch.Tensor]:
    """Frames (3, height, width), uint8, of coloured waves that move in three directions."""
    y, x = torch.meshgrid(torch.linspace(0, 20, height), torch.linspace(0, 36, width), indexing="ij")
    for i in range(count):
        t = i / 12
        waves = torch.stack(((x + t).sin() * y.cos(), (y - t).sin(), ((x + y) / 2 + 2 * t).cos()))
        yield (127.5 * (1 + waves)).to(torch.uint8)


def memory(pid: int) -> dict[str, float]:
    """GiB that a process holds now: of its own, and of mapped files."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "kB" in line)
    return {"own": int(fields["RssAnon"].split()[0]) / 2**20, "mapped": int(fields["RssFile"].split()[0]) / 2**20}


def watched_fit(clip: Path, folder: Path, budget: float) -> dict[str, float]:
    """Fit a clip in a process of its own; the most memory it held, and what it reached."""
    options = ("--frames-in", "disk", "--time-budget", f"{budget}s", "--batch-size", "1", "--no-report", *NETWORK)
    command = [sys.executable, "-m", "enerv_zoo", "fit", clip, *options, "--out", folder, "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = {"own": 0.0, "mapped": 0.0}
    while process.poll() is None:
        try:
            now = memory(process.pid)
        except (OSError, KeyError):  # it has just ended
            break
        peak = {name: max(peak[name], now[name]) for name in peak}
        time.sleep(0.1)
    metrics = json.loads(process.communicate()[0])
    if process.returncode:
        raise SystemExit(f"the fit ended with {process.returncode}")
    names = ("psnr", "frames", "frames_measured", "epochs", "batch_size", "precision", "fit_frames_per_second")
    return {
        **{f"peak_{name}_gib": round(value, 3) for name, value in peak.items()},
        **{name: metrics[name] for name in names},
        "seconds": round(time.perf_counter() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--resolution", default="1920x1080", help="WIDTHxHEIGHT")
    parser.add_argument("--budget", type=float, default=120, help="seconds, reading and measuring included")
    case = vars(parser.parse_args())
    width, height = map(int, case["resolution"].split("x"))
    with tempfile.TemporaryDirectory() as folder:
        clip = write_video(Path(folder) / "waves.mp4", drifting_waves(case["frames"], height, width), fps=25)
        result = watched_fit(clip, Path(folder) / "fit", case["budget"])
    result = {"frames_gib": round(case["frames"] * height * width * 3 / 2**30, 3), **result}
    print(json.dumps(result, indent=1))
    write_result("long_clip", case, {"benchmark": "long_clip", "machine": machine("cpu"), **result})


if __name__ == "__main__":
    main()
