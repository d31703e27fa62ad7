"""Interlaced frames, whose odd and even rows are of two moments, made whole by FFmpeg's bwdif."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.error import BlockingIOError, EOFError
from av.filter import Graph
from av.video.frame import VideoFrame

from enerv_zoo.errors import VideoError


def deinterlaced(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield as many frames, of which the interlaced ones have the rows of one moment and others in between.

    Args:
        frames: of a file, from its start on: each is made with the ones before and after it.

    Raises:
        VideoError: `frames` raises it; those before it are yielded first.
    """
    graph, form = None, None
    moments: deque[int | None] = deque()  # the filter counts in another unit
    failure: VideoError | None = None
    following = iter(frames)
    while True:
        try:
            frame = next(following, None)
        except VideoError as error:
            frame, failure = None, error
        if graph is not None and (frame is None or form != (frame.width, frame.height, frame.format.name)):
            graph.vpush(None)
            yield from _pulled(graph, moments)
            graph = None
        if frame is None:
            break
        if graph is None:
            graph, form = _bwdif(frame), (frame.width, frame.height, frame.format.name)
        moments.append(frame.pts)
        graph.vpush(frame)
        yield from _pulled(graph, moments)
    if failure is not None:
        raise failure


def deinterlaced_part(numbered: Iterable[tuple[int, VideoFrame]], total: int) -> Iterator[tuple[int, VideoFrame]]:
    """Yield numbered frames from the middle of a file as `deinterlaced` makes them of the whole.

    Args:
        numbered: successive frames; the first is needed for the second, and not made right itself.
        total: how many the file has. If they end before, the last one is not yielded, as it needs the next.
    """
    numbers: deque[int] = deque()

    def frames() -> Iterator[VideoFrame]:
        for number, frame in numbered:
            numbers.append(number)
            yield frame

    for frame in deinterlaced(frames()):
        number = numbers.popleft()
        if numbers or number == total - 1:
            yield number, frame


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    return graph


def _pulled(graph: Graph, moments: deque[int | None]) -> Iterator[VideoFrame]:
    while True:
        try:
            frame = graph.vpull()
        except (BlockingIOError, EOFError):
            return
        frame.pts = moments.popleft()
        yield frame
