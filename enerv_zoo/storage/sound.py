"""The sound of a fitted video: a file in a folder, or a section of a compressed file. It is not parsed here."""

from __future__ import annotations

from pathlib import Path

from enerv_zoo.files import remove, replacing
from enerv_zoo.nvz import NvzFile, Section
from enerv_zoo.video.sound import MEDIA_TYPE

SOUND = "sound.mp4"
SECTION = "sound"


def read_sound(place: Path | NvzFile) -> bytes | None:
    """Read the sound of a fit; `None` where there is none.

    Args:
        place: its folder, or its compressed file.

    Raises:
        ConfigError: the file is damaged.
    """
    if isinstance(place, NvzFile):
        section = place.read_section(SECTION)
        return None if section is None else section.data
    return (place / SOUND).read_bytes() if (place / SOUND).is_file() else None


def write_sound(sound: bytes | None, folder: Path) -> None:
    """Write a sound into a folder, or remove the one that is there.

    Raises:
        EnervZooError: the folder cannot be written.
    """
    if sound is None:
        remove(folder / SOUND)
        return
    with replacing(folder / SOUND) as temporary:
        temporary.write_bytes(sound)


def sound_sections(sound: bytes | None) -> list[Section]:
    """Return the sections of a compressed file that hold a sound."""
    return [] if sound is None else [Section(SECTION, MEDIA_TYPE, sound)]
