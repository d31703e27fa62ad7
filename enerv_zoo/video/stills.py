"""Image files by Pillow: their orientation, their pages, and pictures that FFmpeg does not decode right."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tag

from enerv_zoo.config import HD
from enerv_zoo.errors import VideoError
from enerv_zoo.video.colours import stated_colour, to_bytes
from enerv_zoo.video.paths import readable
from enerv_zoo.video.profiles import DAMAGE, in_srgb
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import DEFAULT, Moment, ReadOptions, Source

logger = logging.getLogger(__name__)

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
_MASK = 4
"""Photometric interpretation of a page that says where another one counts."""
_REDUCED = 1
"""Bit of a TIFF page's `NewSubfileType`: a thumbnail of another page."""


@contextmanager
def _opened(path: Path, kind: str | None = None) -> Iterator[Image.Image | None]:
    """Yield a file as Pillow opens it, without decoding it; `None` where it cannot."""
    open_image = _heif_opener(path) if kind == "heic" else Image.open
    try:
        with _quiet():
            image = open_image(path)
    except DAMAGE:
        yield None
        return
    with image:
        yield image


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without warnings of large pictures, which are read by FFmpeg, and of damaged metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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


def finished(picture: np.ndarray, path: Path, is_wide: bool) -> np.ndarray | None:
    """Return a picture (H, W, 3) in the colours of sRGB, and upright.

    Args:
        picture: as FFmpeg decodes it.
        path: of its file, whose profile says its colours, and whose EXIF or XMP data how it is turned and mirrored.
        is_wide: whether the file names its primaries and its transfer, which then count, and not its profile.

    Returns:
        The picture, or `None` where Pillow does not know the file's format.

    Raises:
        VideoError: it has more than 8 bits, and a profile of tables.
    """
    with _opened(path) as image, _quiet():
        if image is None:
            return None
        picture = picture if is_wide else in_srgb(picture, image, path)
        try:
            turn = _TURNS.get(image.getexif().get(Tag.Orientation, 1))
        except DAMAGE:  # of its metadata
            turn = None
    return picture if turn is None else turn(picture)


def pages_of(path: Path, name: str | None = None, options: ReadOptions = DEFAULT) -> Pages | None:
    """Return the pages of a file that FFmpeg takes for one still, or decodes wrong; `None` for any other file.

    Raises:
        VideoError: the file is a HEIC picture and is damaged, or pi-heif is not installed; or a TIFF file that ends
            within its pages.
    """
    kind = _kind(path)
    if kind is None:
        return None
    with _opened(path, kind) as image, _quiet():
        try:
            if image is not None:
                return _pages(image, path, name, kind, options)
        except DAMAGE as error:
            if kind == "tiff":  # FFmpeg would read the first page alone, which is whole
                raise VideoError(
                    f"{path}: pages after the first cannot be read ({error}); get the file again"
                ) from error
    if kind == "heic":  # FFmpeg does not crop such pictures, nor join their tiles
        raise VideoError(f"{path}: the HEIC picture is damaged; get the file again")
    return None  # FFmpeg says what is wrong with it, or reads it all the same


def _pages(image: Image.Image, path: Path, name: str | None, kind: str, options: ReadOptions) -> Pages | None:
    if kind != "tiff":
        count = getattr(image, "n_frames", 1)
        if count == 1 and kind == "webp":
            return None
        pages = Pages(path, list(range(count)), name, kind, options)
        if kind == "heic":
            pages.keep_depth(image.info)
        return pages
    numbers, by_pillow = [], False
    for number in itertools.count():
        try:
            image.seek(number)
        except EOFError:
            break
        except (LookupError, SyntaxError):
            tags = getattr(image, "tag_v2", {})
            if not int(tags.get(Tag.NewSubfileType, 0)) and tags.get(Tag.PhotometricInterpretation) != _MASK:
                raise  # a page that counts is damaged
            logger.warning("%s: page %d is left out, a mask or a thumbnail of a kind that is not read", path, number)
            continue
        tags = getattr(image, "tag_v2", {})
        if not int(tags.get(Tag.NewSubfileType, 0)) & _REDUCED:
            numbers.append(number)
            by_pillow |= tags.get(Tag.PhotometricInterpretation, 1) not in _BY_FFMPEG
            by_pillow |= tags.get(Tag.Compression) in _JPEG or max(tags.get(Tag.BitsPerSample, (1,))) > 16
    return Pages(path, numbers or [0], name, kind, options) if len(numbers) > 1 or by_pillow else None


