"""Ctrl-C: one line, whenever it comes. Imports nothing that takes time, in which it could come too early."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


class Interrupted(Exception):
    """Ctrl-C in a command: of a KeyboardInterrupt, Typer makes an exit code and says nothing."""


@contextmanager
def told() -> Iterator[None]:
    """While the block runs, Ctrl-C ends the process with one line.

    So does an error of any kind that comes after it: a module whose import was cut off breaks the one that uses it.
    """
    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    usual = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:
        signal.signal(signal.SIGINT, hear)
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if "--debug" in sys.argv[1:] or not (heard or isinstance(error, (KeyboardInterrupt, Interrupted))):
            raise
        print("error: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        if usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)
