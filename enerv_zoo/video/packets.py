"""Packets of a file: an index of timestamps, seeking by it, and recordings that were joined by `cat`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

MIN_FRAMES_TO_SEEK = 50
"""A selection that begins this many frames into a file looks for a keyframe to begin at."""

ONE_FRAME_PER_PACKET = frozenset(("av1", "ffv1", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "vp9"))
"""Codecs whose every packet is a frame. Others have packets that are never shown (VP8), that say "as before" and are no
frame, or that hold two frames (MPEG-4 Part 2)."""

PAUSE = 1.0
"""Seconds between the timestamps of two recordings that were made one after the other. A shorter gap, of more than a
frame, is one in a recording: packets were lost."""

MAX_REORDERING = 16
"""By how many frames decoding order and display order differ at most, in any codec."""


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Timestamp of each frame of a file, from its packets alone.

    Attributes:
        moments: (N,) int64, ascending: the timestamp of frame i, in the stream's unit. They need not be even, and the
            packets need not come in this order (B-frames). Where a container has no timestamps of display, these are
            of decoding, which are as many and as far apart, but belong to other packets.
        keys: timestamps of the keyframes, ascending.
        packets: how many packets come before each keyframe's.
        trusted: whether timestamps are of display, so that frames can be told by them.
    """

    moments: np.ndarray
    keys: np.ndarray
    packets: np.ndarray
    trusted: bool

    def __len__(self) -> int:
        return len(self.moments)

    def number(self, moment: int | None) -> int | None:
        """The number of the frame with a timestamp, or `None`."""
        if moment is None:
            return None
        place = int(np.searchsorted(self.moments, moment))
        return place if place < len(self.moments) and self.moments[place] == moment else None

    def keyframe_before(self, frame: int) -> tuple[int, int]:
        """Return the timestamp of the last keyframe that is shown no later than a frame, and the packets before it."""
        place = int(np.searchsorted(self.keys, self.moments[frame], side="right")) - 1
        return int(self.keys[place]), int(self.packets[place])

    def verified(self, key: int, frames: Iterable[VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
        """Number frames that were decoded from a keyframe on, up to the first that proves this index wrong.

        The keyframe must come first, be a picture that depends on no other, and be followed by every frame that the
        packets announce, in their order.

        Args:
            key: timestamp of the keyframe.
            frames: in the order in which the decoder gives them. Those shown before the keyframe are left out: they may
                refer to frames that were not decoded.
        """
        first = expected = self.number(key)
        for frame in frames:
            if expected is None or frame.pts is None:
                return
            if expected == first and frame.pts < key:
                continue
            if self.number(frame.pts) != expected:
                return
            if expected == first and not (frame.key_frame and frame.pict_type == PictureType.I):
                return  # such as the begin of an intra refresh, which later frames complete
            yield expected, frame
            expected += 1


def read_index(container: InputContainer, stream: VideoStream) -> FrameIndex | None:
    """Read all packets of a freshly opened file, decoding none; `None` where they do not say which frame is which.

    That is so with packets that have no timestamp, share one, are damaged or are not shown (an edit list), with clocks
    that are set back, and with codecs whose packets are not frames.
    """
    if not _one_frame_per_packet(stream):
        return None
    moments: list[int] = []
    keys: list[tuple[int, int]] = []
    try:
        for packet in container.demux(stream):
            if not packet.size and packet.dts is None:
                break  # the end
            moment = timestamp(packet, container)
            if moment is None or packet.is_corrupt or packet.is_discard or not packet.size:
                return None
            if packet.is_keyframe:
                keys.append((moment, len(moments)))
            moments.append(moment)
    except FFmpegError:
        return None
    as_read = np.array(moments, dtype=np.int64)
    ordered, places = np.unique(as_read, return_inverse=True)
    if not keys or keys[0] != (ordered[0], 0) or len(ordered) != len(moments):
        return None
    if np.abs(places - np.arange(len(places))).max() > MAX_REORDERING:
        return None  # the clock was set back, as between recordings that were joined
    keys.sort()
    # A codec that reorders in a file where nothing is reordered: the timestamps are of decoding, as in AVI files.
    trusted = bool((places[1:] < places[:-1]).any()) or not stream.codec_context.has_b_frames
    return FrameIndex(ordered, np.array([pts for pts, _ in keys]), np.array([place for _, place in keys]), trusted)


def _one_frame_per_packet(stream: VideoStream) -> bool:
    names = (stream.codec_context.name, stream.codec.canonical_name)
    return any(name in ONE_FRAME_PER_PACKET for name in names)


def hides_packets(stream: VideoStream) -> bool:
    """Return whether a stream may reorder frames and have packets that are none: decoding times then say nothing."""
    return bool(stream.codec_context.has_b_frames) and not _one_frame_per_packet(stream)


def timestamp(packet: Packet, container: InputContainer) -> int | None:
    """The timestamp that a container holds for a packet: AVI has none of display, and FFmpeg's guesses may be wrong."""
    return packet.dts if container.format.name == "avi" else packet.pts


def packets_from_key(container: InputContainer, stream: VideoStream, key: int) -> Iterator[Packet]:
    """Yield a file's packets from that of a keyframe on; none where seeking does not reach it.

    Args:
        key: timestamp of the keyframe.
    """
    # Transport and program streams have no index: FFmpeg searches them, and may stop behind the packet.
    early = 1.0 if container.format.name in ("mpegts", "mpeg") and stream.time_base else 0.0
    container.seek(key - round(early / (stream.time_base or 1)), stream=stream)
    began = False
    for packet in container.demux(stream):
        began = began or (packet.pts == key and packet.is_keyframe)
        if began:
            yield packet
        elif packet.dts is None or packet.dts > key:
            return


@lru_cache(maxsize=4)
def _remembered(path: Path, number: int | None, modified: int, size: int) -> list[FrameIndex | None]:
    return []


def remembered(path: Path, number: int | None) -> list[FrameIndex | None]:
    """Return the cached index of a file's stream as it is now: a list, empty before it was read."""
    state = path.stat()
    return _remembered(path.resolve(), number, state.st_mtime_ns, state.st_size)


def recording_begins(marked: Packet, following: Sequence[Packet]) -> bool:
    """Return whether a recording begins behind a packet that FFmpeg marks as incomplete: the count of packets breaks.

    FFmpeg cannot know whether packets were lost there, and marks the last packet that it had read whole. A recording
    begins with a keyframe, and its clock stands elsewhere; or it goes on at once, as between parts of a stream.

    Args:
        marked: the packet that is marked.
        following: the two packets after it, or as many as there are.
    """
    previous = marked
    for packet in following:
        if packet.is_keyframe:
            if packet.dts is None or previous.dts is None or packet.time_base is None:
                return False
            step = packet.dts - previous.dts
            return step <= 1.5 * (previous.duration or 0) or step * packet.time_base > PAUSE
        previous = packet
    return False


def with_next_two(packets: Iterable[Packet]) -> Iterator[tuple[Packet, Sequence[Packet]]]:
    """Yield each packet with the two that follow it, as far as there are any."""
    waiting: deque[Packet] = deque()
    for packet in packets:
        waiting.append(packet)
        if len(waiting) > 2:
            yield waiting.popleft(), waiting
    while waiting:
        yield waiting.popleft(), waiting
