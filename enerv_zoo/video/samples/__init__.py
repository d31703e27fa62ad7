"""The videos that come with the package; `LICENSE.txt` says under which terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enerv_zoo.errors import VideoError, did_you_mean
from enerv_zoo.files import nearest


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


def sample(source: object) -> Sample:
    """The sample that a source means which is no file or folder.

    Raises:
        VideoError: no sample has this name.
    """
    name = str(source)
    if name not in SAMPLES:
        raise VideoError(
            f"{name!r}: no such file or folder, and no sample of that name (samples: {', '.join(samples())})."
            f"{did_you_mean(name, SAMPLES) or _near(name)}"
        )
    return SAMPLES[name]


def _near(name: str) -> str:
    near = nearest(Path(name)) if name else None
    return "" if near is None else f" Did you mean {str(near)!r}?"
