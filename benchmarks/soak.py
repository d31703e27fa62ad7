"""Commands killed by SIGKILL at random moments and run again: nothing is lost, and files are those of undisturbed runs.

`publish` pushes to a Hub on this machine: every repository holds the weights of its fit, and was written once.

python benchmarks/soak.py --kills 20 --seed 0
python benchmarks/soak.py batch workers
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from common import machine, write_result
from hub.server import running

TIMED = ("seconds", "per_second", "fps")
"""Parts of the names of scores that differ between two undisturbed runs."""
RECIPE = ["--size", "60K", "--epochs", "6", "--frames", "0:6", "--resize", "64x36", "--checkpoint-every", "0"]
FIT = ["fit", "bunny", "--model", "nerv", "--device", "cpu", *RECIPE]
CLIP = {"video": "bunny", "size": "60K", "frames": "0:6", "resize": "64x36"}
FITTED = {**CLIP, "fit": {"epochs": 6, "checkpoint_every": 0}}
MANIFEST = {
    "format": 2,
    "fits": [
        {"models": ["nerv", "enerv"], "seeds": [0, 1], **FITTED},
        {"model": "nerv", "segments": 2, "name": "long", **FITTED},
    ],
}


SETTINGS = {"OMP_NUM_THREADS": "1", "ENERV_ZOO_YES": "1"}
"""One thread per process, whose sums are the same in every run; and fits that are larger than their frames."""
USER, TOKEN = "alice", "hf_alice"
OUT = "OUT"
"""Stands for the path of the output in a command's arguments."""


def commands(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Return the name of each command's output, and its arguments; they read a fit and a manifest in `folder`."""
    run, batch = str(folder / "run"), ["batch", str(folder / "manifest.json"), "--device", "cpu", "--out", OUT]
    return {
        "fit": ("fit", [*FIT, "--resume", "--out", OUT]),
        "compress": ("fit.nvz", ["compress", run, OUT, "--tune-epochs", "2", "--device", "cpu", "--overwrite"]),
        "render": ("fit.mp4", ["render", run, OUT, "--device", "cpu", "--overwrite"]),
        "batch": ("fits", batch),
        "workers": ("fits", [*batch, "--workers", "2"]),
        "publish": ("fits", [*batch, "--push", "--owner", USER]),
    }


def start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start the command line; what it prints goes to a file."""
    command = [sys.executable, "-m", "enerv_zoo", *arguments]
    with log.open("wb") as file:  # no pipe: workers that outlive a killed command would keep it open
        return subprocess.Popen(command, env={**os.environ, **SETTINGS}, stdout=file, stderr=file)


def finish(arguments: list[str], log: Path, timeout: float | None = None) -> float | None:
    """Run the command line to its end. Returns its seconds, or `None` where it was killed at `timeout`.

    Raises:
        SystemExit: it failed.
    """
    began, process = time.monotonic(), start(arguments, log)
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
    if code:
        raise SystemExit(f"{' '.join(arguments)}: exit code {code}\n{log.read_text(encoding='utf-8')[-2000:]}")
    return time.monotonic() - began


def contents(output: Path) -> dict[str, str]:
    """Return the digest of every file that an output consists of; of scores, without times."""
    files = [output] if output.is_file() else sorted(path for path in output.rglob("*") if path.is_file())
    return {path.relative_to(output.parent).as_posix(): digest(path) for path in files}


def digest(path: Path) -> str:
    """Return what two runs must agree on: the bytes of weights and frames, and the scores."""
    data = path.read_bytes()
    if path.name == "metrics.json":
        scores = {name: value for name, value in json.loads(data).items() if not any(part in name for part in TIMED)}
        data = json.dumps(scores, sort_keys=True).encode()
    elif path.suffix not in (".safetensors", ".nvz", ".mp4"):
        data = b""  # times, hosts and pages: being there is enough
    return hashlib.sha256(data).hexdigest()


def soak(
    output: str, arguments: list[str], folder: Path, kills: int, chance: random.Random, hub: Any
) -> dict[str, float]:
    """Kill a command at random moments, run it to its end, and compare its output with an undisturbed run's."""

    def run(path: Path, timeout: float | None = None) -> float | None:
        return finish([str(path) if each == OUT else each for each in arguments], folder / "log", timeout)

    alone, killed = folder / "alone" / output, folder / "killed" / output
    alone.parent.mkdir(parents=True)
    killed.parent.mkdir()
    seconds, count, rounds = run(alone) or 0.0, 0, 0
    expected = contents(alone)
    hub.repositories.clear()
    while True:
        if run(killed, chance.uniform(0.2, 1.0) * seconds if count < kills else None) is None:
            count += 1
            continue
        rounds += 1
        check(expected, killed)
        check_pushed(hub, killed, "--push" in arguments)
        hub.repositories.clear()
        if count == kills:
            return {"kills": count, "compared": rounds, "files": len(expected), "seconds_alone": round(seconds, 1)}
        killed.rename(folder / f"round-{rounds}")  # from the beginning again


def check(expected: dict[str, str], output: Path) -> None:
    """Compare an output with an undisturbed run's.

    Raises:
        SystemExit: a file is missing, other, or left over.
    """
    present = contents(output)
    differing = sorted(name for name in expected.keys() | present.keys() if expected.get(name) != present.get(name))
    if differing:
        raise SystemExit(f"{output}: missing, other or left over: {', '.join(differing)}")


def check_pushed(hub: Any, output: Path, is_pushed: bool) -> None:
    """Compare the repositories on the Hub with the fits that were pushed.

    Raises:
        SystemExit: a fit is missing there, has other weights, or was pushed more than once.
    """
    fits = {path.name: path for path in output.iterdir() if any(path.rglob("*.safetensors"))} if is_pushed else {}
    for name in fits.keys() | {repo.partition("/")[2] for repo in hub.repositories}:
        repo = hub.repositories.get(f"{USER}/{name}")
        head = None if repo is None else repo.at()
        if name not in fits or head is None:
            raise SystemExit(f"{name}: on the Hub or in {output}, not in both")
        weights = {path.relative_to(fits[name]).as_posix(): path for path in fits[name].rglob("*.safetensors")}
        if any(key not in head.files or head.files[key].data != path.read_bytes() for key, path in weights.items()):
            raise SystemExit(f"{name}: other weights on the Hub")
        if len(repo.commits) > 2:  # one that creates it, one with the fit
            raise SystemExit(f"{name}: pushed {len(repo.commits) - 1} times")


def main() -> None:
    """Soak the commands that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", help="of fit, compress, render, batch, workers, publish; by default all")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--name", help="of a file in benchmarks/results to write; by default none")
    options = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary, running() as hub:
        folder = Path(temporary)
        os.environ |= {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": f"{folder}/home",
        }
        (folder / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
        names = commands(folder)
        if unknown := set(options.commands) - names.keys():
            parser.error(f"no command {min(unknown)!r}; there are {', '.join(names)}")
        finish([*FIT, "--out", str(folder / "run")], folder / "log")
        for name in options.commands or names:
            rows[name] = soak(*names[name], folder / name, options.kills, random.Random(options.seed), hub)
            print(json.dumps({"command": name, **rows[name]}), flush=True)
    if options.name:
        write_result(options.name, vars(options), {"benchmark": "soak", "machine": machine("cpu"), "rows": rows})


if __name__ == "__main__":
    main()
