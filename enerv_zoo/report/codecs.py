"""Codecs on a report's page: files as large as a fit, of the same frames."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from torch import Tensor

from enerv_zoo.config import MetricSpec, PartSpec
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.evaluation.anchors import Anchor, check_frames, open_codec
from enerv_zoo.evaluation.rates import BATCH
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.files import finite
from enerv_zoo.metrics import Scorer
from enerv_zoo.pixels import as_bytes, as_float
from enerv_zoo.report.collecting import Shown
from enerv_zoo.report.movies import kept
from enerv_zoo.video import Video


def encoded_within(anchor: Anchor, frames: Video, size: int) -> tuple[float, bytes, float]:
    """Encode frames in the best quality whose file is no larger than a size, or else in the smallest one of the ladder.

    Of a ladder of rising integers, such as rate factors, all from 0 to its end are tried; of another one, its steps.

    Returns:
        The quality, the file, and the seconds that its encoding took.
    """
    ladder = list(anchor.ladder)
    is_factor = ladder == sorted(ladder) and all(quality % 1 == 0 for quality in ladder)
    qualities = list(range(int(ladder[-1]) + 1)) if is_factor else ladder

    def encode(quality: float) -> tuple[float, bytes, float]:
        start = time.perf_counter()
        data = anchor.encode(frames, quality)
        return quality, data, time.perf_counter() - start

    best = None
    low, high = 0, len(qualities) - 1
    while low < high:
        middle = (low + high) // 2
        trial = encode(qualities[middle])
        if len(trial[1]) <= size:
            best, high = trial, middle
        else:
            low = middle + 1
    return best if best is not None and best[0] == qualities[low] else encode(qualities[low])


def shown_codec(codec: PartSpec, frames: Video, size: int, metrics: Sequence[MetricSpec]) -> Shown:
    """Encode and decode frames with a codec, to be shown beside a fit.

    Args:
        codec: as `enerv_zoo.measure_codec` takes it.
        frames: of the original.
        size: bytes of the fit, which the file has at most where the codec's ladder goes so far.
        metrics: what frames are measured by.

    Raises:
        ConfigError: there is no such codec.
        VideoError: it cannot encode such frames, or fails.
    """
    opened = open_codec(codec)
    anchor = opened.anchor
    if reason := anchor.missing():
        raise ConfigError(f"{reason}; choose another codec than {opened.label}")
    check_frames([opened], frames.info)
    quality, data, seconds = encoded_within(anchor, frames, size)
    info = frames.info
    start = time.perf_counter()
    decoded = kept((as_bytes(frame)[None] for frame in anchor.decode(data)), len(frames))
    if len(decoded) != len(frames):
        raise VideoError(f"{opened.label} gave {len(decoded)} frames back of {len(frames)}; choose another codec")
    rate = len(frames) / (time.perf_counter() - start)
    scorer = Scorer(metrics, info)
    for first in range(0, len(frames), BATCH):
        scorer.add(*(as_float(each[first : first + BATCH]) for each in (decoded, frames.frames)))
    rows = scorer.rows()
    costs = {"stored_bytes": len(data), "bpp": bits_per_pixel(len(data), info), "fps": rate, "fit_seconds": seconds}

    def decode(indices: Sequence[int]) -> Iterator[Tensor]:
        return (decoded[i][None] for i in indices)

    return Shown(
        name=f"{opened.label} {anchor.unit} {quality:.12g}",
        decode=decode,
        metrics={**scorer.scores(rows), **costs},
        frames=[finite({"frame": i, **{k: v for k, v in row.items() if v is not None}}) for i, row in enumerate(rows)],
    )
