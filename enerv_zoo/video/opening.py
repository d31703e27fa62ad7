"""Choice of the source that reads a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enerv_zoo.errors import VideoError
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.paths import check_is_file
from enerv_zoo.video.raw import RawVideo
from enerv_zoo.video.source import Source
from enerv_zoo.video.stills import pages_of

_NO_CHOICE = {
    "stream": "has no video streams to choose from; leave out stream (--stream)",
    "yuv": "is no file of raw video; leave out yuv (--yuv)",
}


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading, as `enerv_zoo.open_video` takes them.

    Raises:
        VideoError: the stream is no integer from 0 on.
    """

    square_pixels: bool = False
    stream: int | None = None
    yuv: str | None = None
    deinterlace: bool | None = None

    def __post_init__(self) -> None:
        check_stream(self.stream)

    def refuse_choice(self, name: str, *options: str) -> None:
        """Refuse options that choose within a file, for a source in which there is nothing to choose.

        Raises:
            VideoError: one is given.
        """
        for option in options:
            if getattr(self, option) is not None:
                raise VideoError(f"{name}: {_NO_CHOICE[option]}")


def open_file(path: Path, name: str | None = None, options: ReadOptions | None = None) -> Source:
    """Return the source that reads a file.

    Args:
        path: of the file.
        name: of the video; by default the file's name without its suffix.
        options: how to read it.

    Raises:
        VideoError: the file cannot be read, or an option does not fit it.
    """
    options = options or ReadOptions()
    check_is_file(path)
    is_raw = options.yuv is not None or path.suffix.lower() == ".yuv"
    source = RawVideo(path, name, options.yuv) if is_raw else pages_of(path, name)
    if source is None:
        return VideoFile(path, name, options.square_pixels, options.stream, options.deinterlace)
    options.refuse_choice(str(path), "stream")
    return source


def check_stream(stream: object) -> int | None:
    """Return the number of a stream, as a caller or a recipe gives it.

    Raises:
        VideoError: it is no integer from 0 on.
    """
    if stream is None or (isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0):
        return stream
    raise VideoError(f"stream {stream!r:.80} is no number of a video stream; expected 0, 1, ...")
