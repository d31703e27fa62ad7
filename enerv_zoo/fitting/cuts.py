"""Cuts of a long video into segments: at changes of scene, and by length."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from enerv_zoo.config import DEFAULT_FPS
from enerv_zoo.errors import ConfigError
from enerv_zoo.segmented import Segment

SHORTEST, LONGEST = 2.0, 10.0
"""Seconds of a segment that `auto` aims at. A network of a few frames spends its numbers on little, and one of a long
shot fits all of it worse."""

_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Cutting:
    """Rule for cuts: at scenes, into a number of segments, or into segments of some seconds.

    Attributes:
        scenes: whether changes of scene are looked for.
        count: how many segments, or `None`.
        seconds: the most that a segment lasts, or `None`.
    """

    scenes: bool = False
    count: int | None = None
    seconds: float | None = None


def parse_segments(text: str | int) -> Cutting:
    """`"auto"` (scenes), `"8"` (so many segments of one length), `"10s"`, `"1.5m"` (segments of that length at most).

    Raises:
        ConfigError: it is none of these.
    """
    if text == "auto":
        return Cutting(scenes=True)
    match = re.fullmatch(r"([0-9]{1,6})|([0-9]{0,6}\.?[0-9]+)([smh])", str(text))
    count, number, unit = match.groups() if match else (None, None, None)
    if count and int(count) > 0:
        return Cutting(count=int(count))
    if number and float(number) > 0:
        return Cutting(seconds=float(number) * _SECONDS[unit or "s"])
    raise ConfigError(f"segments are auto, how many (8) or how long (10s, 1.5m), got {text!r:.40}")


def plan_segments(cutting: Cutting, frames: int, fps: float | None, cuts: Sequence[int] = ()) -> list[Segment]:
    """The segments of a video.

    With scenes, a cut is taken if that leaves at least `SHORTEST` seconds on either side; what lasts longer than
    `LONGEST` is cut evenly. So a flash or a short shot stays with what is before it.

    Args:
        cutting: how.
        frames: how many the video has.
        fps: how many a second; 25 where the video does not say.
        cuts: frames with which scenes begin.

    Raises:
        ConfigError: there are more segments than frames.
    """
    rate = fps or DEFAULT_FPS
    if cutting.count is not None:
        if cutting.count > frames:
            raise ConfigError(f"{cutting.count} segments of {frames} frames; give at most as many segments as frames")
        return _evenly(0, frames, cutting.count)
    longest = max(math.floor((cutting.seconds or LONGEST) * rate), 1)
    shortest = max(round(SHORTEST * rate), 1)
    starts = [0]
    for cut in sorted(cuts):
        if cut - starts[-1] >= shortest and frames - cut >= shortest:
            starts.append(cut)
    starts.append(frames)
    pieces = pairwise(starts)
    return [s for start, stop in pieces for s in _evenly(start, stop, math.ceil((stop - start) / longest))]


def _evenly(start: int, stop: int, count: int) -> list[Segment]:
    edges = [start + (stop - start) * i // count for i in range(count + 1)]
    return [Segment(a, b - a) for a, b in pairwise(edges)]
