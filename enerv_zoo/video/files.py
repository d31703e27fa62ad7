"""Video files and stills, decoded by PyAV one frame at a time."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.container import InputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from enerv_zoo.config import HD, SQUARE
from enerv_zoo.errors import VideoError
from enerv_zoo.shell import printable
from enerv_zoo.video import stills
from enerv_zoo.video.colours import UNSPECIFIED, colour_of, has_matrix, picture_of
from enerv_zoo.video.interlacing import deinterlaced, deinterlaced_part
from enerv_zoo.video.packets import (
    MIN_FRAMES_TO_SEEK,
    FrameIndex,
    hides_packets,
    packets_from_key,
    read_index,
    recording_begins,
    remembered,
    timestamp,
    with_next_two,
)
from enerv_zoo.video.paths import check_is_file, readable
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sound import copy_sound
from enerv_zoo.video.source import DEFAULT, Moment, ReadOptions, Source, Span
from enerv_zoo.video.streams import choose_stream, is_picture
from enerv_zoo.video.tags import read_tags
from enerv_zoo.video.timing import DisplayClock, SteadyClock
from enerv_zoo.video.transforms import bounded_aspect, squared

logger = logging.getLogger(__name__)

_NOT_VIDEO = ("tty", "bin", "xbin", "adf", "idf")
"""Demuxers that show text files."""


class VideoFile(Source):
    """A file that PyAV reads. It is opened anew by each call of `frames`, and closed at its end.

    Frames come upright (the display matrix or EXIF orientation is applied), with the pixels that are stored.

    Args:
        path: of the file.
        name: what to call the video; by default the file's name without its suffix.
        options: how to read it: which stream, square pixels, deinterlaced, full depth.

    Raises:
        VideoError: the file is no video, or is damaged so that not a frame can be read.
    """

    def __init__(self, path: Path, name: str | None = None, options: ReadOptions = DEFAULT) -> None:
        self.path = path
        self._is_noted = False
        self.name = name or readable(path.stem)
        with _open(path) as container:
            stream = choose_stream(container, path, options.stream)
            still = self._still = _is_still(container) or is_picture(container, stream)
            # AVI counts chunks that hold no frame.
            rates = (stream.average_rate, stream.guessed_rate)[:: -1 if container.format.name == "avi" else 1]
            rate = None if still else rates[0] or rates[1]
            self.rate = float(rate) if rate else None
            self.tick = float(stream.time_base) if stream.time_base else 0.0
            self._timed = container.format.name != "avi" or not hides_packets(stream)
            self._joined = bool(container.format.flags & Flags.ts_discont.value)  # type: ignore[operator]
            self.count = stream.frames or None
            colour = colour_of(stream, options.matrix)
            self.colour = HD if still and not colour.is_wide else colour
            self._options = options.for_colour(colour)
            self.keeps_depth = bool(self._options.full_depth) and colour.bits > HD.bits
            codec = stream.codec_context
            is_open = options.matrix is None and codec.colorspace == UNSPECIFIED
            self.leaves_matrix_open = not still and is_open and codec.format is not None and has_matrix(codec.format)
            self.tags = read_tags(container)
            aspect = stream.sample_aspect_ratio
            self._aspect = bounded_aspect(Fraction(aspect)) if aspect and aspect > 0 and not still else SQUARE

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected frames; see `Source.frames`."""
        read = 0
        size: tuple[int, int] | None = None
        steady = self.steady_clock()
        for number, frame in self._numbered(selection.start):
            if number >= selection.start:
                size = size or (frame.height, frame.width)
                self._check_size(size, frame, number, selection)
                self._note_interlaced(frame)
            # Not `frame.time`: frames that a decoder held back at a cut have lost their unit.
            moment = steady(None if frame.pts is None or not self._timed else frame.pts * self.tick)
            if selection.wants(number):
                yield self._picture(frame), moment
            read = number + 1
            if selection.ends_at(read):
                return
        selection.check(read, str(self.path))

    def sound_reader(self) -> Callable[[Span], bytes | None]:
        """Return what reads the sound of a part; see `Source.sound_reader`."""
        return functools.partial(_undamaged_sound, self.path)

    def steady_clock(self) -> Callable[[Moment], Moment]:
        """Return what corrects the moments of successive frames where a file may hold several recordings."""
        return SteadyClock().moment if self._joined else lambda moment: moment

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        with _open(self.path) as container:
            yield container, choose_stream(container, self.path, self._options.stream)

    @functools.cached_property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel over its height, in the frames that this yields."""
        if self._options.square_pixels or self._aspect == SQUARE:
            return SQUARE
        first = next((frame for _, frame in self._numbered(0)), None)
        is_turned = first is not None and _upright(np.empty((1, 2, 3), np.uint8), first).shape[0] == 2
        return 1 / self._aspect if is_turned else self._aspect

    def _note_interlaced(self, frame: VideoFrame) -> None:
        if frame.interlaced_frame and self._options.deinterlace is None and not self._is_noted:
            self._is_noted = True
            logger.info(
                "%s: frames are interlaced, so their odd and even rows are of two moments; --deinterlace "
                "(deinterlace=True) makes whole ones, --interlaced (False) takes them as they are",
                printable(str(self.path)),
                extra={"once": True},
            )

    def _check_size(self, size: tuple[int, int], frame: VideoFrame, number: int, selection: Selection) -> None:
        if size != (frame.height, frame.width):
            raise VideoError(
                f"{self.path}: the size changes at frame {number} from {size[1]}x{size[0]} to "
                f"{frame.width}x{frame.height}; frames='{selection.start}:{number}' (--frames) takes the part before, "
                f"'{number}:' the part after"
            )

    def index(self) -> FrameIndex | None:
        """Return the timestamp of each frame, where the file says so; read once, without decoding."""
        if self._still:
            return None
        cached = remembered(self.path, self._options.stream)
        if not cached:
            with self._opened() as (container, stream):
                index = read_index(container, stream)
                is_whole = index is not None and not _ends_early(container, stream, len(index))
                cached.append(index if is_whole else None)
        return cached[0]

    def _numbered(self, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frames with their numbers, from `start` on; from the nearest keyframe where that gives the same."""
        index = self.index() if start >= MIN_FRAMES_TO_SEEK else None
        if index is not None and not (index.trusted and start < len(index)):
            index = None  # all frames are counted
        if index is not None:
            for number, frame in self._from_keyframe(index, start):
                if number >= start:
                    yield number, frame
                    start = number + 1
            if start == len(index):
                return
        with self._opened() as (container, stream):
            frames = self.decode(container, stream, container.demux(stream), clock=DisplayClock())
            frames = deinterlaced(frames) if self._options.deinterlace else frames
            for number, frame in enumerate(frames):
                if number >= start or index is None:
                    yield number, frame

    def _from_keyframe(self, index: FrameIndex, start: int) -> Iterator[tuple[int, VideoFrame]]:
        """Yield frames from the last keyframe before `start` on, with their numbers, as long as these are certain."""
        moment, packets = index.keyframe_before(start - 1 if self._options.deinterlace else start)
        with self._opened() as (container, stream):
            try:
                decoded = self.decode(container, stream, packets_from_key(container, stream, moment), packets)
                numbered = index.verified(moment, decoded)
                yield from deinterlaced_part(numbered, len(index)) if self._options.deinterlace else numbered
            except (FFmpegError, VideoError):
                return  # reading from the start says what is wrong, if it meets it too

    def decode(
        self,
        container: InputContainer,
        stream: VideoStream,
        packets: Iterable[Packet],
        before: int = 0,
        clock: DisplayClock | None = None,
    ) -> Iterator[VideoFrame]:
        """Yield frames up to the end, or up to the first that damage affects and raise there.

        Args:
            packets: of the stream, up to its end.
            before: how many the file has before these.
            clock: corrects the timestamps of frames, from the start of a file on.
        """
        stream.thread_type = "AUTO"
        if self._still and stream.codec_context.name == "mjpeg":
            stream.codec_context.options = {"err_detect": "explode"}  # or half a JPEG would be a picture, grey below
        decoded_until: int | None = None
        read = 0
        try:
            for packet, following in with_next_two(packets):
                last = not packet.size
                if last and packet.dts is not None:
                    continue  # an empty packet stands for a repeated frame; to the decoder it would mean the end
                broken = packet.is_corrupt and not recording_begins(packet, following)
                cut = broken or (last and _ends_early(container, stream, before))
                if clock is not None and not last:
                    clock.feed(timestamp(packet, container))
                for frame in stream.codec_context.decode(None) if cut else packet.decode():
                    # Past a cut the decoder hands out what it held back. Whatever is shown after the last whole packet
                    # was decoded may follow a frame that is missing, and would be counted wrong.
                    late = cut and (frame.pts is None or decoded_until is None or frame.pts > decoded_until)
                    if frame.is_corrupt or late:
                        raise self._damaged(read, stream)
                    if clock is not None:
                        frame.pts = clock.moment(frame.pts, stream.codec_context.has_b_frames)
                    yield frame
                    read += 1
                if cut:
                    raise self._damaged(read, stream)
                before += 1
                decoded_until = packet.dts
        except FFmpegError as error:
            raise self._damaged(read, stream) from error

    def _damaged(self, readable: int, stream: VideoStream) -> VideoError:
        if self._still:
            return _unreadable(self.path, None)
        claimed = f" of {stream.frames}" if stream.frames else ""
        advice = f"frames='0:{readable}' (--frames) takes them" if readable else "get the file again"
        return VideoError(
            f"{self.path}: the file is damaged or truncated: {readable}{claimed} frames are readable; {advice}"
        )

    def _picture(self, frame: VideoFrame) -> np.ndarray:
        try:
            picture = picture_of(frame, self._options)
        except (FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self.path}: pixels of format {frame.format.name} cannot be turned into RGB ({error}); convert the "
                "file, such as with ffmpeg's -vf zscale=matrix=bt709"
            ) from error
        if self._options.square_pixels and self._aspect != SQUARE:
            picture = squared(torch.from_numpy(picture), self._aspect).numpy()
        turned = stills.finished(picture, self.path, self.colour.is_wide) if self._still else None
        return np.ascontiguousarray(_upright(picture, frame) if turned is None else turned)


