"""Colour profiles (ICC) of pictures, whose colours are converted to sRGB."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from enerv_zoo.errors import VideoError
from enerv_zoo.shell import printable

logger = logging.getLogger(__name__)

ROUNDING = 3
"""Steps of 255 by which profiles of sRGB differ from each other, at the most."""

DAMAGE = (
    ArithmeticError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""Errors that Pillow raises of damaged files."""

Curve = Callable[[np.ndarray], np.ndarray]


def in_srgb(picture: np.ndarray, image: Image.Image, path: Path) -> np.ndarray:
    """Convert the colours of a picture (H, W, 3), uint8 or float, by the profile of its file, which is open as `image`.

    Raises:
        VideoError: it is of floats, and its profile of tables.
    """
    profile = image.info.get("icc_profile")
    kind = image.mode if image.mode == "CMYK" else "L" if image.mode[0] in "1LI" else "RGB"
    if not (isinstance(profile, bytes) and profile and (conversion := _to_srgb(profile, kind))):
        return picture
    name, mode, transform = conversion
    logger.info("pictures with the colour profile %r are converted to sRGB", printable(name), extra={"once": True})
    if picture.dtype != np.uint8:
        with suppress(*DAMAGE):
            return _by_curves(picture, profile)
        raise VideoError(
            f"{path}: has the colour profile {name!r}, by whose tables 8 bits alone can be converted; leave out "
            "full_depth (--full-depth), or convert the picture to sRGB"
        )
    pixels = image if mode == "CMYK" else Image.fromarray(picture[..., 0] if mode == "L" else picture)
    return np.array(ImageCms.applyTransform(pixels, transform))


@lru_cache(maxsize=16)
def _to_srgb(data: bytes, kind: str) -> tuple[str, str, ImageCms.ImageCmsTransform] | None:
    """Return the name of a colour profile, the mode of the pictures that it is for, and what converts them to sRGB.

    Args:
        data: the profile.
        kind: of the pictures at hand, `"RGB"`, `"L"` or `"CMYK"`; a grey one may have a profile of colours.

    Returns:
        `None` for a profile that is damaged, of other pictures, or that changes no 8-bit value by more than rounding
        does: there are many profiles of sRGB.
    """
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        name = ImageCms.getProfileDescription(profile).strip()
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(profile.profile.xcolor_space.strip())
        if mode is None or (mode != kind and (mode, kind) != ("RGB", "L")):
            return None
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", intent)
    except (ImageCms.PyCMSError, ImportError, *DAMAGE):
        return None
    if mode != "CMYK":
        steps = np.arange(0, 256, 15, dtype=np.uint8)
        colours = steps[:, None] if mode == "L" else np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 18, 3)
        converted = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform)).astype(int)
        if np.abs(converted - (colours[..., None] if mode == "L" else colours)).max() <= ROUNDING:
            return None
    return name, mode, transform


def _by_curves(picture: np.ndarray, profile: bytes) -> np.ndarray:
    """Return a picture (H, W, 3), float in [0, 1], in sRGB, as ImageCms converts 8 bits.

    Raises:
        ValueError, LookupError: the profile is not one of curves and primaries, or is damaged.
    """
    curves, primaries = _read_curves(profile)
    levels, light_of_levels, to_srgb = _srgb()
    light = np.stack([curve(picture[..., channel]) for channel, curve in enumerate(curves)], axis=-1)
    if primaries is not None:
        light = light @ (to_srgb @ primaries).T
    return np.interp(light, light_of_levels, levels).astype(np.float32)


@lru_cache(maxsize=1)
def _srgb() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return levels of sRGB, (65536,), their light, and the light of its primaries that XYZ is made of, (3, 3)."""
    curves, primaries = _read_curves(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert primaries is not None
    levels = np.linspace(0, 1, 65536)
    return levels, curves[0](levels), np.linalg.inv(primaries)


def _read_curves(profile: bytes) -> tuple[list[Curve], np.ndarray | None]:
    """Return the curves of a profile from red, green and blue to light, and their primaries, (3, 3), as XYZ.

    Cameras and displays have such profiles (ICC.1:2022, 8.3); those of grey have no primaries.
    """
    places = np.frombuffer(profile, ">u4", 3 * int.from_bytes(profile[128:132]), 132).reshape(-1, 3).tolist()
    tags = {tag.to_bytes(4): profile[place : place + size] for tag, place, size in places}
    if profile[20:24] != b"XYZ " or tags.keys() & {b"A2B0", b"A2B1"}:
        raise ValueError("a profile of tables")
    if b"kTRC" in tags:
        return [_curve(tags[b"kTRC"])] * 3, None
    colours = b"r", b"g", b"b"
    primaries = [np.frombuffer(tags[colour + b"XYZ"], ">i4", 3, 8) / 65536 for colour in colours]
    return [_curve(tags[colour + b"TRC"]) for colour in colours], np.stack(primaries, axis=1)


def _curve(tag: bytes) -> Curve:
    """Read a curve of values in [0, 1] (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"para":
        kind = int.from_bytes(tag[8:10])
        values: list[float] = [value / 65536 for value in np.frombuffer(tag, ">i4", (1, 3, 4, 5, 7)[kind], 12).tolist()]
        gamma, a, b, c, d, e, f = [*values, *(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)[len(values) - 1 :]]
        if kind in (1, 2):  # the last value is added to both parts, of which the lower one is flat
            c, d, e, f = 0, -b / a, c, c
        return lambda x: np.where(x >= d, (a * x + b).clip(0) ** gamma + e, c * x + f)
    table = np.frombuffer(tag, ">u2", int.from_bytes(tag[8:12]), 12)
    if len(table) < 2:
        return lambda x: x ** (table[0] / 256 if len(table) else 1)
    return lambda x: np.interp(x, np.linspace(0, 1, len(table)), table / 65535)
