"""Scores of parts apart: of pixels that a mask shows or hides, and of frames that were fitted or held out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from enerv_zoo.metrics.columns import FITTED, HIDDEN, PARTS, SEEN, UNSEEN, split_name
from enerv_zoo.metrics.peak_signal import seen_psnr
from enerv_zoo.metrics.scoring import means
from enerv_zoo.pixels import as_float
from enerv_zoo.video.source import Seen

Scores = dict[str, float | None]


class PixelsApart:
    """PSNR of each frame's pixels that were seen, and of those that were hidden.

    Args:
        seen: what the fit saw; without weights, there are no such scores.
    """

    def __init__(self, seen: Seen | None) -> None:
        self._seen = None if seen is None or seen.weights is None else seen
        self._rows: list[Scores] = []

    def add(self, indices: Sequence[int], decoded: Tensor, target: Tensor) -> None:
        """Score frames (B, 3, H, W) in [0, 1] at indices."""
        if self._seen is None:
            return
        weights = as_float(self._seen.weights_of(indices).to(decoded.device))
        pairs = zip(*(seen_psnr(decoded, target, part).tolist() for part in (weights, 1 - weights)), strict=True)
        self._rows += [{"psnr" + SEEN: _known(shown), "psnr" + HIDDEN: _known(hidden)} for shown, hidden in pairs]

    def added_to(self, rows: Sequence[Mapping[str, float | None]]) -> list[Scores]:
        """Return rows of scores with these."""
        return [{**row, **own} for row, own in zip(rows, self._rows or [{}] * len(rows), strict=True)]


def frames_apart(rows: Iterable[tuple[Mapping[str, float | None], bool | None]]) -> Scores:
    """Return the means of each score over fitted frames and over unseen ones; nothing where none is held out.

    Args:
        rows: scores of each frame, and whether it was held out (`None` where nobody says).
    """
    listed = [(scores, unseen) for scores, unseen in rows if unseen is not None]
    apart: Scores = {}
    for suffix, is_unseen in ((FITTED, False), (UNSEEN, True)):
        part = [scores for scores, unseen in listed if unseen == is_unseen]
        names = listed[0][0] if listed else ()
        apart |= {name + suffix: mean for name, mean in means(part, names).items()}
    return {name: apart[name] for name in sorted(apart, key=lambda name: [*names].index(name.rpartition("_")[0]))}


def why_missing(scores: Mapping[str, float | None], missing: Mapping[str, str]) -> dict[str, str]:
    """Return why scores are missing: those of parts for the reason of the whole, or as there is no such part."""
    reasons = {}
    for name in (name for name, score in scores.items() if score is None):
        base, part = split_name(name)
        reasons[name] = missing.get(base) or f"no {PARTS.get(part, 'frames')} among those that were measured"
    return reasons


def _known(score: float) -> float | None:
    return None if math.isnan(score) else score
