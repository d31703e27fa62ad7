"""Fits on the Hub, found by name or author."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from enerv_zoo.hub.card import one_line
from enerv_zoo.hub.client import LIBRARY, explained, hub_api
from enerv_zoo.metrics.columns import installed_in

MOST = 2**63
"""Of a number on a card; larger ones, infinity and NaN are nobody's."""


@dataclass(frozen=True)
class Pretrained:
    """A fit on the Hub, by its card; `None` where the card says nothing.

    Attributes:
        id: what `enerv_zoo.load` takes.
        family: of models.
        video: the video's name.
        frames, height, width: of the video.
        stored_numbers: parameters that a decoder needs.
        stored_bytes: of the weights; of a fit on the Hub, as its card's bits per pixel say.
        source_bytes: of the original, all of it.
        scores: by the metric's name, as its author says.
        downloads: in the last month, as the Hub counts them.
        updated: day of the last push, as YYYY-MM-DD.
        private: whether only its owner sees it.
    """

    id: str
    family: str | None = None
    video: str | None = None
    frames: int | None = None
    height: int | None = None
    width: int | None = None
    stored_numbers: int | None = None
    stored_bytes: int | None = None
    source_bytes: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    downloads: int | None = None
    updated: str | None = None
    private: bool | None = None

    @property
    def psnr(self) -> float | None:
        """PSNR in dB, as its author says."""
        return self.scores.get("psnr")

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, scores by their names."""
        return {key: value for key, value in vars(self).items() if key != "scores"} | {"psnr": None, **self.scores}


def list_pretrained(
    query: str | None = None, *, author: str | None = None, limit: int = 100, token: str | bool | None = None
) -> list[Pretrained]:
    """Return fits that are on the Hub, those pushed last first.

    Args:
        query: words of the repository's name.
        author: user or organisation.
        limit: how many at most.
        token: to see private ones; by default the user who is logged in.

    Raises:
        HubError: the Hub cannot be asked.
    """
    with explained(f"author {author!r}" if author else "the list of fits"):
        models = hub_api(token).list_models(
            filter=LIBRARY,
            author=author,
            search=query,
            sort="last_modified",
            limit=limit,
            expand=["cardData", "lastModified", "downloads", "private"],
        )
        return [entry_of(info) for info in islice(models, limit)]


def entry_of(info: Any) -> Pretrained:
    """Return what a repository's card says of its fit; of untrusted data, as little as is plain."""
    ours = getattr(info.card_data, "enerv_zoo", None)
    entry = ours if isinstance(ours, Mapping) else {}

    def number(key: str) -> Any:
        value = entry.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return value if abs(value) < MOST else None

    def text(key: str) -> str | None:
        return one_line(entry[key])[:100] if isinstance(entry.get(key), str) else None

    entry = {key: value for key, value in entry.items() if isinstance(key, str)}
    rate, extent = number("bpp"), [number(key) for key in ("frames", "height", "width")]
    has_bytes = rate is not None and None not in extent
    return Pretrained(
        id=info.id,
        family=text("family"),
        video=text("video"),
        frames=number("frames"),
        height=number("height"),
        width=number("width"),
        stored_numbers=number("stored_numbers"),
        stored_bytes=round(rate * math.prod(extent) / 8) if has_bytes else None,
        scores={name: value for name in installed_in(entry) if (value := number(name)) is not None},
        downloads=info.downloads,
        updated=info.last_modified.date().isoformat() if info.last_modified else None,
        private=info.private,
    )
