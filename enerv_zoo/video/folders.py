"""Folders of images as videos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from enerv_zoo.config import SQUARE
from enerv_zoo.errors import VideoError
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import Moment

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


def natural_key(name: str) -> list[tuple[int, str]]:
    """A sort key by which `img2` comes before `img10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name.lower())]


class ImageFolder:
    """The images directly in a folder, in natural order of their names, as the frames of a video."""

    rate: float | None = None
    tick: float = 0.0
    pixel_aspect: Fraction = SQUARE

    def __init__(self, path: Path) -> None:
        try:
            entries = sorted((entry for entry in path.iterdir()), key=lambda e: (natural_key(e.name), e.name))
        except OSError as error:
            raise VideoError(f"{path}: the folder cannot be read ({error.strerror})") from error
        self.images = [
            entry
            for entry in entries
            if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and entry.is_file()
        ]
        if not self.images:
            legal = ", ".join(suffix[1:] for suffix in SUFFIXES)
            raise VideoError(f"{path}: the folder holds no images ({legal}); give a folder with images or a video file")
        self.path = path
        self.name = path.resolve().name or "video"
        self.count: int | None = len(self.images)

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected images; see `Source.frames`."""
        selection.check(len(self.images), str(self.path))
        first: tuple[Path, tuple[int, ...]] | None = None
        for index in selection.indices(len(self.images)):
            path = self.images[index]
            image = next(VideoFile(path).frames(Selection(0, 1)))[0]
            first = first or (path, image.shape)
            if image.shape != first[1]:
                raise VideoError(
                    f"{self.path}: images of different sizes: {first[0].name} is {first[1][0]}x{first[1][1]}, "
                    f"{path.name} is {image.shape[0]}x{image.shape[1]} (height x width); bring them to one size"
                )
            yield image, None
