"""Selections of frames: `"0:53"`, `"10:"`, `"::2"`, `"5"` or a slice."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass

from enerv_zoo.errors import VideoError

_NUMBER = r"\s*([0-9]{0,12})\s*"
_PATTERN = re.compile(f"{_NUMBER}(?:(:){_NUMBER}(?::{_NUMBER})?)?")
_EXPECTED = "expected START:STOP, START:STOP:STEP or one index, counted from 0, such as '0:53', '10:', '::2' or '5'"


def parse_frames(text: str) -> slice:
    """A selection of frames from its text form.

    Args:
        text: `START:STOP:STEP` as in a Python slice, every part optional and none negative; or one index.

    Returns:
        A slice; one index `"5"` gives `slice(5, 6, None)`.

    Raises:
        VideoError: the text is something else, or selects nothing.
    """
    match = _PATTERN.fullmatch(text)
    if match is None or (match[2] is None and not match[1]):
        raise VideoError(f"frames {text!r} is no selection of frames; {_EXPECTED}")
    start, stop, step = (int(match[i]) if match[i] else None for i in (1, 3, 4))
    selected = slice(start, stop, step) if match[2] else slice(start, (start or 0) + 1)
    Selection.of(selected)
    return selected


@dataclass(frozen=True)
class Selection:
    """Frames `start`, `start + step`, ... below `stop` (`None`: to the end)."""

    start: int = 0
    stop: int | None = None
    step: int = 1

    @classmethod
    def of(cls, frames: str | slice | None) -> Selection:
        """From what a caller gives: text, a slice, or `None` for all frames.

        Raises:
            VideoError: it is neither, has a negative part or a step of 0, or selects nothing.
        """
        if frames is None:
            return cls()
        if isinstance(frames, str):
            frames = parse_frames(frames)
        if not isinstance(frames, slice):
            raise VideoError(
                f"frames {frames!r} is a {type(frames).__name__}; {_EXPECTED}, as a (quoted) text, or a slice"
            )
        try:
            start = 0 if frames.start is None else operator.index(frames.start)
            stop = None if frames.stop is None else operator.index(frames.stop)
            step = 1 if frames.step is None else operator.index(frames.step)
        except TypeError:
            raise VideoError(f"frames {frames!r} is not made of integers; {_EXPECTED}") from None
        if start < 0 or step < 1 or (stop is not None and stop < 0):
            raise VideoError(f"frames {_text(start, stop, step)!r} has a negative part or a step below 1; {_EXPECTED}")
        if stop is not None and stop <= start:
            raise VideoError(
                f"frames {_text(start, stop, step)!r} selects no frame; the stop must lie beyond the start"
            )
        return cls(start, stop, step)

    def __str__(self) -> str:
        """Return it as text, as `of` takes it."""
        return _text(self.start, self.stop, self.step)

    def wants(self, index: int) -> bool:
        """Return whether frame `index` is selected."""
        inside = self.start <= index and (self.stop is None or index < self.stop)
        return inside and (index - self.start) % self.step == 0

    def ends_at(self, read: int) -> bool:
        """Return whether nothing more is needed once `read` frames have been read."""
        return self.stop is not None and read >= self.stop

    def indices(self, total: int) -> range:
        """The selected indices in a video of `total` frames; `check` it first."""
        return range(self.start, total if self.stop is None else min(self.stop, total), self.step)

    def check(self, total: int, name: str) -> None:
        """Refuse a selection that reaches beyond a video of `total` frames.

        Raises:
            VideoError: the start or the stop lies beyond the last frame, or there is no frame at all.
        """
        if total == 0:
            raise VideoError(f"{name} has no frames; give a video with at least one")
        if self.start >= total or (self.stop is not None and self.stop > total):
            raise VideoError(
                f"frames {_text(self.start, self.stop, self.step)!r} reaches beyond {name}, which has {total} "
                f"frame{'s' if total > 1 else ''}; choose within '0:{total}'"
            )


def _text(start: int, stop: int | None, step: int) -> str:
    return f"{start}:{'' if stop is None else stop}" + (f":{step}" if step != 1 else "")
