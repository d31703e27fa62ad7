"""The originals of a video in segments, as it was cut for its fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from enerv_zoo.fitting.plan import check_source, open_recorded, source_name
from enerv_zoo.nvz import open_nvz
from enerv_zoo.storage.compressed import is_compressed, record_of, segments_of
from enerv_zoo.storage.segments import read_segments, segment_folder
from enerv_zoo.video import Video


def part_opener(
    run: str | Path,
    source: Any = None,
    *,
    resize: Any = None,
    crop: Any = None,
    square_pixels: bool | None = None,
    stream: int | None = None,
    yuv: str | None = None,
) -> Callable[[int], Video]:
    """What opens the original of a segment by its number, as `open_original` opens that of a fit.

    Args:
        run: the folder of a video in segments, or its compressed file.
        source: what to open; by default what was fitted. Another source is cut at the same frames.
        resize, crop, square_pixels, stream, yuv: overrule what was recorded.
    """
    path = Path(run)
    compressed = is_compressed(path)
    description = segments_of(open_nvz(path), str(path)) if compressed else read_segments(path)
    segments, whole = description.segments, record_of(path)
    check_source(whole, path, source)

    def open_part(number: int) -> Video:
        segment = segments[number]
        own = path if compressed else segment_folder(path, number)
        other = source is not None and source_name(source) != whole.get("source")
        frames = f"{segment.first}:{segment.stop}" if other else None
        record = record_of(own, number) if compressed else record_of(own)
        cut: dict[str, Any] = {"resize": resize, "crop": crop, "square_pixels": square_pixels}
        return open_recorded(record, own, source, frames=frames, stream=stream, yuv=yuv, **cut)

    return open_part
