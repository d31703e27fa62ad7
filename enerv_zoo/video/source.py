"""Videos in memory (`Video`), sources of frames (`Source`), and options of reading them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch

from enerv_zoo.config import HD, MATRICES, SQUARE, Colour, Tags, VideoInfo
from enerv_zoo.display import table, video_rows
from enerv_zoo.errors import VideoError
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sizes import integer

ReadSound = Callable[[], bytes | None]
Moment = float | None
"""Time at which a frame is shown, in seconds; `None` where the source does not say."""


@dataclass(frozen=True)
class Span:
    """Part of a source's time, in its own seconds.

    Attributes:
        zero: when the first frame is shown: second 0 of what is taken.
        start: sound before it is left out, but for the packet that a decoder starts from.
        stop: sound from here on is left out.
    """

    zero: float = 0.0
    start: float = -math.inf
    stop: float = math.inf


@dataclass(frozen=True, eq=False)
class Seen:
    """Part of a video that a fit sees.

    Attributes:
        weights: of pixels, (N or 1, H, W), uint8: 255 is seen, 0 is hidden; `None` where all is seen.
        fitted: the frames that are fitted; `None` for all.
    """

    weights: torch.Tensor | None = None
    fitted: tuple[int, ...] | None = None

    def weights_of(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the weights (B, 1, H, W) of frames."""
        assert self.weights is not None
        return self.weights[[0] * len(indices) if len(self.weights) == 1 else list(indices)][:, None]

    def part(self, frames: range) -> Seen:
        """Return what is seen of a part."""
        places = {frame: place for place, frame in enumerate(frames)}
        fitted = self.fitted and tuple(places[frame] for frame in self.fitted if frame in places)
        whole = self.weights is None or len(self.weights) == 1
        return Seen(self.weights if whole else self.weights_of(frames)[:, 0], fitted)


@dataclass(frozen=True, eq=False)
class Video:
    """Frames and what is known of them.

    Attributes:
        frames: (N, 3, H, W), RGB, stored channels-last (memory is N, H, W, 3): uint8; or, of a source that was opened
            with `full_depth` (HDR is by default) and has more than 8 bits, float16 in [0, 1], exact to 11 bits.
        info: size, timing, name and attribution of these frames.
        on_disk: whether the frames are a file that is mapped into memory.
        read_sound: reads the sound of these frames from their source; `None` where there is none.
        seen: what a fit sees of them; `None` for all.
    """

    frames: torch.Tensor
    info: VideoInfo
    on_disk: bool = False
    read_sound: ReadSound | None = None
    seen: Seen | None = None

    def __post_init__(self) -> None:
        expected = (self.info.frames, 3, self.info.height, self.info.width)
        shape = tuple(self.frames.shape)
        if self.frames.dtype not in (torch.uint8, torch.float16) or shape != expected:
            raise VideoError(
                f"a Video of {self.frames.dtype} {shape} frames whose info says uint8 {expected}; make the two agree"
            )

    def __len__(self) -> int:
        """The number of frames."""
        return self.info.frames

    def __repr__(self) -> str:
        return f"Video({self.info.name!r:.80}, {len(self)} frames of {self.info.size_text})"

    def _repr_html_(self) -> str:
        return table(self.info.name or "Video", video_rows(self.info), self.frames[0])

    def without_sound(self) -> Video:
        """Return the same frames without sound, title, time of recording and chapters."""
        return replace(self, info=replace(self.info, tags=None), read_sound=None)

    @property
    def sound(self) -> bytes | None:
        """Sound of these frames as an MP4 file of its compressed stream; `None` where there is none.

        Raises:
            VideoError: it is damaged.
        """
        return None if self.read_sound is None else self.read_sound()


_NO_CHOICE = {
    "stream": "has no video streams to choose from; leave out stream (--stream)",
    "yuv": "is no file of raw video; leave out yuv (--yuv)",
    "matrix": "is no video file; leave out matrix (--matrix)",
}


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading, as `enerv_zoo.open_video` takes them.

    Raises:
        VideoError: the stream is no integer from 0 on, or the matrix is unknown.
    """

    square_pixels: bool = False
    stream: int | None = None
    yuv: str | None = None
    deinterlace: bool | None = None
    full_depth: bool | None = None
    matrix: str | None = None
    tone_map: bool | None = None

    def __post_init__(self) -> None:
        stream, matrix = self.stream, self.matrix
        if not (stream is None or ((number := integer(stream)) is not None and number >= 0)):
            raise VideoError(f"stream {stream!r:.80} is no number of a video stream; expected 0, 1, ...")
        if not (matrix is None or (isinstance(matrix, str) and matrix in MATRICES)):
            raise VideoError(f"matrix {matrix!r:.80} is no colour matrix; expected one of {', '.join(MATRICES)}")

    def for_colour(self, colour: Colour) -> ReadOptions:
        """Return these options for a source of a colour: HDR keeps its depth unless they say otherwise, and until it
        is SDR."""
        keeps = colour.is_wide if self.tone_map else colour.is_hdr and self.full_depth is None
        return replace(self, full_depth=True) if keeps else self

    def refuse_choice(self, name: str, *options: str) -> None:
        """Refuse options that choose within a file, for a source in which there is nothing to choose.

        Raises:
            VideoError: one is given.
        """
        for option in options:
            if getattr(self, option) is not None:
                raise VideoError(f"{name}: {_NO_CHOICE[option]}")


DEFAULT = ReadOptions()


class Source(ABC):
    """Source that yields frames in order, one at a time.

    Attributes:
        name: of the video.
        count: the number of frames where it is known before reading. A claim: `frames` may yield fewer.
        rate: frames per second, or `None`.
        tick: seconds to which the source rounds its timestamps; 0 where they are exact.
        attribution: who is to be named for it.
        colour: of its frames, and how it stores them.
        leaves_matrix_open: whether it stores Y'CbCr and does not say its matrix.
        tags: what a file says beside frames and sound, in its own seconds, or `None`.
    """

    name: str = "video"
    count: int | None = None
    rate: float | None = None
    tick: float = 0.0
    attribution: str | None = None
    colour: Colour = HD
    leaves_matrix_open: bool = False
    tags: Tags | None = None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel over its height, in the frames that this yields."""
        return SQUARE

    @abstractmethod
    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected frames, (H, W, 3) RGB, and their moments.

        They are uint8; or float in [0, 1] where the source has more than 8 bits and `ReadOptions.full_depth` asks for
        them.

        Raises:
            VideoError: the source cannot be read, or the selection reaches beyond it.
        """

    def sound_reader(self) -> Callable[[Span], bytes | None] | None:
        """Return what reads the sound of a part, as `enerv_zoo.video.sound.copy_sound` does; `None` for none.

        It keeps no frames of the source in memory.
        """
        return None
