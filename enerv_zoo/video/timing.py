"""The rate of a video, or the moments of its frames where the rate varies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from enerv_zoo.video.source import Moment

_JITTER = 0.05, 1e-3
"""Gaps that differ by less than this part of a frame, and less than these seconds, count as equal: files that were
converted from a format with coarse timestamps carry its rounding."""


def timing(
    moments: Sequence[Moment], rate: float | None, step: int, tick: float
) -> tuple[float | None, tuple[float, ...] | None]:
    """Rate and timestamps of the kept frames.

    Args:
        moments: when each kept frame is shown, in seconds from anywhere.
        rate: what the source states, in frames a second, before any were left out.
        step: every how many frames one was kept.
        tick: seconds to which the source rounds moments.

    Returns:
        `(fps, None)` for a constant rate, with the stated rate divided by `step` unless the moments contradict it;
        `(average fps, seconds from 0)` for a variable one. Moments that are missing or out of order are not used.
    """
    stated = rate / step if rate else None
    known = [moment for moment in moments if moment is not None]
    if len(known) < 2 or len(known) < len(moments):
        return stated, None
    shifted = [moment - known[0] for moment in known]
    gaps = [later - earlier for earlier, later in pairwise(shifted)]
    if min(gaps) <= 0:
        return stated, None
    mean = shifted[-1] / len(gaps)
    tolerance = 1.01 * max(tick, min(_JITTER[0] * mean, _JITTER[1]))
    if max(gaps) - min(gaps) > tolerance:
        return 1 / mean, tuple(shifted)
    if stated is not None and abs(len(gaps) / stated - shifted[-1]) <= 2 * tolerance:
        return stated, None
    return 1 / mean, None
