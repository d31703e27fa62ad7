"""The videos that come with the package; `LICENSE.txt` says under which terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One clip: its file and whom to credit."""

    path: Path
    attribution: str


SAMPLES = {
    "bunny": Sample(
        Path(__file__).with_name("bigbuckbunny.mp4"),
        "Big Buck Bunny (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0",
    ),
}


def samples() -> list[str]:
    """The names of the sample videos, which `open_video` takes in place of a path."""
    return sorted(SAMPLES)