def _open(path: Path) -> InputContainer:
    check_is_file(path)
    try:
        # The prefix keeps a colon in a name from reading as a protocol, the option a percent sign as a pattern.
        options = {"pattern_type": "none"}
        container = av.open(f"file:{path}", container_options=options, metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error
    if container.format.name in _NOT_VIDEO:
        container.close()
        raise _unreadable(path, None)
    return container


def _undamaged_sound(path: Path, span: Span) -> bytes | None:
    """Return the sound of a part of a file; a damaged one is left out, which is logged."""
    try:
        return copy_sound(path, span)
    except VideoError as error:
        logger.warning("%s: %s; it is left out", printable(str(path)), error)
        return None


def _unreadable(path: Path, error: Exception | None) -> VideoError:
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as reason:
        return VideoError(f"{path}: cannot be read ({reason.strerror})")
    if not head:
        return VideoError(f"{path}: the file is empty; give a video or an image")
    if head[4:8] in (b"ftyp", b"mdat", b"wide"):
        return VideoError(
            f"{path}: unreadable, as it is truncated before its index (moov): 0 frames are readable; get it again"
        )
    why = f" ({error.strerror})" if isinstance(error, OSError | FFmpegError) and error.strerror else ""
    return VideoError(
        f"{path}: not a video or an image, or a damaged one{why}; give an mp4, mkv, webm, avi, gif or png file"
    )


def _is_still(container: InputContainer) -> bool:
    name = container.format.name
    return name.endswith("_pipe") or name.startswith("image2")


def _ends_early(container: InputContainer, stream: VideoStream, packets: int) -> bool:
    """Return whether the file has fewer packets than its index lists.

    That is exact in the mp4 family alone, whose index lists every packet that its edit list leaves. Counts in headers
    are not compared: an edit list, and a frame dropped in an AVI file, make them too large in whole files.
    """
    entries = getattr(stream, "index_entries", None) if "mp4" in container.format.name else None
    return entries is not None and packets < len(entries)


def _upright(picture: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Turn and mirror a picture (H, W, 3) as the frame's display matrix says, in quarter turns."""
    try:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV stumbles over kinds of side data that it has no name for, such as a photo's EXIF block
        return np.rot90(picture, round(frame.rotation / 90))
    if data is None:
        return picture
    # A point (x, y) is shown at (a x + c y, b x + d y), in 16.16 fixed point, y pointing down.
    a, b, _, c, d = np.frombuffer(data, dtype=np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        picture = picture.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return picture[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
