"""Folders of images as videos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from enerv_zoo.errors import VideoError
from enerv_zoo.video.opening import open_file
from enerv_zoo.video.paths import check_is_file, readable
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sizes import Size
from enerv_zoo.video.source import DEFAULT, Moment, ReadOptions, Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".avif", ".heic", ".heif")


def natural_key(name: str) -> list[tuple[int, str]]:
    """A sort key by which `img2` comes before `img10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name.lower())]


class ImageFolder(Source):
    """The images directly in a folder, in natural order of their names, as the frames of a video.

    Args:
        path: of the folder.
        options: of which depth and tone mapping count.
    """

    def __init__(self, path: Path, options: ReadOptions = DEFAULT) -> None:
        try:
            entries = sorted((entry for entry in path.iterdir()), key=lambda e: (natural_key(e.name), e.name))
        except OSError as error:
            raise VideoError(f"{path}: the folder cannot be read ({error.strerror})") from error
        images = [e for e in entries if e.suffix.lower() in SUFFIXES and not e.name.startswith(".")]
        for entry in images:
            if entry.is_symlink() and not entry.exists():
                raise VideoError(f"{entry}: is a link to {entry.readlink()}, which is not there; mend it, or remove it")
            check_is_file(entry)
        self.images = [entry for entry in images if not entry.is_dir()]
        if not self.images:
            legal = ", ".join(suffix[1:] for suffix in SUFFIXES)
            raise VideoError(f"{path}: the folder holds no images ({legal}); give a folder with images or a video file")
        self.path = path
        self._options = ReadOptions(full_depth=options.full_depth, tone_map=options.tone_map)
        self.name = readable(path.resolve().name) or "video"
        self.count = len(self.images)

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected images; see `Source.frames`."""
        selection.check(len(self.images), str(self.path))
        for index in selection.indices(len(self.images)):
            yield self._image(self.images[index], is_first=index == selection.start), None

    def _image(self, path: Path, is_first: bool) -> np.ndarray:
        source = open_file(path, options=self._options)
        self.colour = source.colour if is_first else self.colour
        if source.colour != self.colour:
            names = (str(colour) or "as in HD video" for colour in (source.colour, self.colour))
            raise VideoError(f"{path}: its colours are {next(names)}, those before are {next(names)}; make them alike")
        pictures = source.frames(Selection())
        image = next(pictures)[0]
        if source.count != 1 and next(pictures, None) is not None:
            raise VideoError(
                f"{path}: holds several pictures, a folder takes one from each file; give the file itself to have them "
                "as frames, or leave it out"
            )
        return image


def different_sizes(source: Source, selection: Selection, number: int, first: Size, other: Size) -> VideoError:
    """The error for a frame of another size than the first, once both were cropped and resized.

    Args:
        source: of the frames.
        selection: of its frames.
        number: of the frame among those selected.
        first, other: (height, width) of the first and of that frame.
    """
    names = [f"frame {place}" for place in (selection.start, selection.start + number * selection.step)]
    if isinstance(source, ImageFolder):
        names = [source.images[selection.start + place * selection.step].name for place in (0, number)]
    return VideoError(
        f"{source.name}: images of different sizes: {names[0]} is {first[1]}x{first[0]}, {names[1]} is "
        f"{other[1]}x{other[0]}; bring them to one size, such as with resize='{first[1]}x{first[0]}' (--resize)"
    )
