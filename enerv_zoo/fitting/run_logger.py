"""What a fit writes while it runs, and how it is stopped: history, checkpoints, signals."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from enerv_zoo.errors import EnervZooError, FitError
from enerv_zoo.files import finite, write_text
from enerv_zoo.fitting.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from enerv_zoo.fitting.divergence import DivergenceGuard
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.shell import quote
from enerv_zoo.stopping import stops_gracefully
from enerv_zoo.storage.description import RECORD

logger = logging.getLogger(__name__)

HISTORY = "history.jsonl"


class FitInterrupted(KeyboardInterrupt):
    """A fit was asked to stop, and did so; its message says how to go on.

    Attributes:
        signal: the number of the signal; that of a KeyboardInterrupt is SIGINT.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class RunLogger:
    """Keeps a fit's history and checkpoints in its folder, or in memory alone where it has none.

    Where the folder takes no checkpoint (a full disk, a folder that became read-only), the fit stops, and its state is
    saved elsewhere; what was there stays.

    Args:
        fitter, guard: whose states are kept.
        folder: where to, or `None`. Of several processes the first one writes, and all read what it has read.
    """

    def __init__(self, fitter: Fitter, guard: DivergenceGuard, folder: Path | None) -> None:
        self.fitter, self.guard, self.folder = fitter, guard, folder
        self.history: list[dict[str, Any]] = []
        self._saved = time.monotonic()
        self._measuring = False
        self.ranks = fitter.ranks

    def resume(self) -> None:
        """Go on from the folder's last whole checkpoint, if it holds any."""
        state = self.ranks.broadcast_from_zero(self._last_state)
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
            raise FitInterrupted(self._how_to_go_on(), self.ranks.noticed)
        if time.monotonic() - self._saved >= self.fitter.config.checkpoint_every:
            self.save()

    def save(self) -> bool:
        """Write a checkpoint, unless a weight is no number. Returns whether it was written.

        Raises:
            FitError: the folder takes no checkpoint; what the fit needs to go on is in another one, which it names.
        """
        self._saved = time.monotonic()
        if self.folder is None or not self.ranks.first or not self.fitter.healthy():
            return False
        state = {"fitter": self.fitter.state_dict(), "guard": self.guard.state_dict(), "history": self.history}
        try:
            save_checkpoint(self.folder, state)
        except EnervZooError as error:
            reason = getattr(error.__cause__, "strerror", None) or error
            place = self._rescue(state)
            if place is None:
                logger.warning("%s: no checkpoint can be written, here or elsewhere (%s)", self.folder, reason)
                return False
            raise FitError(
                f"{self.folder}: no checkpoint can be written ({reason}); the fit has stopped in epoch "
                f"{self.fitter.epoch + 1}, and all that it needs to go on is in {place}: repeat the command with "
                f"--out {quote(str(place))} (fit needs --resume), or make room and move the files of that folder into "
                "this one"
            ) from error
        return True

    def _rescue(self, state: dict[str, Any]) -> Path | None:
        """Save a checkpoint, and the record of the fit, in a new folder elsewhere; `None` where nothing takes it."""
        assert self.folder is not None
        for parent in (tempfile.gettempdir(), str(Path.home())):
            try:
                place = Path(tempfile.mkdtemp(prefix="enerv-zoo-fit-", dir=parent))
            except OSError:
                continue
            try:
                save_checkpoint(place, state)
                shutil.copyfile(self.folder / RECORD, place / RECORD)
                return place
            except (OSError, EnervZooError):
                shutil.rmtree(place, ignore_errors=True)
        return None

    def begin_measuring(self) -> None:
        """Note that all steps are done, and kept; from here on a signal has no step to wait for."""
        self._measuring = True
        if self.ranks.notice and self.ranks.size == 1:
            raise FitInterrupted(self._how_to_go_on(), self.ranks.notice)

    def _how_to_go_on(self) -> str:
        """Save the state, if it is that of a whole step, and say what is kept."""
        at = "stopped while the fit was measured" if self._measuring else f"stopped in epoch {self.fitter.epoch + 1}"
        if self.folder is None:
            return f"{at}; nothing is kept, as the fit has no folder (out)"
        try:
            kept = self._measuring or (self.fitter.is_consistent and self.save())
        except FitError as error:  # it says where the state is instead
            return f"{at}; {error}"
        if kept:
            return f"{at}; repeat the command to go on from there (fit needs --resume)"
        return f"{at}; no checkpoint could be written, an older one may be there (fit --resume)"

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """While the block runs, a KeyboardInterrupt or a SystemExit leaves a checkpoint, and so do signals if asked.

        Raises:
            FitInterrupted: a KeyboardInterrupt, or a signal within `enerv_zoo.graceful_stop`.
        """
        try:
            with self._signals() if stops_gracefully() else nullcontext():
                yield
        except FitInterrupted:
            raise
        except KeyboardInterrupt as stop:
            raise FitInterrupted(self._how_to_go_on(), signal.SIGINT) from stop
        except SystemExit:
            logger.warning("%s", self._how_to_go_on())
            raise

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """While the block runs, SIGINT and SIGTERM end the fit after the current step; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, _: FrameType | None) -> None:
            if self.ranks.notice or self._measuring:
                raise FitInterrupted("stopped at once; repeat the command to go on (fit needs --resume)", number)
            self.ranks.notice = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            self.ranks.notice = self.ranks.noticed = 0
            for number, handler in before.items():
                signal.signal(number, handler)
