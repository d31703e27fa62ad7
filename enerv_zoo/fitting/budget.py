"""Time budget of a fit: what evaluation and pictures take of it, and how far it is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass

EVALUATION_SHARE = 0.25
"""The part of a time budget that decoding frames for the evaluation may take; of a long video, not all are decoded."""

EVALUATION_SECONDS = 3.0
"""What a time budget keeps for pictures and files at the end, beside the time to decode every frame."""


@dataclass(frozen=True)
class TimeBudget:
    """Seconds for the whole of a fit.

    Attributes:
        seconds: in all.
        spent: gone before the first step.
        frames: of the video.
        is_float32: whether steps compute in float32, as the evaluation does: otherwise that is about twice as slow.
    """

    seconds: float
    spent: float
    frames: int
    is_float32: bool

    def decoding_seconds(self, seconds_per_frame: float) -> float:
        """Estimate how long decoding all frames in float32 takes, as a part of what fitting one takes."""
        return (0.5 if self.is_float32 else 1.0) * self.frames * seconds_per_frame

    def progress(self, seconds: float, frames_fitted: int) -> float:
        """Return the fraction of the time for steps that is over, after steps of so many seconds and frames."""
        if not frames_fitted:
            return 0.0
        decoding = min(self.decoding_seconds(seconds / frames_fitted), EVALUATION_SHARE * self.seconds)
        available = self.seconds - self.spent - EVALUATION_SECONDS - decoding
        return min(seconds / available, 1.0) if available > 0 else 1.0

    def evaluated_frames(self, seconds_per_frame: float) -> str | None:
        """Return which frames there is time to measure at the end, such as `"::2"`; `None` for all."""
        step = math.ceil(self.decoding_seconds(seconds_per_frame) / (EVALUATION_SHARE * self.seconds))
        return f"::{step}" if step > 1 else None
