"""The rate of a video, or the moments of its frames where the rate varies."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from enerv_zoo.video.source import Moment

_JITTER = 0.05, 1e-3
"""Gaps that differ by less than this part of a frame, and less than these seconds, count as equal: files that were
converted from a format with coarse timestamps carry its rounding."""
MAX_PAUSE = 10.0
"""Seconds between two frames of a recording; beyond, another recording begins (FFmpeg's `dts_delta_threshold`)."""
MAX_OVERLAP = 1.0
"""Seconds by which a clock may go back within one."""


def is_another_clock(step: float) -> bool:
    """Return whether a step of so many seconds, forwards or backwards, leads to a recording with a clock of its own."""
    return not -MAX_OVERLAP < step < MAX_PAUSE


def timing(
    moments: Sequence[Moment], rate: float | None, step: int, tick: float
) -> tuple[float | None, tuple[float, ...] | None]:
    """Return rate and timestamps of the frames that are kept.

    Args:
        moments: when each kept frame is shown, in seconds from anywhere.
        rate: what the source states, in frames per second, before any were left out.
        step: every how many frames one was kept.
        tick: seconds to which the source rounds moments.

    Returns:
        `(fps, None)` for a constant rate, with the stated rate divided by `step` unless the moments contradict it;
        `(average fps, seconds from 0)` for a variable one. Moments that are missing or out of order are not used.
    """
    stated = rate / step if rate else None
    present = [moment for moment in moments if moment is not None]
    if len(present) < 2 or len(present) < len(moments):
        return stated, None
    shifted = [moment - present[0] for moment in present]
    gaps = [later - earlier for earlier, later in pairwise(shifted)]
    if min(gaps) <= 0:
        return stated, None
    mean = shifted[-1] / len(gaps)
    tolerance = 1.01 * max(tick, min(_JITTER[0] * mean, _JITTER[1]))
    if max(gaps) - min(gaps) > tolerance:
        return _plain(1 / mean), tuple(shifted)
    if stated is not None and abs(len(gaps) / stated - shifted[-1]) <= 2 * tolerance:
        return stated, None
    return _plain(1 / mean), None


class SteadyClock:
    """Joins the clocks of recordings that follow each other in one file, each with a clock of its own.

    A step to another clock counts as one more frame, as FFmpeg's tools take it.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._gap = self._offset = 0.0

    def moment(self, moment: Moment) -> Moment:
        """Return when the next frame is shown, in seconds, as if the first clock had gone on."""
        if moment is None:
            return None
        gap = 0.0 if self._last is None else moment - self._last
        if is_another_clock(gap):
            self._offset += self._gap - gap
        else:
            self._gap = gap
        self._last = moment
        return moment + self._offset


def _plain(rate: float) -> float:
    """An integer rate, or one of NTSC's, without the rounding of the timestamps that it was measured by."""
    for candidate in (float(round(rate)), round(rate * 1.001) / 1.001):
        if abs(candidate - rate) < 1e-9 * rate:
            return candidate
    return rate


class DisplayClock:
    """The timestamps of frames in display order, where packets carry those of decoding (as in AVI files).

    Packets whose timestamps only rise, of a codec that reorders, are stamped in decoding order: the n-th frame then has
    the n-th timestamp. In all other files a frame has the timestamp of its own packet.
    """

    def __init__(self) -> None:
        self._queue: deque[int] = deque()
        self._last: int | None = None
        self._rising = True

    def feed(self, pts: int | None) -> None:
        """Take note of the next packet that the decoder gets."""
        self._rising = self._rising and pts is not None and (self._last is None or pts > self._last)
        if pts is not None:
            self._last = pts
            self._queue.append(pts)

    def moment(self, pts: int | None, reorders: bool) -> int | None:
        """Return the timestamp of the next frame that the decoder gives.

        Args:
            pts: the timestamp of its packet.
            reorders: whether the codec decodes frames in another order than it shows them.
        """
        own = self._queue.popleft() if self._queue else None
        return own if self._rising and reorders and own is not None else pts
