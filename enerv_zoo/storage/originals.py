"""The videos that networks were fitted to, opened again as they were cut then; or another video, cut alike."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Unpack

from enerv_zoo.errors import FitError, VideoError
from enerv_zoo.keywords import SelectionOptions
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.identity import digest, size_of
from enerv_zoo.video.origin import Origin
from enerv_zoo.video.remote import is_address
from enerv_zoo.video.seen import restricted

logger = logging.getLogger(__name__)

OWN = ("stream", "yuv")
"""Options that choose within the file that was fitted, and mean nothing for another one."""


def source_name(source: Any) -> str | None:
    """Return what `fit.json` calls a source: a sample's name, an absolute path, or `None` for arrays."""
    if not isinstance(source, (str, Path)):
        return None
    with suppress(OSError):  # such as of a name that is too long: what opens the source says so
        return str(Path(source).resolve()) if Path(source).exists() else str(source)
    return str(source)


def is_recorded(record: Mapping[str, Any], source: Any) -> bool:
    """Return whether a source is the recorded one, which `None` stands for: by its name, or by its contents.

    Raises:
        VideoError: it has another name, and its contents cannot be read.
    """
    name, recorded, origin = source_name(source), record.get("source"), Origin.of_record(record)
    if source is None or name == recorded is not None:
        return True
    if not origin.digest or origin.bytes is None:  # of an array
        return name is recorded is None
    return size_of(source) == origin.bytes and digest(source).startswith(origin.digest)


def check_source(record: Mapping[str, Any], run: Path, source: Any = None) -> None:
    """Warn where the recorded source has changed since the fit, if it is what is going to be opened.

    Args:
        record: what `fit.json` of a run says.
        run: its path, for messages.
        source: what is going to be opened; `None` for what is recorded.

    Raises:
        VideoError: it is not there any more.
    """
    scored = _scored(record)
    recorded = scored.get("source")
    if not isinstance(recorded, str) or (source is not None and source_name(source) != recorded):
        return
    origin = Origin.of_record(scored)
    if origin.path is None and not is_address(recorded):
        raise VideoError(f"{run}: the video that was fitted is not there any more ({recorded}); name it as it is now")
    if origin.digest is not None and not digest(recorded).startswith(origin.digest):
        logger.warning("%s: %s has changed since the fit; what is compared is not what was fitted", run, recorded)


def open_recorded(
    record: Mapping[str, Any],
    run: Path,
    source: Any = None,
    is_own: bool | None = None,
    **cut: Unpack[SelectionOptions],
) -> Video:
    """Open the video of a record, cut and resized as it was for the fit; or another one likewise.

    Args:
        record: what `fit.json` says.
        run: the path of the run, for messages.
        source: what to open; by default what is recorded. The recorded frame range, stream and format apply to that
            source alone.
        is_own: whether the source is the recorded one, where that was looked at before: `is_recorded`.
        cut: overrules what is recorded.

    Raises:
        FitError: no source was given and none is recorded.
        VideoError: it cannot be found or read.
    """
    opened = _scored(record).get("source") if source is None else source
    if opened is None:
        raise FitError(f"{run}: does not record which video it was fitted to; name the video to compare with")
    selection = dict(record.get("video") or {})
    is_own = is_recorded(record, source) if is_own is None else is_own
    if is_own:
        selection.setdefault("full_depth", False)  # records of HDR that lack it are of 8 bits
    if source is None and "reference" in record:
        return open_alike(opened, {**selection, **{key: value for key, value in cut.items() if value is not None}})
    if not is_own:
        for own in ("frames", "matrix", *OWN):
            selection.pop(own, None)
    selection |= {key: value for key, value in cut.items() if value is not None}
    return open_video(opened, **selection)


def open_alike(source: Any, selection: Mapping[str, Any], place: str = "auto") -> Video:
    """Open another video of the same frames as a selection of the fitted one: a reference."""
    return open_video(source, **{name: value for name, value in selection.items() if name not in OWN}, place=place)


def as_fitted(video: Video, record: Mapping[str, Any], frames: int) -> Video:
    """Return a video that knows what the fit of a record has seen of it; one of another length stays as it is.

    Args:
        video: as `open_recorded` opened it.
        record: what `fit.json` says.
        frames: of the fit.
    """
    if len(video) != frames:
        return video
    fit_frames, mask = (record.get("fit") or {}).get("fit_frames"), record.get("mask") or {}
    path, selection = mask.get("source"), dict(record.get("video") or {})
    try:
        if mask and not isinstance(path, str):
            raise VideoError("it was an array, or of another machine")
        if mask and digest(str(path)) != mask.get("sha256"):
            raise VideoError(f"{path} has changed since")
        return restricted(video, path, fit_frames, **selection)
    except VideoError as error:
        logger.warning("the mask of the fit is not at hand (%s); its pixels are not scored apart", error)
        return restricted(video, None, fit_frames)


def _scored(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a record says of the video that is scored against, as it says it of the source."""
    if (reference := record.get("reference")) is None:
        return record
    return {"source": reference.get("source"), "source_contents": reference}
