"""Measure again what is older than its code, or of another machine: the commands of all.yaml.

What needs the whole machine comes first, one after the other; then as many others at a time as there are cores, each on
a core of its own. What a command prints is in its result's file in the folder `--logs`. The exit code is 1 where one
has failed. `report.py` then writes the pages.

    python benchmarks/all.py --list              # what would be measured, and how many minutes it takes
    python benchmarks/all.py --minutes 90        # as many as should end by then
    python benchmarks/all.py --only 'rd-*'
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from queue import SimpleQueue

import yaml
from common import RESULTS, machine, read_result
from older import older

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Measurement:
    """An entry of all.yaml.

    Attributes:
        results: names of the files in `results/` that it writes, as wildcards.
        minutes: about how long it takes.
        run: its commands, in order: programs of this folder, or `enerv-zoo`.
        alone: nothing else may run beside it.
    """

    results: Sequence[str]
    minutes: float
    run: Sequence[str]
    alone: bool = False

    def why(self, changes: dict[str, str], here: str) -> str | None:
        """Return why it is to be measured again, or `None`.

        Args:
            changes: of the code, by the result's name.
            here: this machine's processor.
        """
        for pattern in self.results:
            names = [path.stem for path in sorted(RESULTS.glob(f"{pattern}.json"))]
            if not names:
                return "no result"
            for name in names:
                measured = read_result(name).get("machine", {})
                if name in changes or measured.get("cpu", here) != here:
                    return changes.get(name, f"of another machine, {measured.get('cpu')}")
        return None

    def measure(self, logs: Path, core: int | None = None) -> bool:
        """Run the commands, on one core if it is given, until one fails; returns whether none has."""
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})  # of this thread, and of what it starts
        with (logs / f"{self.results[0]}.log").open("w") as log:
            return not any(
                subprocess.run(words(each), stdout=log, stderr=log, cwd=HERE.parent).returncode for each in self.run
            )


def words(command: str) -> list[str]:
    """Return a command of all.yaml as a process takes it."""
    program, *options = shlex.split(command)
    return [sys.executable, *(("-m", "enerv_zoo") if program == "enerv-zoo" else (str(HERE / program),)), *options]


def measurements() -> list[Measurement]:
    return [Measurement(**entry) for entry in yaml.safe_load((HERE / "all.yaml").read_text())]


def affordable(due: Sequence[Measurement], minutes: float, cores: int) -> list[Measurement]:
    """Return those that should end within so many minutes, in order; each that is too long is left out."""
    chosen, left = [], minutes * cores
    for each in due:
        if (cost := each.minutes * (cores if each.alone else 1)) <= left and each.minutes <= minutes:
            chosen.append(each)
            left -= cost
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="only say what is to be measured")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--only", default="*", help="results, by a wildcard")
    parser.add_argument("--logs", type=Path, default=Path("runs/all"))
    case = parser.parse_args()
    changes, here = dict(older()), machine("cpu")["cpu"]
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    asked = (each for each in measurements() if fnmatch(each.results[0], case.only))
    due = {each.results[0]: (each, why) for each in asked if (why := each.why(changes, here))}
    chosen = affordable([each for each, _ in due.values()], case.minutes, len(cores))
    for each in chosen:
        print(f"{each.minutes:4g} min  {', '.join(each.results)}: {due[each.results[0]][1]}")
    if case.list:
        return 0
    case.logs.mkdir(parents=True, exist_ok=True)
    free: SimpleQueue[int] = SimpleQueue()
    for core in cores:
        free.put(core)

    def measure(each: Measurement) -> bool:
        core, start = None if each.alone else free.get(), time.perf_counter()
        done = each.measure(case.logs, core)
        if core is not None:
            free.put(core)
        how = "measured" if done else "FAILED"
        print(f"{each.results[0]}: {how} in {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
        return done

    done = [measure(each) for each in chosen if each.alone]
    with ThreadPoolExecutor(len(cores)) as threads:
        longest = sorted((each for each in chosen if not each.alone), key=lambda each: -each.minutes)
        done += threads.map(measure, longest)
    return int(not all(done))


if __name__ == "__main__":
    sys.exit(main())
