"""Title, time of recording and chapters of a file, read and written back."""

from __future__ import annotations

from fractions import Fraction

from av.container import InputContainer, OutputContainer

from enerv_zoo.config import Tags, from_dict
from enerv_zoo.errors import ConfigError

_MILLISECOND = Fraction(1, 1000)
_UNSET = ("1970-01-01T00:00:00", "1904-01-01T00:00:00")
"""Beginnings of times that tools write which know none."""


def read_tags(container: InputContainer) -> Tags | None:
    """Return what a file says, in its own seconds; `None` where it says nothing, or nonsense."""
    created = container.metadata.get("creation_time", "")
    chapters = [
        (float(each["start"] * each["time_base"]), float(each["end"] * each["time_base"]), _title(each["metadata"]))
        for each in container.chapters()
        if each["time_base"] is not None
    ]
    tags = {
        "title": _title(container.metadata) or None,
        "created": created if created and not created.startswith(_UNSET) else None,
        "chapters": chapters,
    }
    try:
        read = from_dict(Tags, tags)
    except ConfigError:
        return None
    return None if read == Tags() else read


def write_tags(container: OutputContainer, tags: Tags) -> None:
    """Write title, time of recording and chapters into a file to which nothing has been written yet."""
    texts = {"title": tags.title, "creation_time": tags.created}
    container.metadata.update({name: text for name, text in texts.items() if text is not None})
    container.set_chapters(
        [
            {
                "id": number,
                "start": round(begin / _MILLISECOND),
                "end": round(end / _MILLISECOND),
                "time_base": _MILLISECOND,
                "metadata": {"title": title},
            }
            for number, (begin, end, title) in enumerate(tags.chapters)
        ]
    )


def _title(metadata: dict[str, str]) -> str:
    return metadata.get("title", "").strip()[:256]
