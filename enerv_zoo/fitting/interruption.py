"""Interruptions of a fit: a KeyboardInterrupt, signals, and what they leave."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING

from enerv_zoo.errors import FitError
from enerv_zoo.fitting.callbacks import Callback
from enerv_zoo.fitting.checkpoint import Checkpoints
from enerv_zoo.fitting.ranks import RankLost, Ranks
from enerv_zoo.stopping import stops_gracefully

if TYPE_CHECKING:
    from enerv_zoo.fitting.loop import Fitter

logger = logging.getLogger(__name__)


class FitInterrupted(KeyboardInterrupt):
    """A fit was asked to stop, and did so; its message says how to go on.

    Attributes:
        signal: the number of the signal; that of a KeyboardInterrupt is SIGINT.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class Interruption(Callback):
    """Ends a fit that is asked to stop, with a checkpoint where its state is that of a whole step.

    Args:
        checkpoints: that keep the state.
        ranks: the processes; a signal to one of them stops all after the same step.
    """

    def __init__(self, checkpoints: Checkpoints, ranks: Ranks) -> None:
        self._checkpoints, self._ranks = checkpoints, ranks
        self._is_measuring = False

    def on_step(self, fitter: Fitter) -> None:
        """Stop if a signal has come, to whichever process.

        Raises:
            FitInterrupted: it has, and the state is saved.
        """
        if self._ranks.noticed:
            raise FitInterrupted(self._how_to_go_on(), self._ranks.noticed)

    def begin_measuring(self) -> None:
        """Note that all steps are done, and kept; from here on a signal has no step to wait for.

        Raises:
            FitInterrupted: one has come.
        """
        self._is_measuring = True
        if self._ranks.notice and self._ranks.size == 1:
            raise FitInterrupted(self._how_to_go_on(), self._ranks.notice)

    def _how_to_go_on(self) -> str:
        """Save the state, if it is that of a whole step, and say what is kept."""
        fitter = self._checkpoints.fitter
        at = "stopped while the fit was measured" if self._is_measuring else f"stopped in epoch {fitter.current_epoch}"
        if self._checkpoints.folder is None:
            return f"{at}; nothing is kept, as the fit has no folder (out)"
        try:
            is_kept = self._is_measuring or (fitter.is_consistent and self._checkpoints.save())
        except FitError as error:  # it says where the state is instead
            return f"{at}; {error}"
        if is_kept:
            return f"{at}; repeat the command to go on from there (fit needs --resume)"
        return f"{at}; no checkpoint could be written, an older one may be there (fit --resume)"

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Leave a checkpoint where the block ends by an interrupt, by `SystemExit` or by the loss of another process.

        Signals are handled, too, within `enerv_zoo.graceful_stop`.

        Raises:
            FitInterrupted: a KeyboardInterrupt, or a signal.
            FitError: another process of the fit is gone; it says what is kept.
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
        except RankLost as lost:
            raise self._without_a_rank(lost) from lost

    def _without_a_rank(self, lost: RankLost) -> FitError:
        """Say what is kept once another process is gone: the state of the last whole step."""
        if self._checkpoints.folder is None:
            return FitError(f"{lost}; nothing is kept, as the fit has no folder (out)")
        is_kept = self._is_measuring or self._checkpoints.save()  # what is measured may be without its encoder
        outcome = "is kept" if is_kept else "could not be kept, an older checkpoint may be there"
        epoch = self._checkpoints.fitter.current_epoch
        return FitError(f"{lost}; epoch {epoch} {outcome}: go on with fit --resume, on as many as you like")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """End the fit after the current step at SIGINT and SIGTERM; at once at the second one."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, _: FrameType | None) -> None:
            if self._ranks.notice or self._is_measuring:
                raise FitInterrupted("stopped at once; repeat the command to go on (fit needs --resume)", number)
            self._ranks.notice = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            self._ranks.notice = self._ranks.noticed = 0
            for number, handler in before.items():
                signal.signal(number, handler)
