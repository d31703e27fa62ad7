"""What a fit writes while it runs, and how it is stopped: history, checkpoints, signals."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from enerv_zoo.errors import EnervZooError
from enerv_zoo.files import finite, write_text
from enerv_zoo.fitting.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from enerv_zoo.fitting.guard import Guard
from enerv_zoo.fitting.loop import Fitter

logger = logging.getLogger(__name__)

HISTORY = "history.jsonl"


class FitInterrupted(KeyboardInterrupt):
    """A fit was asked to stop, and did so after a step; its message says how to go on.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class Journal:
    """Keeps a fit's history and checkpoints in its folder, or in memory alone where it has none.

    A checkpoint that cannot be written (a full disk, a folder that became read-only) is reported and does not end the
    fit; what was there stays.

    Args:
        fitter, guard: whose states are kept.
        folder: where to, or `None`. Of several processes the first one writes, and all read what it has read.
    """

    def __init__(self, fitter: Fitter, guard: Guard, folder: Path | None) -> None:
        self.fitter, self.guard, self.folder = fitter, guard, folder
        self.history: list[dict[str, Any]] = []
        self._saved = time.monotonic()
        self.ranks = fitter.ranks

    def resume(self) -> None:
        """Go on from the folder's last whole checkpoint, if it holds any."""
        state = self.ranks.decided(self._last_state)
        if state is None:
            return
        self.fitter.load_state_dict(state["fitter"])
        self.guard.load_state_dict(state["guard"])
        self.history = state["history"]

    def _last_state(self) -> dict[str, Any] | None:
        return load_checkpoint(self.folder) if self.folder is not None and has_checkpoint(self.folder) else None

    def add(self, row: dict[str, Any]) -> None:
        """Add an epoch's row; the rows of epochs that were rolled back go."""
        self.history = [*(r for r in self.history if r["epoch"] < row["epoch"]), finite(row)]
        if self.folder is None or not self.ranks.first:
            return
        try:
            write_text(self.folder / HISTORY, "".join(json.dumps(r) + "\n" for r in self.history))
        except (OSError, EnervZooError) as error:
            logger.warning("the history could not be written, the fit goes on: %s", error)

    def after_step(self) -> None:
        """Save a checkpoint when one is due; stop when a signal has come, to whichever process.

        Raises:
            FitInterrupted: a signal has come, and the state is saved.
        """
        if self.ranks.noticed:
            self._stop(self.ranks.noticed)
        if time.monotonic() - self._saved >= self.fitter.config.checkpoint_every:
            self.save()

    def save(self) -> bool:
        """Write a checkpoint, unless a weight is no number. Returns whether it was written."""
        self._saved = time.monotonic()
        if self.folder is None or not self.ranks.first or not self.fitter.healthy():
            return False
        state = {"fitter": self.fitter.state_dict(), "guard": self.guard.state_dict(), "history": self.history}
        try:
            save_checkpoint(self.folder, state)
        except EnervZooError as error:
            logger.warning("%s; the fit goes on", error)
            return False
        return True

    def _stop(self, number: int) -> None:
        at = f"stopped in epoch {self.fitter.epoch + 1}"
        if self.folder is None:
            raise FitInterrupted(f"{at}; nothing is kept, as the fit has no folder (out)", number)
        if self.save():
            raise FitInterrupted(f"{at}; repeat the command to go on from there (fit needs --resume)", number)
        raise FitInterrupted(f"{at}; no checkpoint could be written, an older one may be there (fit --resume)", number)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """While the block runs, SIGINT and SIGTERM end the fit after the current step; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, _: FrameType | None) -> None:
            if self.ranks.notice:
                raise FitInterrupted("stopped at once; repeat the command to go on (fit needs --resume)", number)
            self.ranks.notice = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            self.ranks.notice = self.ranks.noticed = 0
            for number, handler in before.items():
                signal.signal(number, handler)
