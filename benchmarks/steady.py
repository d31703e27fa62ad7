"""A server's day: a thread pool loads networks and decodes frames; memory, threads and files stay as they are.

A request loads a network from a folder or a compressed file, or takes one that stays loaded, and decodes a frame, which
must be the same to the last bit whoever decodes beside it. One request per second makes 86,400 a day.

    python benchmarks/steady.py --requests 86400 --name steady-cpu1
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from common import machine, write_result

import enerv_zoo as ez

LOOKS = 50
GROWTH = 16.0
"""MiB that the memory of a process may have grown from the first fifth of its requests to the end."""


def state() -> dict[str, float]:
    """Return this process's memory in MiB, and how many threads and open files it has."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    files = len(list(Path("/proc/self/fd").iterdir()))
    return {"megabytes": int(status["VmRSS"].split()[0]) / 1024, "threads": threading.active_count(), "files": files}


class Server:
    """Networks of a folder, and what their frames must be.

    Args:
        folder: where they are written.
    """

    def __init__(self, folder: Path) -> None:
        video = ez.create_model("enerv", frames=6, height=36, width=64, size="60K").eval()
        video.save_pretrained(folder / "fit")
        ez.compress(video, folder / "fit.nvz", measure=False)
        self.places = (folder / "fit", folder / "fit.nvz")
        self.loaded = [ez.load(place) for place in self.places]
        self.frames = [video[:] for video in self.loaded]

    def answer(self, number: int) -> bool:
        """Decode a frame; returns whether it is the same as ever."""
        chance = random.Random(number)
        which = chance.randrange(2)
        video = self.loaded[which] if chance.random() < 0.2 else ez.load(self.places[which])
        index = chance.randrange(len(video))
        return torch.equal(video[index], self.frames[which][index])


def main(arguments: list[str] | None = None) -> int:
    """Answer the requests; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--name", help="of a file in benchmarks/results to write; by default none")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    wrong, looks, began = 0, [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.threads) as pool:
        server = Server(Path(folder))
        step = max(options.requests // LOOKS, 1)
        for first in range(0, options.requests, step):
            numbers = range(first, min(first + step, options.requests))
            wrong += sum(not same for same in pool.map(server.answer, numbers))
            looks.append(state())
    early, late = looks[len(looks) // 5], looks[-1]
    growth = {name: round(late[name] - early[name], 1) for name in late}
    is_steady = growth["megabytes"] <= GROWTH and growth["threads"] <= 0 and growth["files"] <= 0
    result: dict[str, Any] = {
        "requests": options.requests,
        "wrong": wrong,
        "megabytes": [round(look["megabytes"], 1) for look in looks],
        "growth": growth,
        "seconds": round(time.monotonic() - began, 1),
    }
    print({name: value for name, value in result.items() if name != "megabytes"})
    if options.name:
        write_result(options.name, vars(options), {"benchmark": "steady", "machine": machine("cpu"), **result})
    return int(bool(wrong) or not is_steady)


if __name__ == "__main__":
    sys.exit(main())
