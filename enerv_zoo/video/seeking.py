"""Frames in the middle of a file without decoding what is before them: which frame is which, and where to begin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

WORTH = 50
"""A selection that begins this many frames into a file looks for a keyframe to begin at."""

ONE_FRAME_A_PACKET = frozenset(("av1", "ffv1", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "vp9"))
"""Codecs whose every packet is a frame in the containers that carry timestamps. VP8, for one, has packets that are
never shown."""


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Which timestamp each frame of a file has, from its packets alone.

    Attributes:
        moments: (N,) int64, ascending: the timestamp of frame i, in the stream's unit. They need not be even, and the
            packets need not come in this order (B-frames).
        keys: timestamps of the keyframes, ascending.
        packets: how many packets come before each keyframe's.
    """

    moments: np.ndarray
    keys: np.ndarray
    packets: np.ndarray

    def __len__(self) -> int:
        return len(self.moments)

    def number(self, moment: int | None) -> int | None:
        """The number of the frame with a timestamp, or `None`."""
        if moment is None:
            return None
        place = int(np.searchsorted(self.moments, moment))
        return place if place < len(self.moments) and self.moments[place] == moment else None

    def keyframe_before(self, frame: int) -> tuple[int, int]:
        """The timestamp of the last keyframe that is shown no later than a frame, and the packets before it."""
        place = int(np.searchsorted(self.keys, self.moments[frame], side="right")) - 1
        return int(self.keys[place]), int(self.packets[place])


def read_index(container: InputContainer, stream: VideoStream) -> FrameIndex | None:
    """Read all packets of a freshly opened file, decoding none; `None` where they do not say which frame is which.

    That is so with packets that have no timestamp, share one, are damaged or are not shown (an edit list), and with
    codecs whose packets are not frames.
    """
    if stream.codec_context.name not in ONE_FRAME_A_PACKET and stream.codec.canonical_name not in ONE_FRAME_A_PACKET:
        return None
    moments: list[int] = []
    keys: list[tuple[int, int]] = []
    try:
        for packet in container.demux(stream):
            if not packet.size and packet.dts is None:
                break  # the end
            if packet.pts is None or packet.is_corrupt or packet.is_discard or not packet.size:
                return None
            if packet.is_keyframe:
                keys.append((packet.pts, len(moments)))
            moments.append(packet.pts)
    except FFmpegError:
        return None
    ordered = np.array(sorted(set(moments)), dtype=np.int64)
    if not keys or keys[0] != (ordered[0], 0) or len(ordered) != len(moments):
        return None
    keys.sort()
    return FrameIndex(ordered, np.array([pts for pts, _ in keys]), np.array([place for _, place in keys]))


@lru_cache(maxsize=4)
def _remembered(path: Path, modified: int, size: int) -> list[FrameIndex | None]:
    return []


def remembered(path: Path) -> list[FrameIndex | None]:
    """A place to keep the index of a file as it is now: a list that is empty, or holds what was found before."""
    found = path.stat()
    return _remembered(path.resolve(), found.st_mtime_ns, found.st_size)
