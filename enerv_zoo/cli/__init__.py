"""The command line: parse, call the library, print."""

from __future__ import annotations

import time

from enerv_zoo.cli import interruption
from enerv_zoo.machine import tune_process
from enerv_zoo.stopping import graceful_stop

__all__ = ["main"]


def main() -> None:
    """Run the command line, in a process of its own, which it tunes and whose signals it takes.

    Exit codes: 0, 1 for an error (one line), 2 for a usage error, 130 after Ctrl-C.
    """
    began = time.monotonic()
    with interruption.told():
        tune_process()
        from enerv_zoo.cli.app import main as run  # takes seconds

        with graceful_stop():
            run(began)
