"""Published results of the field, as data: PSNR, MS-SSIM, rate and size by method and clip, each with its source."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from enerv_zoo.config import from_dict, size_text

TABLE = Path(__file__).with_name("published_results.csv")


@dataclass(frozen=True, kw_only=True)
class PublishedResult:
    """One published result. `None` stands where the source says nothing.

    Attributes:
        method: its name there.
        family: the family here that is this network, whatever its size; `None` where there is none.
        clip: the video, or the data set whose mean this is.
        videos: how many are averaged.
        frames: of the video.
        width, height: of the frames, in pixels.
        parameters: stored parameters.
        epochs: passes over the frames.
        psnr: in dB.
        ms_ssim: 0 to 1.
        bpp: bits per pixel.
        source: where it is printed.
        note: what limits a comparison.
    """

    method: str
    family: str | None = None
    clip: str
    videos: int
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    parameters: int | None = None
    epochs: int | None = None
    psnr: float | None = None
    ms_ssim: float | None = None
    bpp: float | None = None
    source: str
    note: str | None = None

    @property
    def size_text(self) -> str | None:
        """Return the frames' size for people, WIDTHxHEIGHT."""
        return size_text(self.height, self.width) if self.height and self.width else None


@functools.cache
def _table() -> tuple[PublishedResult, ...]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [{key: cell for key, cell in row.items() if cell} for row in csv.DictReader(file, strict=True)]
    return tuple(from_dict(PublishedResult, row, f"{TABLE.name}, row {number}") for number, row in enumerate(rows, 1))


def published(method: str = "*", clip: str = "*", *, frame_size: str | None = None) -> list[PublishedResult]:
    """Return published results of neural video representations and of codecs that their authors compare with.

    Args:
        method: wildcard for the method, or for the family here: `"HiNeRV*"`, `"enerv_boost"`. Case does not matter.
        clip: wildcard for the clip or data set: `"bunny"`, `"UVG"`.
        frame_size: WIDTHxHEIGHT; any by default.

    Returns:
        The results in the order of the table, `enerv_zoo/published_results.csv`; empty where nothing matches.
    """
    return [
        row
        for row in _table()
        if any(fnmatchcase(name.lower(), method.lower()) for name in (row.method, row.family or ""))
        and fnmatchcase(row.clip.lower(), clip.lower())
        and frame_size in (None, row.size_text)
    ]
