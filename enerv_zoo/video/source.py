"""Videos in memory (`Video`), and what frames are read from (`Source`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from enerv_zoo.config import SQUARE, VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.video.selection import Selection

Moment = float | None
"""Time at which a frame is shown, in seconds; `None` where the source does not say."""


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
        shape = tuple(self.frames.shape)
        if self.frames.dtype != torch.uint8 or shape != expected:
            raise VideoError(
                f"a Video of {self.frames.dtype} {shape} frames whose info says uint8 {expected}; make the two agree"
            )

    def __len__(self) -> int:
        """The number of frames."""
        return self.info.frames


class Source(ABC):
    """Something that yields frames in order, one at a time.

    Attributes:
        name: of the video.
        count: the number of frames where it is known before reading. A claim: `frames` may yield fewer.
        rate: frames per second, or `None`.
        tick: seconds to which the source rounds its timestamps; 0 where they are exact.
        attribution: who is to be named for it.
    """

    name: str = "video"
    count: int | None = None
    rate: float | None = None
    tick: float = 0.0
    attribution: str | None = None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel over its height, in the frames that this yields."""
        return SQUARE

    @abstractmethod
    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected frames, (H, W, 3) uint8 RGB, and their moments.

        Raises:
            VideoError: the source cannot be read, or the selection reaches beyond it.
        """
