"""The videos that networks were fitted to, opened again as they were cut then; or another video, cut alike."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from enerv_zoo.errors import FitError, VideoError
from enerv_zoo.keywords import SelectionOptions
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.identity import digest
from enerv_zoo.video.origin import Origin
from enerv_zoo.video.remote import is_address

logger = logging.getLogger(__name__)


def source_name(source: Any) -> str | None:
    """Return what `fit.json` calls a source: a sample's name, an absolute path, or `None` for arrays."""
    if not isinstance(source, (str, Path)):
        return None
    return str(Path(source).resolve()) if Path(source).exists() else str(source)


def is_recorded(record: Mapping[str, Any], source: Any) -> bool:
    """Return whether a source is the recorded one, which `None` stands for."""
    return source is None or source_name(source) == record.get("source")


def check_source(record: Mapping[str, Any], run: Path, source: Any = None) -> None:
    """Warn where the recorded source has changed since the fit, if it is what is going to be opened.

    Args:
        record: what `fit.json` of a run says.
        run: its path, for messages.
        source: what is going to be opened; `None` for what is recorded.

    Raises:
        VideoError: it is not there any more.
    """
    recorded = record.get("source")
    if not isinstance(recorded, str) or not is_recorded(record, source):
        return
    origin = Origin.of_record(record)
    if origin.path is None and not is_address(recorded):
        raise VideoError(f"{run}: the video that was fitted is not there any more ({recorded}); name it as it is now")
    if origin.digest is not None and not digest(recorded).startswith(origin.digest):
        logger.warning("%s: %s has changed since the fit; what is compared is not what was fitted", run, recorded)


def open_recorded(record: Mapping[str, Any], run: Path, source: Any = None, **cut: Unpack[SelectionOptions]) -> Video:
    """Open the video of a record, cut and resized as it was for the fit; or another one likewise.

    Args:
        record: what `fit.json` says.
        run: the path of the run, for messages.
        source: what to open; by default what is recorded. The recorded frame range, stream and format apply to that
            source alone.
        cut: overrules what is recorded.

    Raises:
        FitError: no source was given and none is recorded.
        VideoError: it cannot be found or read.
    """
    opened = record.get("source") if source is None else source
    if opened is None:
        raise FitError(f"{run}: does not record which video it was fitted to; name the video to compare with")
    selection = dict(record.get("video") or {})
    if not is_recorded(record, source):
        for own in ("frames", "stream", "yuv"):
            selection.pop(own, None)
    selection |= {key: value for key, value in cut.items() if value is not None}
    return open_video(opened, **selection)
