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
from enerv_zoo.fitting import checkpoint, fit  # noqa: F401
from enerv_zoo.registry import COMPONENTS

FIT = ("fit", "clip", "--size", "80K", "--epochs", "20", "--batch-size", "2", "--lr", "5e-3", "--ema", "0.9",
       "--checkpoint-every", "0")  # fmt: skip


STEPS = 60
"""Of the whole fit: 20 epochs of 6 frames, 2 at a time."""
KILLS = 6
MOST_STEPS = STEPS // KILLS - 2
"""Between two kills, so that no fit ends before them, however fast the machine is."""
END = 1800
"""Seconds after which a process ends whatever happens, also when its parent was killed."""


def child(*arguments: str, steps: int | None = None) -> int:
    """Start `enerv-zoo` with arguments in a forked process; after `steps` checkpoints it waits for its end."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(END)
        torch.set_num_threads(1)
        if steps is not None:
            wait_after(steps)
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


def wait_after(steps: int) -> None:
    """Let this process write so many checkpoints, and then wait."""
    save, left = checkpoint.save_checkpoint, [steps]

    def save_and_wait(folder: Path, state: dict) -> None:
        save(folder, state)
        left[0] -= 1
        while left[0] <= 0:
            signal.pause()

    checkpoint.save_checkpoint = save_and_wait


def wait(pid: int) -> int:
    """The exit code of a child, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def stamp(name: str) -> tuple[int, int] | None:
    """The version of a fit's checkpoint, or None where there is none; each is a new file, however coarse times are."""
    try:
        status = (Path(name) / "checkpoint.pt").stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def wait_for_step(name: str, pid: int, before: tuple[int, int] | None = None) -> None:
    """Wait until a fit has written a checkpoint that is not `before`; each is written after a step."""
    while stamp(name) in (None, before):
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
    for _ in range(KILLS):
        before = stamp("cut")
        pid = child(*FIT, "--out", "cut", *(["--resume"] if kills else []), steps=chance.randint(1, MOST_STEPS))
        wait_for_step("cut", pid, before)
        time.sleep(chance.uniform(0.0, 0.1))  # a few steps and checkpoints take that long
        os.kill(pid, signal.SIGKILL)
        kills.append(wait(pid))
    last = wait(child(*FIT, "--out", "cut", "--resume"))
    ended = {name: signalled(name, number) for name, number in (("int", signal.SIGINT), ("term", signal.SIGTERM))}
    ours, theirs = (ez.load(name).state_dict() for name in ("cut", "whole"))
    print(
        json.dumps(
            {
                "whole": whole,
                "kills": kills,
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
