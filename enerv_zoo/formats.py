"""Older recipes and records, read for ever.

Format 1 has no marker: sizes as text are HEIGHTxWIDTH, and pixels were always made square. In format 2 (`format: 2`)
they are WIDTHxHEIGHT, and pixels are taken as they are stored.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from enerv_zoo.errors import ConfigError

logger = logging.getLogger(__name__)

FORMAT = 2
SIZES = ("resize", "crop")
_TWO_NUMBERS = re.compile(r"\s*([0-9]{1,6})\s*[xX]\s*([0-9]{1,6})\s*")


def format_of(data: Mapping[str, Any], where: str = "") -> int:
    """The format of a recipe, a record or a manifest.

    Raises:
        ConfigError: it is none that this version reads.
    """
    version = data.get("format", 1)
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ConfigError(
            f"{where or 'recipe'}: format {version!r:.40} is not one that this version reads (1 to {FORMAT}); "
            "upgrade enerv-zoo"
        )
    return version


def turned(size: Any) -> Any:
    """A size as text with its two numbers in the other order; anything else as it is."""
    match = _TWO_NUMBERS.fullmatch(size) if isinstance(size, str) else None
    return size if match is None else f"{match[2]}x{match[1]}"


def turned_sizes(selection: Mapping[str, Any]) -> dict[str, Any]:
    """What selects a part of a video, with the numbers of sizes as text in the other order."""
    return {key: turned(value) if key in SIZES else value for key, value in selection.items()}


def upgrade(data: Mapping[str, Any], where: str = "", *, fitted: bool = False, note: bool = False) -> dict[str, Any]:
    """A recipe, or the record of a fit, in format 2.

    Args:
        data: with `video`, which may say `resize` and `crop`.
        where: it comes from, for messages.
        fitted: it is the record of a fit, whose frames had square pixels if it is of format 1.
        note: log how a size was read that is meant otherwise in format 2.

    Raises:
        ConfigError: it is of a newer format.
    """
    if format_of(data, where) == FORMAT:
        return dict(data)
    video = data.get("video") or {}
    if not isinstance(video, Mapping):
        return {**data, "format": FORMAT}  # refused by whoever reads it
    sizes = turned_sizes(video)
    if note:
        note_sizes(video, where)
    return {**data, "format": FORMAT, "video": {**sizes, "square_pixels": True} if fitted else sizes}


def note_sizes(selection: Mapping[str, Any], where: str) -> None:
    """Log how the sizes of a format-1 text were read, where the order of their numbers matters."""
    for key in SIZES:
        size = selection.get(key)
        if turned(size) != size:
            logger.info(
                "%s: %s %s was read as HEIGHTxWIDTH, as it has no 'format: 2'; with that, write %s",
                *(where, key, size, turned(size)),
            )
            return
