"""Which source reads a file."""

from __future__ import annotations

from pathlib import Path

from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.paths import check_is_file
from enerv_zoo.video.source import Source
from enerv_zoo.video.stills import pages_of


def open_file(path: Path, name: str | None = None, square_pixels: bool = False) -> Source:
    """The source that reads a file.

    Args:
        path: of the file.
        name: what to call the video; by default the file's name without its suffix.
        square_pixels: as `enerv_zoo.open_video` takes it.

    Raises:
        VideoError: the file cannot be read.
    """
    check_is_file(path)
    return pages_of(path, name) or VideoFile(path, name, square_pixels)
