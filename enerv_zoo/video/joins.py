"""Recordings that were joined by `cat`: a break in the count of transport packets that is no loss."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from av.packet import Packet

PAUSE = 1.0
"""Seconds between the timestamps of two recordings that were made one after the other. A shorter gap, of more than a
frame, is one in a recording: packets were lost."""


def recording_begins(marked: Packet, following: Sequence[Packet]) -> bool:
    """Whether a recording begins behind a packet that FFmpeg marks as incomplete, as the count of packets breaks.

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
