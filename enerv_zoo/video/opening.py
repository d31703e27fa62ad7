"""Choice of the source that reads a file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from enerv_zoo.errors import VideoError
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.paths import check_is_file
from enerv_zoo.video.raw import RawVideo
from enerv_zoo.video.source import DEFAULT, ReadOptions, Source
from enerv_zoo.video.stills import Pages, pages_of


def open_file(path: Path, name: str | None = None, options: ReadOptions = DEFAULT) -> Source:
    """Return the source that reads a file.

    Args:
        path: of the file.
        name: of the video; by default the file's name without its suffix.
        options: how to read it.

    Raises:
        VideoError: the file cannot be read, or an option does not fit it.
    """
    check_is_file(path)
    is_raw = options.yuv is not None or path.suffix.lower() == ".yuv"
    source = RawVideo(path, name, options) if is_raw else pages_of(path, name, options)
    if source is None:
        return VideoFile(path, name, options)
    options.refuse_choice(str(path), *(("stream",) if is_raw else ("stream", "matrix")))
    return (_deep_picture(source, path, name, options) or source) if isinstance(source, Pages) else source


def _deep_picture(pages: Pages, path: Path, name: str | None, options: ReadOptions) -> VideoFile | None:
    """Return FFmpeg's reader of an AVIF picture of more than 8 bits that are to be kept; Pillow rounds them."""
    if pages.kind == "avif" and pages.count == 1:
        with suppress(VideoError):  # such as of a picture in tiles
            picture = VideoFile(path, name, options)
            return picture if picture.keeps_depth else None
    return None
