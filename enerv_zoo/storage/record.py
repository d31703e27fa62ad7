"""`fit.json` in a repository: how the network was fitted, without what is private."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from enerv_zoo.compatibility import FORMAT, upgrade
from enerv_zoo.config import FitConfig, Recipe, VideoSelection, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import write_json
from enerv_zoo.storage.description import RECORD, FitRecord, read_json
from enerv_zoo.video.origin import SHORT, Origin
from enerv_zoo.video.samples import samples

__all__ = [
    "COMPANIONS",
    "FIRST_WEIGHTS",
    "METRICS",
    "OTHER_SOURCES",
    "PARTS",
    "RECORD",
    "check_record",
    "check_selection",
    "fit_record",
    "present_record",
    "publish_record",
]

METRICS = "metrics.json"
PARTS = ("video", "model", "fit")
COMPANIONS = ("mask", "reference")
"""Other sources that a record may name: weights of pixels, and the frames that are scored against."""
FIRST_WEIGHTS = "init_from"
"""What a record calls the fit whose weights another one began with."""
OTHER_SOURCES = (*COMPANIONS, FIRST_WEIGHTS)
"""What a record may name beside the video: where it lies is nobody else's business, and it is never opened unasked."""


def present_record(record: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return a record of `fit.json` in the present format; an empty one stays empty.

    Raises:
        ConfigError: `file` is damaged or of a newer format.
    """
    for part in PARTS:
        if not isinstance(record.get(part) or {}, dict):
            raise ConfigError(f"{file}: {part!r} is {record[part]!r:.60}, expected a mapping; the file is damaged")
    return upgrade(record, file, fitted=True) if record else {}


def fit_record(record: Mapping[str, Any] | None, metrics: Mapping[str, Any], where: str = "") -> FitRecord:
    """Return the record of a fit for `config.json`, from `fit.json` and `metrics.json`.

    Raises:
        ConfigError: `where` they come from, they are damaged.
    """
    recipe = None if record is None else _recipe(record, where)
    origin = Origin.of_record(record or {})
    source = None if origin.digest is None else {"digest": origin.digest[:SHORT], "bytes": origin.bytes}
    scores = {name: value for name, value in metrics.items() if not isinstance(value, (list, dict))}
    return from_dict(FitRecord, {"recipe": recipe, "metrics": scores, "source": source}, where)


def _recipe(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a record's network, recipe and part of the video, in the present format."""
    record = upgrade(record, where, fitted=True)
    return {**{part: record.get(part) or {} for part in PARTS}, "format": FORMAT}


def publish_record(folder: Path, target: Path) -> bool:
    """Write a fit's record for others: the source's name stays if it is a sample's, a path on this machine does not.

    Returns:
        Whether there is one.
    """
    if not (folder / RECORD).is_file():
        return False
    record = read_json(folder / RECORD)
    source = record.get("source")
    others = {name: {**record[name], "source": None} for name in OTHER_SOURCES if name in record}
    write_json(target, {**record, "source": source if source in samples() else None, **others})
    return True


def check_record(folder: Path) -> None:
    """Refuse a record that would have `eval` open something on this machine or the network.

    Raises:
        ConfigError: it is damaged, or its source is no sample.
    """
    file = folder / RECORD
    if not file.is_file():
        return
    check_selection(read_json(file), str(file))


def check_selection(record: Mapping[str, Any], file: str) -> None:
    """Refuse an untrusted record whose source and selection are not harmless.

    Raises:
        ConfigError: `file` is damaged, or its source is no sample.
    """
    if record.get("source") not in (None, *samples()):
        raise ConfigError(f"{file}: names a source that is no sample ({record['source']!r:.60}); it is not opened")
    for name in OTHER_SOURCES:
        other = record.get(name) or {}
        if not isinstance(other, Mapping) or other.get("source") is not None:
            raise ConfigError(f"{file}: names {name!r} ({other!r:.60}); it is not opened")
    from_dict(Recipe, _recipe(record, file), file)
    from_dict(FitConfig, record.get("fit") or {}, f"{file}: fit")
    from_dict(VideoSelection, record.get("video") or {}, f"{file}: video")
