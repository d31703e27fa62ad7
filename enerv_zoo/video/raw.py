"""Raw `.yuv` files, as test sequences come: pixels alone, with size, format and rate in the name or in an option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.format import VideoFormat

from enerv_zoo.config import HD, Colour
from enerv_zoo.errors import VideoError
from enerv_zoo.video.colours import has_matrix, picture_of
from enerv_zoo.video.paths import readable
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import DEFAULT, Moment, ReadOptions, Source

_NOTATION = re.compile(
    r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})(?::([A-Za-z0-9]*)(?::([0-9]+(?:\.[0-9]+)?|[0-9]+/[0-9]+))?)?"
)
_EXPECTED = "expected WIDTHxHEIGHT:FORMAT:FPS, such as 1920x1080:yuv420p:50, or 1920x1080 alone"
_SIZES = {"qcif": "176x144", "cif": "352x288", "4cif": "704x576", "qvga": "320x240", "vga": "640x480"}


@dataclass(frozen=True)
class RawFormat:
    """Size, pixel format and rate, which a raw file does not hold.

    Attributes:
        width, height: of its frames, in pixels.
        pix_fmt: FFmpeg's name of how pixels lie in it.
        rate: frames per second, or `None`.
    """

    width: int
    height: int
    pix_fmt: str = "yuv420p"
    rate: Fraction | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes per frame."""
        form = VideoFormat(self.pix_fmt, self.width, self.height)
        if form.is_rgb and not form.is_planar:  # which may have bits that are of no colour, or share bytes
            return self.width * self.height * form.padded_bits_per_pixel // 8
        parts = form.components
        return sum(part.width * part.height * ((part.bits + 7) // 8) for part in parts)


def parse_raw_format(text: str) -> RawFormat:
    """Read a format from `"WIDTHxHEIGHT:FORMAT:FPS"`; FORMAT is yuv420p where it is left out.

    Raises:
        VideoError: the text is something else.
    """
    match = _NOTATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise VideoError(f"yuv {text!r:.80} is no format of raw video; {_EXPECTED}")
    try:
        rate = Fraction(match[4]) if match[4] else None
        VideoFormat(match[3] or "yuv420p")
    except (ValueError, ZeroDivisionError) as error:
        raise VideoError(f"yuv {text!r:.80} is no format of raw video ({error}); {_EXPECTED}") from error
    if rate == 0:
        raise VideoError(f"yuv {text!r:.80}: the rate must be above 0; {_EXPECTED}")
    return RawFormat(int(match[1]), int(match[2]), match[3] or "yuv420p", rate)


def format_of_name(name: str) -> RawFormat | None:
    """Read the format from a file's name; `None` where it has no size. Of 4:2:0 and 8 bits unless it says otherwise.

    Names are such as `Beauty_1920x1080_120fps_420_8bit_YUV.yuv`, `BQMall_832x480_60.yuv` or `foreman_cif.yuv`.
    """
    text = name.lower()
    for word, size in _SIZES.items():
        text = re.sub(rf"(?<![0-9a-z]){word}(?![0-9a-z])", size, text)
    size_at = re.search(r"(?<![0-9])([1-9][0-9]{1,4})x([1-9][0-9]{1,4})(?![0-9])", text)
    if size_at is None:
        return None
    width, height = int(size_at[1]), int(size_at[2])
    rest = text[size_at.end() :]
    planes = re.search(r"(?<![0-9a-z])(?:yuv)?(4(?:20|22|44)p)(1[0-6])?(le|be)?(?![0-9a-z])", text)
    chroma = re.search(r"(?<![0-9])(420|422|444)(?![0-9])", text[: size_at.start()] + " " + rest)
    bits = re.search(r"(?<![0-9])(8|10|12)[ _-]?b(?:its?)?(?![0-9a-z])", text)
    rate = re.search(r"(?<![0-9.])([0-9]{1,3}(?:\.[0-9]+)?)[ _-]?(?:fps|hz)(?![a-z])", text)
    rate = rate or re.match(r"[ _-]+([0-9]{2,3}(?:\.[0-9]+)?)p?(?=[ _.-]|$)(?<!420)(?<!422)(?<!444)", rest)
    fps = Fraction(rate[1]) if rate and float(rate[1]) > 0 else None
    if planes:
        pix_fmt = f"yuv{planes[1]}{planes[2] or ''}{planes[3] or 'le' if planes[2] else ''}"
    else:  # 8 bits unless the name says more: any file of 10 bits is as long as one of 8 with twice the frames
        depth = f"{bits[1]}le" if bits and bits[1] != "8" else ""
        pix_fmt = f"yuv{chroma[1] if chroma else 420}p{depth}"
    return RawFormat(width, height, pix_fmt, fps)


class RawVideo(Source):
    """A file of raw frames, one after the other.

    Args:
        path: of the file.
        name: what to call the video; by default the file's name without its suffix.
        options: its format, by default what the file's name says; its matrix, by default BT.601; full depth.

    Raises:
        VideoError: the format is unknown, or the file is not so many whole frames of it.
    """

    def __init__(self, path: Path, name: str | None = None, options: ReadOptions = DEFAULT) -> None:
        self.path = path
        self.name = name or readable(path.stem)
        self._bytes = path.stat().st_size
        each = format_of_name(path.stem) if options.yuv is None else parse_raw_format(options.yuv)
        if each is None:
            raise VideoError(
                f"{path}: raw video does not say its size; give it with yuv='1920x1080:yuv420p:50' (--yuv), or in the "
                "file's name, such as clip_1920x1080_50fps_420_8bit.yuv"
            )
        if self._bytes == 0 or self._bytes % each.frame_bytes:
            raise VideoError(
                f"{path}: its {self._bytes:,} bytes are not a number of frames of {each.width}x{each.height} "
                f"{each.pix_fmt} ({each.frame_bytes:,} bytes each); give the right format with yuv (--yuv), or get the "
                "file again"
            )
        self._format = each
        self._options = options
        form = VideoFormat(each.pix_fmt)
        bits = max(part.bits for part in form.components)
        self.leaves_matrix_open = options.matrix is None and has_matrix(form)
        self.colour = Colour(matrix=options.matrix or HD.matrix, bits=min(max(bits, HD.bits), 16))
        self.count = self._bytes // self._format.frame_bytes
        self.rate = None if self._format.rate is None else float(self._format.rate)

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected frames; see `Source.frames`."""
        assert self.count is not None
        selection.check(self.count, str(self.path))
        each = self._format
        options = {"video_size": f"{each.width}x{each.height}", "pixel_format": each.pix_fmt}
        address = f"subfile,,start,{selection.start * each.frame_bytes},end,{self._bytes},,:file:{self.path}"
        indices = selection.indices(self.count)
        try:
            with av.open(address, format="rawvideo", options=options) as container:
                for number, frame in enumerate(container.decode(video=0), selection.start):
                    if number in indices:
                        yield picture_of(frame, self._options), None
                    if number == indices[-1]:
                        return
        except (FFmpegError, ValueError) as error:
            raise VideoError(f"{self.path}: frames of format {each.pix_fmt} cannot be read ({error})") from error
        raise VideoError(f"{self.path}: the file was changed while it was read; read it again")
