"""What Pillow knows of image files: their orientation, their pages, and pictures that FFmpeg does not decode right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as Tag

from enerv_zoo.config import SQUARE
from enerv_zoo.errors import VideoError
from enerv_zoo.video.paths import readable
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import Moment

_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda picture: picture[:, ::-1],
    3: lambda picture: picture[::-1, ::-1],
    4: lambda picture: picture[::-1],
    5: lambda picture: picture.transpose(1, 0, 2),
    6: lambda picture: picture.transpose(1, 0, 2)[:, ::-1],
    7: lambda picture: picture.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda picture: picture.transpose(1, 0, 2)[::-1],
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_YCBCR = 6
_REDUCED = 1
"""Bit of a TIFF page's `NewSubfileType`: a thumbnail of another page."""


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image | None]:
    """A file as Pillow opens it, without decoding it; `None` where it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, which are read by FFmpeg, and of damaged metadata
        try:
            image = Image.open(path)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            yield None
            return
        with image:
            yield image


def upright(picture: np.ndarray, path: Path) -> np.ndarray | None:
    """Turn and mirror a picture (H, W, 3) as the file's EXIF or XMP data say, as `PIL.ImageOps.exif_transpose` does.

    Returns:
        The picture, or `None` where Pillow does not know the file's format.
    """
    with _opened(path) as image:
        if image is None:
            return None
        try:
            turn = _TURNS.get(image.getexif().get(Tag.Orientation, 1))
        except (OSError, SyntaxError, ValueError, TypeError, KeyError):  # damaged metadata
            turn = None
    return picture if turn is None else turn(picture)


def pages_of(path: Path, name: str | None = None) -> Pages | None:
    """The pages of a file that FFmpeg takes for one still, or whose colours it gets wrong; `None` for any other."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return None  # is said by what reads it
    tiff, webp = head[:4] in _TIFF, head[:4] == b"RIFF" and head[8:] == b"WEBP"
    if not (tiff or webp):
        return None
    with _opened(path) as image:
        if image is None:
            return None
        count = getattr(image, "n_frames", 1)
        if webp:
            return Pages(path, list(range(count)), name, animated=True) if count > 1 else None
        numbers, converted = [], False
        for number in range(count):
            image.seek(number)
            tags = getattr(image, "tag_v2", {})
            if not int(tags.get(Tag.NewSubfileType, 0)) & _REDUCED:
                numbers.append(number)
                converted = converted or tags.get(Tag.PhotometricInterpretation) == _YCBCR
        return Pages(path, numbers or [0], name) if len(numbers) > 1 or converted else None


class Pages:
    """The pages of a TIFF file or the frames of an animated WebP file, as the frames of a video, decoded by Pillow.

    Args:
        path: of the file.
        numbers: of the pages, counted from 0.
        name: what to call the video; by default the file's name without its suffix.
        animated: whether each page is shown for a time.
    """

    pixel_aspect: Fraction = SQUARE

    def __init__(self, path: Path, numbers: list[int], name: str | None = None, animated: bool = False) -> None:
        self.path = path
        self.name = name or readable(path.stem)
        self.count: int | None = len(numbers)
        self.tick = 0.001 if animated else 0.0
        self._numbers, self._animated = numbers, animated
        duration = self._read(numbers[0])[1] if animated else 0
        self.rate: float | None = 1000 / duration if duration else None

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected pages; see `Source.frames`."""
        selection.check(len(self._numbers), str(self.path))
        moment = 0.0
        size: tuple[int, ...] | None = None
        for place, number in enumerate(self._numbers[: selection.indices(len(self._numbers)).stop]):
            if not (self._animated or selection.wants(place)):
                continue  # times need the frames before
            picture, duration = self._read(number)
            if selection.wants(place):
                size = size or picture.shape
                if picture.shape != size:
                    raise VideoError(
                        f"{self.path}: page {place} is {picture.shape[1]}x{picture.shape[0]}, those before are "
                        f"{size[1]}x{size[0]}; frames='{selection.start}:{place}' (--frames) takes those"
                    )
                yield picture, moment if self._animated else None
            moment += duration / 1000

    def _read(self, number: int) -> tuple[np.ndarray, float]:
        """A page, upright, and for how many milliseconds it is shown."""
        with _opened(self.path) as image:
            if image is None:
                raise VideoError(f"{self.path}: the file is damaged, or was changed while it was read; get it again")
            try:
                image.seek(number)
                picture = _pixels(image)
                turn = _TURNS.get(image.getexif().get(Tag.Orientation, 1))
            except (OSError, SyntaxError, ValueError, EOFError) as error:
                raise VideoError(f"{self.path}: page {number} cannot be read ({error})") from error
            return np.ascontiguousarray(picture if turn is None else turn(picture)), image.info.get("duration", 0)


def _pixels(image: Image.Image) -> np.ndarray:
    """A page as (H, W, 3) uint8, without its alpha; 16 bits are rounded to 8.

    Raises:
        ValueError: its numbers are of a kind that Pillow would truncate.
    """
    bits = max(getattr(image, "tag_v2", {}).get(Tag.BitsPerSample, (8,)))
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535
        return grey.astype(np.uint8)[..., None].repeat(3, axis=-1)
    if bits > 8 or image.mode in ("I", "F"):
        raise ValueError(f"colours of {bits} bits; save each page in a file of its own, such as a PNG file")
    return np.array(image.convert("RGBA" if "A" in image.getbands() else "RGB"))[..., :3]
