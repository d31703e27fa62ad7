"""What a video is, in memory (`Video`) and on the way there (`Source`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch

from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.video.selection import Selection

Moment = float | None
"""When a frame is shown, in seconds; `None` where the source does not say."""


@dataclass(frozen=True, eq=False)
class Video:
    """Frames and what is known of them.

    Attributes:
        frames: uint8, (N, 3, H, W), RGB, stored channels-last (memory is N, H, W, 3).
        info: size, timing, name and attribution of these frames.
        on_disk: whether the frames are a file that is mapped into memory.
    """

    frames: torch.Tensor
    info: VideoInfo
    on_disk: bool = False

    def __post_init__(self) -> None:
        expected = (self.info.frames, 3, self.info.height, self.info.width)
        if self.frames.dtype != torch.uint8 or tuple(self.frames.shape) != expected:
            found = f"{self.frames.dtype} {tuple(self.frames.shape)}"
            raise VideoError(f"a Video of {found} frames whose info says uint8 {expected}; make the two agree")

    def __len__(self) -> int:
        """The number of frames."""
        return self.info.frames


class Source(Protocol):
    """Something that yields frames in order, one at a time.

    Attributes:
        name: what to call the video.
        count: the number of frames where it is known before reading, else `None`. A claim: `frames` may yield fewer.
        rate: frames per second, or `None`.
        tick: seconds to which the source rounds its timestamps; 0 where they are exact.
        pixel_aspect: of the frames that it yields.
    """

    name: str
    count: int | None
    rate: float | None
    tick: float

    @property
    def pixel_aspect(self) -> Fraction: ...

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected frames, (H, W, 3) uint8 RGB, and their moments.

        Raises:
            VideoError: the source cannot be read, or the selection reaches beyond it.
        """
        ...
