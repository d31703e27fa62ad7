"""Points of curves of rate and quality, each measured once."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from enerv_zoo.batch.rate_fits import RateFits, Target
from enerv_zoo.compression.run import compress
from enerv_zoo.config import DEFAULT_METRICS, Spec
from enerv_zoo.errors import ConfigError, UnmetTarget
from enerv_zoo.evaluation.anchors import Codec, measure_quality
from enerv_zoo.evaluation.rates import RateCurve, RatePoint, measure_network
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.files import write_json
from enerv_zoo.loading import load
from enerv_zoo.metrics import check_metrics
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage.run import open_run
from enerv_zoo.video import Video
from enerv_zoo.video.identity import digest

POINTS = "points.json"
FILE = "file"
"""Of a point that was measured by other metrics than the default ones, the key that it would have by these."""
INFINITE = "inf"
"""Of the score of exact frames, in the file."""
UNITS = {"bits": "bit", "bpp": "bpp"}
"""Units of targets, as names of files have them."""

FitsDone = tuple[RateFits, Mapping[str, dict[str, Any]]]
"""Fits of a comparison, and the metrics of each by its name."""

logger = logging.getLogger(__name__)


class MeasuredPoints:
    """Measures points of curves, but for those that were measured before on the same frames with the same settings."""

    def __init__(
        self,
        folder: Path,
        original: Video,
        metrics: Sequence[Spec],
        device: str,
        tune_epochs: int,
        on_stage: Callable[[str], object],
    ) -> None:
        self.folder, self.original, self.device = folder, original, device
        self.metrics, self.tune_epochs, self.on_stage = metrics, tune_epochs, on_stage
        self.frames = digest(original)
        self.rows = read_mapping(folder / POINTS) if (folder / POINTS).is_file() else {}

    def of_family(self, model: str, fits: Sequence[FitsDone]) -> tuple[RateCurve, Path]:
        """Write each fit of a family for its targets. Returns its curve, and the file of the highest PSNR.

        Raises:
            ConfigError: no target can be met.
        """
        points: dict[Path, RatePoint] = {}
        epochs: dict[str, None] = {}
        for group, metrics in fits:
            own = {name: fit for name, fit in metrics.items() if fit["model"] == model}
            epochs |= {str(fit["epochs"]): None for fit in own.values()}
            for (name, fit), target in itertools.product(own.items(), group.targets):
                path = self.folder / f"{name}-{target[1]:.12g}{UNITS[target[0]]}.nvz"
                try:
                    points[path] = self._of_network(path, self.folder / group.name / name, fit, target)
                except UnmetTarget as error:
                    logger.warning("%s: no point at %g bits per pixel: %s", name, target[1], error)
        if not points:
            raise ConfigError(f"{model}: no target can be met by any of its networks; give larger ones")
        settings = {"tuning": f"{self.tune_epochs} epochs", "epochs": ", then ".join(epochs)}
        return RateCurve(model, settings, tuple(points.values())), max(points, key=lambda path: points[path].quality())

    def _of_network(self, path: Path, run: Path, fit: dict[str, Any], target: Target) -> RatePoint:
        option, value = target
        setting = f"{value:.12g} {'bits' if option == 'bits' else 'bits per pixel'}"

        def measure(recorded: RatePoint | None) -> RatePoint:
            self.on_stage(f"{run.name} in {setting}")
            if recorded is None:
                options: dict[str, Any] = {option: value, "tune_epochs": self.tune_epochs, "device": self.device}
                record = open_run(run).record  # of an array, the original is what was fitted
                is_reference = "reference" in record and record.get("source") is not None
                data = None if self.tune_epochs and is_reference else self.original
                compressed = compress(run, path, data=data, measure=False, sound=False, **options)
                size, seconds = compressed.bytes, fit["fit_seconds"] + compressed.seconds
            else:
                size, seconds = recorded.bytes, recorded.encode_seconds
            name = f"{fit['stored_numbers'] / 1e6:.2f}M, {setting}"
            return measure_network(load(path, self.device), self.original, name, size, seconds, self.metrics)

        key = value if option == "bits" else target  # as older folders have it
        return self._known(("network", fit["id"], key, self.tune_epochs), measure, path)

    def of_codec(self, codec: Codec, count: str) -> RateCurve:
        """Encode the frames with a codec, once for each quality of its ladder."""
        points = tuple(self._of_quality(codec, quality) for quality in codec.anchor.ladder)
        if count == "stream" and any(point.stream_bytes is None for point in points):
            logger.warning("%s: its raw streams are not known, so its whole files count", codec.label)
            count = "file"
        if count == "file":
            return RateCurve(codec.label, codec.anchor.settings, points)
        streams = (replace(point, bpp=bits_per_pixel(point.stream_bytes or 0, self.original.info)) for point in points)
        return RateCurve(codec.label, {**codec.anchor.settings, "rate of": "raw streams"}, tuple(streams))

    def _of_quality(self, codec: Codec, quality: float) -> RatePoint:
        def measure(recorded: RatePoint | None) -> RatePoint:
            self.on_stage(f"{codec.label} at {codec.anchor.unit} {quality:.12g}")
            return measure_quality(codec, quality, self.original, self.metrics)

        own = [each for each in (getattr(codec.anchor, "programs", None),) if each]  # of commands: what files hold
        return self._known(("codec", codec.label.partition(":")[0], codec.anchor.settings, quality, *own), measure)

    def _known(
        self, settings: tuple[Any, ...], measure: Callable[[RatePoint | None], RatePoint], path: Path | None = None
    ) -> RatePoint:
        """Return a point, measured if it is not known, or if its file is not the one that was measured.

        `measure` gets the point of the same file by other metrics, where there is one.
        """
        file = key = self._key(*settings)
        if self.metrics != check_metrics(DEFAULT_METRICS):
            key = self._key(*settings, self.metrics)
        points = {
            own: RatePoint.from_dict(_read({k: v for k, v in row.items() if k != FILE}), str(self.folder / POINTS))
            for own, row in self.rows.items()
            if file in (own, row.get(FILE))
        }
        size = path.stat().st_size if path is not None and path.is_file() else None
        same = {own: point for own, point in points.items() if path is None or size == point.bytes}
        if key in same:
            return same[key]
        point = measure(next(iter(same.values()), None))
        self.rows[key] = {**_kept(point.to_dict()), **({} if key == file else {FILE: file})}
        write_json(self.folder / POINTS, self.rows)
        return point

    def _key(self, *settings: Any) -> str:
        return hashlib.sha256(json.dumps([self.frames, *settings], sort_keys=True).encode()).hexdigest()[:32]


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    """Return a point as JSON keeps it: the score of exact frames, which is infinite, is a word."""
    return {name: INFINITE if value == math.inf else value for name, value in row.items()}


def _read(row: dict[str, Any]) -> dict[str, Any]:
    return {name: math.inf if value == INFINITE else value for name, value in row.items()}
