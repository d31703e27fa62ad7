"""The description of a video, and of the part of it that is taken."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, StrictBool

from enerv_zoo.config.colour import HD, Colour
from enerv_zoo.config.ranges import Count, Finite, Positive, Side
from enerv_zoo.errors import ConfigError
from enerv_zoo.options import Option

DEFAULT_FPS = 25.0
"""Frames per second of a video that has no rate of its own."""

SQUARE = Fraction(1)
"""The pixel aspect of square pixels."""
MAX_TERM = 65_535
"""Largest term of a pixel aspect, as in H.264's sequence header."""


def size_text(height: int, width: int) -> str:
    """Format a size for people, WIDTHxHEIGHT: `"1280x720"` of a height of 720 and a width of 1280."""
    return f"{width}x{height}"


def as_pixel_aspect(value: Any) -> Fraction:
    """Return a pixel aspect from a `Fraction`, or from text as ffprobe prints it, such as `"128:117"`.

    Raises:
        ValueError: it is neither, or a term is 0 or above 65,535.
    """
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})", value)) and int(match[2]):
        value = Fraction(int(match[1]), int(match[2]))
    if isinstance(value, Fraction) and 1 <= value.numerator <= MAX_TERM and value.denominator <= MAX_TERM:
        return value
    raise ValueError(f"a pixel aspect is a ratio of 1 to {MAX_TERM} such as '128:117', got {value!r:.80}")


Chapter = tuple[Finite, Finite, Annotated[str, Field(max_length=256)]]


@dataclass(frozen=True)
class Tags:
    """Text that a file carries beside frames and sound, as far as it has any.

    Attributes:
        title: of the video.
        created: when it was recorded, as ISO 8601 text.
        chapters: begin and end in seconds from the first frame, and title, of each.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")  # a later version may say more

    title: Annotated[str, Field(max_length=256)] | None = None
    created: Annotated[str, Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}[0-9T:.Z+ -]{0,30}$")] | None = None
    chapters: Annotated[tuple[Chapter, ...], Field(max_length=1000, fail_fast=True)] = ()

    def within(self, start: float, length: float) -> Tags | None:
        """Return the tags of a part of the video; `None` where there are none.

        Args:
            start: seconds at which it begins.
            length: of the part, in seconds.
        """
        moved = [(max(begin - start, 0.0), min(end - start, length), title) for begin, end, title in self.chapters]
        chapters = tuple((round(begin, 3), round(end, 3), title) for begin, end, title in moved if begin < end)
        part = dataclasses.replace(self, chapters=chapters)
        return None if part == Tags() else part


@dataclass(frozen=True)
class VideoInfo:
    """Description of a video apart from its pixels.

    Attributes:
        frames: number of frames N.
        height, width: in pixels.
        fps: frames per second; `None` where the source has none (a folder, a still).
        timestamps: seconds at which each frame is shown, for a variable frame rate; `None` where it is constant.
        name: what to call the video.
        attribution: who made it and under which licence, where known.
        pixel_aspect: width of a pixel over its height on the screen (the sample aspect ratio); 1 where pixels are
            square, which is not written into files.
        colour: of its frames, and how a file stores them; that of HD video is not written into files.
        tags: title, time of recording and chapters, or `None`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    frames: Count
    height: Side
    width: Side
    fps: Positive | None = None
    timestamps: Annotated[tuple[Finite, ...], Field(fail_fast=True)] | None = None
    name: str = "video"
    attribution: str | None = None
    pixel_aspect: Annotated[Fraction, PlainValidator(as_pixel_aspect)] = SQUARE
    colour: Colour = HD
    tags: Tags | None = None

    def __post_init__(self) -> None:
        if self.timestamps is not None and len(self.timestamps) != self.frames:
            raise ConfigError(f"{len(self.timestamps)} timestamps for {self.frames} frames; one per frame is needed")

    @property
    def size_text(self) -> str:
        """The frames' size for people, WIDTHxHEIGHT."""
        return size_text(self.height, self.width)

    @property
    def pixels(self) -> int:
        """Number of pixels of all frames together."""
        return self.frames * self.height * self.width


@dataclass(frozen=True)
class VideoSelection:
    """Selected part of a video, and its transform; `None` stands for the default of `enerv_zoo.open_video`.

    Attributes:
        frames: which frames, such as 0:53, 10:, ::2 or 5.
        resize: resize frames (antialiased): WIDTHxHEIGHT, or with the aspect kept 360p (the shorter side), 256 (the
            longer), 50%, or 0.5MP (pixels).
        crop: crop frames about the centre, before resizing.
        square_pixels: resample pixels that are not square, or take frames as they are stored.
        stream: which video stream of a file, from 0.
        yuv: format of raw video, such as 1920x1080:yuv420p:50.
        deinterlace: make whole frames of interlaced ones, or take them as they are.
        full_depth: keep colours of more than 8 bits, in twice the memory, or round them to 8.
        matrix: colour matrix of a file that does not say it, or says it wrong, such as bt709.
        tone_map: convert HDR and wide colours to SDR (BT.709), or take them as they are coded.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    frames: Annotated[str | None, Option()] = None
    resize: Annotated[str | int | tuple[int, int] | None, Option(parse=str, metavar="SIZE")] = None
    crop: Annotated[str | tuple[int, int] | None, Option(parse=str, metavar="WIDTHxHEIGHT")] = None
    square_pixels: Annotated[StrictBool | None, Option(flags="--square-pixels/--stored-pixels", default="stored")] = (
        None
    )
    stream: Annotated[Annotated[int, Field(ge=0)] | None, Option(default="the default one, as FFmpeg chooses")] = None
    yuv: Annotated[str | None, Option(metavar="WxH:FORMAT:FPS", default="as the name of a .yuv file says")] = None
    deinterlace: Annotated[
        StrictBool | None, Option(flags="--deinterlace/--interlaced", default="interlaced, with a note")
    ] = None
    full_depth: Annotated[StrictBool | None, Option(flags="--full-depth/--8-bit", default="kept for HDR alone")] = None
    matrix: Annotated[str | None, Option(metavar="NAME", default="as the file says, else BT.601")] = None
    tone_map: Annotated[StrictBool | None, Option(flags="--tone-map/--as-coded", default="as coded")] = None


SELECTION = tuple(each.name for each in dataclasses.fields(VideoSelection))
"""Names of the fields of a selection."""
