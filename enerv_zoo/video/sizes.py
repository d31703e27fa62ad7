"""Sizes of frames: as text WIDTHxHEIGHT, in Python (height, width), and the other values of `resize`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from enerv_zoo.config import size_text
from enerv_zoo.errors import VideoError

Size = tuple[int, int]
"""(height, width) in pixels."""
ResizeOption = str | int | Size
"""Values that `resize` takes; see `parse_resize`."""
LARGEST_SIDE = 65_536
MAX_ASPECT_CHANGE = 1.02
"""A change of the aspect that is noted: 2 %."""
SHORTER_SIDE = 160
"""MS-SSIM needs sides above it, and so a number of pixels leaves the shorter side above it where that is possible."""
MAX_PIXEL_RATIO = 2.0
"""Largest ratio of pixels to those asked for that this floor may cause."""
_STEPS = (20, 18, 16, 12, 10, 8, 6, 4, 2)
"""Divisors of both sides, if the aspect allows: strides of networks divide them then."""

_NAMED = re.compile(r"\s*([0-9]{1,6})\s*[xX]\s*([0-9]{1,6})\s*")
_NUMBER = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})\s*(p|%|MP|)\s*", re.IGNORECASE)
_EXPECTED = "expected WIDTHxHEIGHT in pixels, such as '1280x720', or (height, width)"
_FORMS = (
    "expected WIDTHxHEIGHT such as '1280x720', the shorter side such as '360p', the longer side such as '256', a part "
    "such as '50%' or 'full', or a number of pixels such as '0.5MP'; in Python also (height, width)"
)


def integer(value: object) -> int | None:
    """Return an integer of any kind, such as NumPy's; `None` for anything else, truth values too."""
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def parse_frame_size(text: str) -> Size:
    """`"1280x720"` as (720, 1280): text is WIDTHxHEIGHT, a tuple is (height, width), in pixels.

    Raises:
        VideoError: the text is something else, or a side is 0 or above 65,536.
    """
    match = _NAMED.fullmatch(text)
    if match is None:
        raise VideoError(f"{text!r} is no size; {_EXPECTED}")
    return as_size((int(match[2]), int(match[1])))


def as_size(size: str | Sequence[int]) -> Size:
    """A size (height, width) from what a caller gives: text, or two integers.

    Raises:
        VideoError: it is neither, or a side is 0 or above 65,536.
    """
    if isinstance(size, str):
        return parse_frame_size(size)
    sides = [integer(side) for side in size] if isinstance(size, tuple | list) else []
    height, width = sides if len(sides) == 2 else (None, None)
    if height is None or width is None:
        raise VideoError(f"{size!r} is no size; {_EXPECTED}")
    if not all(1 <= side <= LARGEST_SIDE for side in (height, width)):
        raise VideoError(
            f"{size_text(height, width)} is no size: each side must lie in 1 to {LARGEST_SIDE}; {_EXPECTED}"
        )
    return height, width


@dataclass(frozen=True)
class Resize:
    """A size that depends on the frame's, unless both sides are named.

    Attributes:
        unit: `"named"` for both sides; else what `number` is: `"p"` the shorter side and `""` the longest, in pixels,
            `"%"` a part of each side, `"mp"` a number of megapixels.
        named: (height, width) where both sides are named.
        number: where they are not.
    """

    unit: Literal["named", "p", "%", "mp", ""]
    named: Size | None = None
    number: float = 0.0

    def size(self, height: int, width: int) -> Size:
        """The (height, width) of a frame of height x width, resized.

        Raises:
            VideoError: a side would be above 65,536.
        """
        if self.named is not None:
            return self.named
        if self.unit == "mp":
            return _within(height, width, self.number * 1e6)
        side = {"p": min(height, width), "": max(height, width), "%": 100}[self.unit]
        scaled = (_even(height * self.number / side), _even(width * self.number / side))
        if max(scaled) > LARGEST_SIDE:
            raise VideoError(
                f"a frame of {size_text(height, width)} would become {size_text(*scaled)}; each side must lie in 1 to "
                f"{LARGEST_SIDE}"
            )
        return scaled

    def note(self, height: int, width: int) -> str | None:
        """One line on two named sides that change the aspect of a frame by more than 2 %, else `None`."""
        if self.named is None:
            return None
        change = self.named[1] * height / (self.named[0] * width)
        if 1 / MAX_ASPECT_CHANGE <= change <= MAX_ASPECT_CHANGE:
            return None
        scale = math.sqrt(self.named[0] * self.named[1] / (height * width))
        better = size_text(_even(height * scale), _even(width * scale))
        return (
            f"{size_text(*self.named)} changes the aspect of frames of {size_text(height, width)} (WIDTHxHEIGHT); "
            f"{better} keeps it"
        )


