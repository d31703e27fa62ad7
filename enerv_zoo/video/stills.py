"""Image files by Pillow: their orientation, their pages, and pictures that FFmpeg does not decode right."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tag

from enerv_zoo.errors import VideoError
from enerv_zoo.video.paths import readable
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import Moment, Source

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
_HEIC = {b"heic", b"heix", b"heim", b"heis"}
_SEQUENCES = {b"avis", b"msf1", b"hevc", b"hevx"}
"""Brands of AVIF and HEIF files that hold a video too; those are read by FFmpeg."""
_BY_FFMPEG = range(6)
"""Photometric interpretations of TIFF pages that FFmpeg knows: all up to CMYK, but neither Y'CbCr nor Lab."""
_JPEG = (6, 7)
"""Compressions of TIFF pages by JPEG, whose colours FFmpeg mistakes."""
_REDUCED = 1
"""Bit of a TIFF page's `NewSubfileType`: a thumbnail of another page."""


_DAMAGE = (
    ArithmeticError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""Errors that Pillow raises of damaged files."""


@contextmanager
def _opened(path: Path, kind: str | None = None) -> Iterator[Image.Image | None]:
    """Yield a file as Pillow opens it, without decoding it; `None` where it cannot."""
    open_image = _heif_opener(path) if kind == "heic" else Image.open
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, which are read by FFmpeg, and of damaged metadata
        try:
            image = open_image(path)
        except _DAMAGE:
            yield None
            return
        with image:
            yield image


def _heif_opener(path: Path) -> Callable[[Path], Image.Image]:
    """Return what opens HEIC files. It is not registered with Pillow, which belongs to the host process."""
    try:
        from pi_heif import HeifImageFile
    except ImportError as error:
        raise VideoError(
            f"{path}: HEIC pictures are read by pi-heif, which is not installed; pip install 'enerv-zoo[heic]', or "
            "save the picture as PNG or JPEG"
        ) from error
    return HeifImageFile


def _kind(path: Path) -> str | None:
    """Return which of `"tiff"`, `"webp"`, `"avif"` and `"heic"` a file is, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
            rest = file.read(min(max(int.from_bytes(head[:4], "big") - 12, 0), 1024)) if head[4:8] == b"ftyp" else b""
    except OSError:
        return None  # is reported by the reader that comes next
    if head[:4] in _TIFF:
        return "tiff"
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "webp"
    brands = {head[8:12], *(rest[place : place + 4] for place in range(4, len(rest), 4))}
    if head[4:8] != b"ftyp" or brands & _SEQUENCES:
        return None
    return "avif" if b"avif" in brands else "heic" if brands & _HEIC else None


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
        except _DAMAGE:  # of its metadata
            turn = None
    return picture if turn is None else turn(picture)


def pages_of(path: Path, name: str | None = None) -> Pages | None:
    """Return the pages of a file that FFmpeg takes for one still, or decodes wrong; `None` for any other file.

    Raises:
        VideoError: the file is a HEIC picture and is damaged, or pi-heif is not installed.
    """
    kind = _kind(path)
    if kind is None:
        return None
    with _opened(path, kind) as image, suppress(*_DAMAGE):
        if image is not None:
            return _pages(image, path, name, kind)
    if kind == "heic":  # FFmpeg does not crop such pictures, nor join their tiles
        raise VideoError(f"{path}: the HEIC picture is damaged; get the file again")
    return None  # FFmpeg says what is wrong with it, or reads it all the same


def _pages(image: Image.Image, path: Path, name: str | None, kind: str) -> Pages | None:
    count = getattr(image, "n_frames", 1)
    if kind != "tiff":
        is_read_here = count > 1 or kind != "webp"
        return Pages(path, list(range(count)), name, kind) if is_read_here else None
    numbers, by_pillow = [], False
    for number in range(count):
        image.seek(number)
        tags = getattr(image, "tag_v2", {})
        if not int(tags.get(Tag.NewSubfileType, 0)) & _REDUCED:
            numbers.append(number)
            by_pillow |= tags.get(Tag.PhotometricInterpretation, 1) not in _BY_FFMPEG
            by_pillow |= tags.get(Tag.Compression) in _JPEG or max(tags.get(Tag.BitsPerSample, (1,))) > 16
    return Pages(path, numbers or [0], name, kind) if len(numbers) > 1 or by_pillow else None


class Pages(Source):
    """The pages of a TIFF file, frames of an animated WebP file or pictures of an AVIF or HEIC file, decoded by Pillow.

    Args:
        path: of the file.
        numbers: of the pages, counted from 0.
        name: what to call the video; by default the file's name without its suffix.
        kind: of the file, as `_kind` gives it; each page of a WebP file is shown for a time.
    """

    def __init__(self, path: Path, numbers: list[int], name: str | None, kind: str) -> None:
        self.path = path
        self.name = name or readable(path.stem)
        self.count = len(numbers)
        self._numbers, self._kind, self._animated = numbers, kind, kind == "webp"
        self.tick = 0.001 if self._animated else 0.0
        duration = self._read(numbers[0])[1] if self._animated else 0
        self.rate = 1000 / duration if duration else None

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
        with _opened(self.path, self._kind) as image:
            if image is None:
                raise VideoError(f"{self.path}: the file is damaged, or was changed while it was read; get it again")
            try:
                image.seek(number)
                picture = _pixels(image)
                turn = _TURNS.get(image.getexif().get(Tag.Orientation, 1))
            except _DAMAGE as error:
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
