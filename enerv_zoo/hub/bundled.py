"""Fits that come with this version, as compressed files."""

from __future__ import annotations

from pathlib import Path

from enerv_zoo.hub.search import Pretrained
from enerv_zoo.metrics.columns import names_in
from enerv_zoo.storage.compressed import SUFFIX
from enerv_zoo.storage.run import open_run

BUNDLED = Path(__file__).with_name("bundled")


def bundled_networks() -> dict[str, Path]:
    """Return the names of bundled fits, which `enerv_zoo.load` takes, and their files."""
    return {file.stem: file for file in sorted(BUNDLED.glob(f"*{SUFFIX}"))}


def list_bundled(query: str | None = None) -> list[Pretrained]:
    """Return bundled fits with their scores; no network is asked.

    Args:
        query: a part of the name.
    """
    return [_entry(name, file) for name, file in bundled_networks().items() if (query or "").lower() in name.lower()]


def _entry(name: str, file: Path) -> Pretrained:
    run = open_run(file)
    metrics, video = run.fit.metrics if run.fit else {}, run.info
    scores = {name: value for name in names_in(metrics) if isinstance(value := metrics[name], (int, float))}
    return Pretrained(
        id=name,
        family=run.description.model.family,
        video=video.name,
        frames=video.frames,
        height=video.height,
        width=video.width,
        stored_numbers=run.stored_numbers,
        stored_bytes=run.bytes,
        source_bytes=run.origin.bytes,
        scores=scores,
        private=False,
    )