def parse_resize(value: ResizeOption) -> Resize:
    """Read a value of `resize`.

    Args:
        value: `"1280x720"` (WIDTHxHEIGHT) or `(720, 1280)` names both sides. All others keep the aspect, and round
            what is no integer to an even one: `"360p"` is the shorter side, `"256"` or `256` the longest, `"50%"` a
            part of both, `"full"` both as they are, `"0.5MP"` at most about so many megapixels. The last never
            enlarges; it leaves the shorter side above 160 pixels where the frame has as many and that takes no more
            than twice the pixels, and chooses sides that strides of networks divide, as far as the aspect stays within
            1 %.

    Raises:
        VideoError: it is none of these, or a side is 0 or above 65,536.
    """
    if (side := integer(value)) is not None:
        value = str(side)
    if not isinstance(value, str):
        return Resize("named", _as_named(value))
    if value == "full":
        return Resize("%", number=100.0)
    if _NAMED.fullmatch(value):
        return Resize("named", parse_frame_size(value))
    match = _NUMBER.fullmatch(value)
    if match is None or float(match[1]) <= 0:
        raise VideoError(f"{value!r} is no size; {_FORMS}")
    unit, number = match[2].lower(), float(match[1])
    if unit in ("p", "") and not (number.is_integer() and number <= LARGEST_SIDE):
        raise VideoError(f"{value!r} is no size: a side is an integer in 1 to {LARGEST_SIDE}; {_FORMS}")
    return Resize(unit, number=number)  # type: ignore[arg-type]


def _as_named(value: object) -> Size:
    if not isinstance(value, tuple | list):
        raise VideoError(f"{value!r} is no size; {_FORMS}")
    return as_size(value)


def _even(side: float) -> int:
    """A side in pixels: an integer stays, all else becomes the nearest even one, as codecs keep half the colour."""
    return max(round(side), 1) if abs(side - round(side)) < 1e-6 else max(2 * round(side / 2), 1)


def _within(height: int, width: int, pixels: float) -> Size:
    """A size of at most about so many pixels; see `parse_resize`."""
    shorter, longer = sorted((height, width))
    scale = min(math.sqrt(pixels / (height * width)), 1.0)
    floor = SHORTER_SIDE + 2
    raised = shorter * scale < floor <= shorter and floor**2 * longer / shorter <= MAX_PIXEL_RATIO * pixels
    if raised:
        scale = floor / shorter
    if scale == 1.0:
        return height, width
    multiples = next((sides for step in _STEPS if (sides := _in_steps(shorter, longer, scale, step, raised))), None)
    short, long = multiples or (_even(shorter * scale), _even(longer * scale))
    return (short, long) if height <= width else (long, short)


def _in_steps(shorter: int, longer: int, scale: float, step: int, raised: bool) -> Size | None:
    """Both sides as multiples of `step` near a scale, if that keeps aspect (1 %), floor and number of pixels (10 %)."""
    ideal = shorter * scale / step
    short = step * (math.ceil(ideal - 1e-9) if raised else max(round(ideal), 1))
    long = step * round(longer * short / shorter / step)
    if long == 0 or short > shorter or long > longer or (shorter * scale > SHORTER_SIDE >= short):
        return None
    if abs(long * shorter / (short * longer) - 1) > 0.01:
        return None
    surplus = short * long / (shorter * longer * scale**2)
    return (short, long) if 0.9 <= surplus <= 1.1 else None
