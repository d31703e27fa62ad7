"""Which source reads a file."""

from __future__ import annotations

from pathlib import Path

from enerv_zoo.errors import VideoError
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.paths import check_is_file
from enerv_zoo.video.raw import RawVideo
from enerv_zoo.video.source import Source
from enerv_zoo.video.stills import pages_of


def open_file(
    path: Path,
    name: str | None = None,
    square_pixels: bool = False,
    stream: int | None = None,
    yuv: str | None = None,
) -> Source:
    """The source that reads a file.

    Args:
        path: of the file.
        name: what to call the video; by default the file's name without its suffix.
        square_pixels, stream, yuv: as `enerv_zoo.open_video` takes them.

    Raises:
        VideoError: the file cannot be read, or an option does not fit it.
    """
    check_is_file(path)
    if yuv is not None or path.suffix.lower() == ".yuv":
        refuse_options(str(path), stream=stream)
        return RawVideo(path, name, yuv)
    pages = pages_of(path, name)
    if pages is not None:
        refuse_options(str(path), stream=stream)
        return pages
    return VideoFile(path, name, square_pixels, stream)


def check_stream(stream: object) -> int | None:
    """Return the number of a stream, as a caller or a recipe gives it.

    Raises:
        VideoError: it is no integer from 0 on.
    """
    if stream is None or (isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0):
        return stream
    raise VideoError(f"stream {stream!r:.80} is no number of a video stream; expected 0, 1, ...")


def refuse_options(name: str, stream: int | None = None, yuv: str | None = None) -> None:
    """Refuse options that choose within a file, for a source in which there is nothing to choose.

    Raises:
        VideoError: one is given.
    """
    if stream is not None:
        raise VideoError(f"{name}: has no video streams to choose from; leave out stream (--stream)")
    if yuv is not None:
        raise VideoError(f"{name}: is no file of raw video; leave out yuv (--yuv)")
