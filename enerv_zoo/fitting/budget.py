"""Time budget of a fit: what its end takes of it, and how far it is spent."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from enerv_zoo.fitting.pace import seconds_without_core

ENDING_SHARE = 0.25
"""The part of a time budget that evaluating and showing frames may take; of a long video, that is not all of them."""

MAX_LOAD = 3.0
"""Load of the machine that is allowed for at the most: how long a thread waited says little about what comes."""

PICTURES_SECONDS = 2.0
"""Pictures and files at the end of a fit, in seconds of an idle core; most of it loads matplotlib."""

REPORT_SECONDS, REPORT_SECONDS_PER_PIXEL = 1.0, 1.2e-7
"""A report: what it takes in any case, and the three movies of it for each pixel of a frame that it shows."""

SHOWN_FRAMES = 400
"""Frames that a report shows at the most; of more, every n-th."""


@dataclass(frozen=True)
class Ending:
    """Seconds of what follows the last step of a fit.

    Attributes:
        fixed: whatever the number of frames.
        per_frame: evaluation of a frame.
        per_shown: a frame of the report.
    """

    fixed: float = PICTURES_SECONDS
    per_frame: float = 0.0
    per_shown: float = 0.0

    def seconds(self, frames: int) -> float:
        """Return the seconds for so many frames."""
        shown = math.ceil(frames / math.ceil(frames / SHOWN_FRAMES))
        return self.fixed + frames * self.per_frame + shown * self.per_shown


@dataclass(frozen=True)
class TimeBudget:
    """Seconds for the whole of a fit.

    Attributes:
        seconds: in all.
        spent: gone before the first step.
        frames: of the video.
        ending: what follows the last step.
    """

    seconds: float
    spent: float = 0.0
    frames: int = 1
    ending: Ending = field(default_factory=Ending)

    @property
    def measured_every(self) -> int:
        """The n of every n-th frame that there is time to evaluate and to show at the end."""
        share = self.ending.fixed + ENDING_SHARE * self.seconds
        every = 1
        while every < self.frames and self.ending.seconds(math.ceil(self.frames / every)) > share:
            every += 1
        return every

    @property
    def available(self) -> float:
        """Seconds for all that happens from the first step to the last one; 0 or less where nothing is left."""
        return self.seconds - self.spent - self.ending.seconds(math.ceil(self.frames / self.measured_every))

    def progress(self, elapsed: float, steps: float) -> float:
        """Return the fraction of the available time that is over; 1 from where less than half a step is left.

        Args:
            elapsed: seconds since the first step began.
            steps: that were done in it.
        """
        if not steps:
            return 0.0
        return 1.0 if elapsed * (1 + 0.5 / steps) >= self.available else elapsed / self.available


class Clock:
    """Clock of a time budget.

    Args:
        began: when it began, by `time.monotonic()`.
    """

    def __init__(self, began: float) -> None:
        self.began, self._here = began, time.monotonic()
        self._waited = seconds_without_core()

    @property
    def spent(self) -> float:
        """Seconds that are gone."""
        return time.monotonic() - self.began

    @property
    def load(self) -> float:
        """Factor on the time that work takes on an idle machine: 1, or more where threads wait for a core."""
        before, now, seconds = self._waited, seconds_without_core(), time.monotonic() - self._here
        waited = 0.0 if before is None or now is None else now - before
        return min(seconds / max(seconds - waited, 1e-9), MAX_LOAD)
