"""A process that imports once and then forks fits, to be killed by its parent; run by test_survival.

Prints one JSON object: how the fits ended, and whether the resumed one has the weights of the uninterrupted one.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import matplotlib.figure  # noqa: F401  (what a fit imports is imported before forking, and not used)
import timm.optim
import timm.scheduler  # noqa: F401
import torch
import torch._dynamo

import enerv_zoo as ez
from enerv_zoo.cli import main
from enerv_zoo.fitting import fit  # noqa: F401
from enerv_zoo.registry import COMPONENTS

FIT = ("fit", "clip", "--size", "80K", "--epochs", "40", "--batch-size", "2", "--lr", "5e-3", "--checkpoint-every", "0")


def child(*arguments: str) -> int:
    """Start `enerv-zoo` with arguments in a forked process."""
    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
        sys.argv = ["enerv-zoo", *arguments]
        code = 1
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return pid


def wait(pid: int) -> int:
    """The exit code of a child, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def stamp(path: Path) -> int:
    """When a file was written, or 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def wait_for_step(name: str, pid: int, before: int = 0) -> None:
    """Wait until a fit has written a checkpoint since `before`; each is written after a step."""
    while stamp(Path(name) / "checkpoint.pt") <= before:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            raise SystemExit(f"the fit of {name} ended before it wrote a checkpoint")
        time.sleep(0.002)


def signalled(name: str, number: int) -> int:
    """Send a signal to a fit that runs, and give its exit code."""
    pid = child(*FIT, "--epochs", "100000", "--out", name)
    wait_for_step(name, pid)
    os.kill(pid, number)
    return wait(pid)


def main_() -> None:
    for parts in COMPONENTS.values():
        parts.names()
    chance = random.Random(int(sys.argv[1]))
    kills = []
    whole = wait(child(*FIT, "--out", "whole"))
    pid = child(*FIT, "--out", "cut")
    for _ in range(12):
        wait_for_step("cut", pid, before=kills[-1][1] if kills else 0)
        time.sleep(chance.uniform(0.0, 0.1))  # a few steps and checkpoints take that long
        os.kill(pid, signal.SIGKILL)
        kills.append((wait(pid), stamp(Path("cut") / "checkpoint.pt")))
        pid = child(*FIT, "--out", "cut", "--resume")
    last = wait(pid)
    ended = {name: signalled(name, number) for name, number in (("int", signal.SIGINT), ("term", signal.SIGTERM))}
    ours, theirs = (ez.load(name).state_dict() for name in ("cut", "whole"))
    print(
        json.dumps(
            {
                "whole": whole,
                "kills": [code for code, _ in kills],
                "last": last,
                "ended": ended,
                "resumable": {name: (Path(name) / "checkpoint.pt").exists() for name in ended},
                "same": all(torch.equal(ours[name], theirs[name]) for name in theirs),
                "left": sorted(
                    path.name
                    for path in Path("cut").iterdir()
                    if "checkpoint" in path.name or path.name.startswith(".")
                ),
            }
        )
    )


main_()