class Pages(Source):
    """The pages of a TIFF file, frames of an animated WebP file or pictures of an AVIF or HEIC file, decoded by Pillow.

    Args:
        path: of the file.
        numbers: of the pages, counted from 0.
        name: what to call the video; by default the file's name without its suffix.
        kind: of the file, as `_kind` gives it; each page of a WebP file is shown for a time.
        options: of which the depth counts.
    """

    def __init__(self, path: Path, numbers: list[int], name: str | None, kind: str, options: ReadOptions) -> None:
        self.path, self._options = path, options
        self.name = name or readable(path.stem)
        self.count = len(numbers)
        self._numbers, self.kind, self._animated = numbers, kind, kind == "webp"
        self._deep: int | None = None
        self.tick = 0.001 if self._animated else 0.0
        self.rate = None
        if self._animated:
            with self._image() as image:
                duration = self._read(image, numbers[0])[1]
            self.rate = 1000 / duration if duration else None

    def keep_depth(self, info: Mapping[Any, Any]) -> None:
        """Note the colour and the depth of a HEIC picture, whose `info` is as pi-heif gives it."""
        numbers = info.get("nclx_profile") or {}
        primaries, transfer = numbers.get("color_primaries"), numbers.get("transfer_characteristics")
        colour = stated_colour(primaries, transfer, None, False, info.get("bit_depth", HD.bits))
        self.colour = colour if colour.is_wide else HD
        self._deep = colour.bits if colour.bits > HD.bits and self._options.for_colour(colour).full_depth else None

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected pages; see `Source.frames`."""
        selection.check(len(self._numbers), str(self.path))
        moment = 0.0
        size: tuple[int, ...] | None = None
        with self._image() as image:  # once: each page is found from the one before
            for place, number in enumerate(self._numbers[: selection.indices(len(self._numbers)).stop]):
                if not (self._animated or selection.wants(place)):
                    continue  # times need the frames before
                picture, duration = self._read(image, number)
                if selection.wants(place):
                    size = size or picture.shape
                    if picture.shape != size:
                        raise VideoError(
                            f"{self.path}: page {place} is {picture.shape[1]}x{picture.shape[0]}, those before are "
                            f"{size[1]}x{size[0]}; frames='{selection.start}:{place}' (--frames) takes those"
                        )
                    yield picture, moment if self._animated else None
                moment += duration / 1000

    @contextmanager
    def _image(self) -> Iterator[Image.Image]:
        with _opened(self.path, self.kind) as image:
            if image is None:
                raise VideoError(f"{self.path}: the file is damaged, or was changed while it was read; get it again")
            yield image

    def _read(self, image: Image.Image, number: int) -> tuple[np.ndarray, float]:
        """A page, upright, and for how many milliseconds it is shown."""
        full_depth, deep = bool(self._options.full_depth), self._deep
        try:
            with _quiet():
                if self.kind == "tiff" and number != image.tell():
                    image.info.pop("icc_profile", None)  # of the page before
                image.seek(number)
                picture = _pixels(image, full_depth) if deep is None else _deep_pixels(self.path, number, deep)
                picture = picture if self.colour.is_wide else in_srgb(picture, image, self.path)
                turn = _TURNS.get(image.getexif().get(Tag.Orientation, 1))
        except DAMAGE as error:
            raise VideoError(f"{self.path}: page {number} cannot be read ({error})") from error
        return np.ascontiguousarray(picture if turn is None else turn(picture)), image.info.get("duration", 0)


def _deep_pixels(path: Path, number: int, bits: int) -> np.ndarray:
    """A HEIC picture as (H, W, 3), float32 in [0, 1], without its alpha."""
    import pi_heif

    picture = np.asarray(pi_heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)[number])
    picture = picture[..., :3] if picture.ndim == 3 else picture[..., None].repeat(3, axis=-1)
    return picture.astype(np.float32) / np.float32(2**bits - 1)


def _pixels(image: Image.Image, full_depth: bool) -> np.ndarray:
    """A page as (H, W, 3) uint8, without its alpha; grey of 16 bits is rounded to 8, or float32 in [0, 1].

    Raises:
        ValueError: its numbers are of a kind that Pillow would truncate.
    """
    tags = getattr(image, "tag_v2", {})
    bits = max(tags.get(Tag.BitsPerSample, (8,)))
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.float32) / np.float32(2**bits - 1 if bits == 12 else 65535)
        grey = 1 - grey if tags.get(Tag.PhotometricInterpretation) == 0 else grey  # white is 0
        return (grey if full_depth else to_bytes(grey))[..., None].repeat(3, axis=-1)
    if bits > 8 or image.mode in ("I", "F"):
        raise ValueError(f"colours of {bits} bits; save each page in a file of its own, such as a PNG file")
    return np.array(image.convert("RGBA" if "A" in image.getbands() else "RGB"))[..., :3]
