"""From the names of metrics to the scores of frames that come in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from enerv_zoo.config import DEFAULT_METRICS, MetricSpec, Spec, VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.metrics.columns import Column, column, is_name
from enerv_zoo.metrics.contract import Metric
from enerv_zoo.registry import metrics

RESERVED = frozenset({
    "attempts", "batch_size", "bpp", "bytes", "decode_fps", "device", "encode_seconds", "epochs", "error", "family",
    "fit", "fit_frames_per_second", "fit_seconds", "fits", "fitting", "fps", "frame", "frames", "frames_measured",
    "group", "height", "host", "id", "model", "name", "part_of", "precision", "recoveries", "repository", "seconds",
    "seed", "segments", "setting", "size", "state", "stored_bytes", "stored_numbers", "unseen", "url", "video", "width",
})  # fmt: skip
"""Names that files have beside scores, and no metric can have."""


def check_metrics(specs: Sequence[MetricSpec]) -> list[Spec]:
    """Return metrics as specs of a name and options.

    Args:
        specs: names, or `{"name": ..., <option>: ...}`.

    Raises:
        ConfigError: none, one twice, or a name or an option that there is not.
    """
    listed = [specs] if isinstance(specs, str | Mapping) else list(specs)
    plain = [{"name": spec} if isinstance(spec, str) else dict(spec) for spec in listed]
    names = [spec.get("name") for spec in plain]
    if not names or len(set(map(str, names))) < len(names):
        raise ConfigError(f"name the metrics to measure, each once; got {', '.join(map(str, names)) or 'none'}")
    for spec in plain:
        options = dict(spec)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(f"a metric is a name, or {{'name': ..., options}}; got {spec!r:.80}")
        metrics.check_options(name, options)
        if not is_name(name) or name in RESERVED:
            raise ConfigError(
                f"the metric {name!r} cannot be a column of files; register it under another name, of lower-case "
                "letters, digits and underscores"
            )
        column(name)
    return plain


def installed(specs: Sequence[MetricSpec]) -> Sequence[MetricSpec]:
    """Those of a fit's metrics that are installed here, or the default ones where none is."""
    names = metrics.names()
    return [spec for spec in specs if (spec if isinstance(spec, str) else spec.get("name")) in names] or DEFAULT_METRICS


class Scorer:
    """Scores of frames by several metrics.

    Args:
        specs: metrics, as `check_metrics` takes them.
        info: of the frames that are compared.
        device: where they lie.

    Attributes:
        columns: of the metrics, in their order.
        missing: by a metric's name, why these frames have no score of it.

    Raises:
        ConfigError: as `check_metrics` does.
    """

    def __init__(self, specs: Sequence[MetricSpec], info: VideoInfo, device: torch.device | str = "cpu") -> None:
        self.columns: list[Column] = []
        self.missing: dict[str, str] = {}
        self._metrics: dict[str, Metric] = {}
        for spec in check_metrics(specs):
            own, metric = column(spec["name"]), metrics.build(spec)
            self.columns.append(own)
            if (reason := metric.missing(info)) is not None:
                self.missing[own.name] = reason
            else:
                self._metrics[own.name] = _on(metric, device if own.scope == "frame" else "cpu")
        self._frame_names = [own.name for own in self.columns if own.scope == "frame"]
        self._clip_names = [own.name for own in self.columns if own.scope == "clip" and own.name in self._metrics]
        self._batches: dict[str, list[Tensor]] = {name: [] for name in self._frame_names if name in self._metrics}
        self._clip: list[tuple[Tensor, Tensor]] = []
        self._places: dict[str, list[Tensor]] = {
            name: [] for name in self._batches if hasattr(self._metrics[name], "places")
        }
        self._count = 0

    @torch.no_grad()
    def add(self, prediction: Tensor, target: Tensor) -> None:
        """Score the next frames; nothing waits for the device unless a metric takes the whole clip.

        Shapes: (B, 3, H, W) twice, float in [0, 1].

        Raises:
            ConfigError: a metric returns something else than a score per frame.
        """
        self._count += len(prediction)
        for name, scores in self._batches.items():
            scores.append(_checked(name, self._metrics[name](prediction, target), (len(prediction),)))
        for name, places in self._places.items():
            metric: Any = self._metrics[name]
            places.append(_checked(name, metric.places(prediction, target), (len(prediction), 2)))
        if self._clip_names:
            self._clip.append((prediction.cpu(), target.cpu()))

    def rows(self) -> list[dict[str, float | None]]:
        """The scores of each frame so far, by the metrics that score frames."""
        nothing: list[float | None] = [None] * self._count
        scores_by_name = {name: torch.cat(scores).tolist() for name, scores in self._batches.items() if scores}
        values = zip(*(scores_by_name.get(name, nothing) for name in self._frame_names), strict=True)
        rows = [dict(zip(self._frame_names, row, strict=True)) for row in values]
        return rows or [{} for _ in nothing]

    def places(self) -> list[dict[str, tuple[int, int]]]:
        """The x and y of each frame's score so far, by the metrics that say where it is from."""
        by_name = {name: torch.cat(places).tolist() for name, places in self._places.items() if places}
        return [
            {name: (x, y) for name, (x, y) in zip(by_name, row, strict=True)}
            for row in zip(*by_name.values(), strict=True)
        ] or [{} for _ in range(self._count)]

    @torch.no_grad()
    def scores(self, rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
        """The score of each metric: the mean over all rows, or that of the clip; `None` where it is missing.

        Raises:
            ConfigError: a metric returns something else than a score per clip.
        """
        scores = means(rows, self._frame_names)
        if self._clip_names:
            prediction, target = (torch.cat(frames) for frames in zip(*self._clip, strict=True))
            for name in self._clip_names:
                scores[name] = float(_checked(name, self._metrics[name](prediction, target), ()))
        return {own.name: scores.get(own.name) for own in self.columns}


def means(rows: Iterable[Mapping[str, float | None]], names: Iterable[str]) -> dict[str, float | None]:
    """The mean of each score over rows, of those that have it; `None` where none has."""
    listed = list(rows)
    scores = {name: [value for row in listed if (value := row.get(name)) is not None] for name in names}
    return {name: fmean(values) if values else None for name, values in scores.items()}


def weighted_means(
    parts: Sequence[tuple[Mapping[str, float | None], int]], names: Iterable[str]
) -> dict[str, float | None]:
    """The mean of each score over parts of a clip, weighted by their frames; `None` where no part has it.

    Args:
        parts: scores by name, and the number of frames.
        names: of the scores.
    """
    means: dict[str, float | None] = {}
    for name in names:
        pairs = [(value, count) for scores, count in parts if (value := scores.get(name)) is not None]
        means[name] = sum(v * count for v, count in pairs) / sum(count for _, count in pairs) if pairs else None
    return means


def _on(metric: Metric, device: torch.device | str) -> Metric:
    if isinstance(metric, nn.Module):
        metric.to(device).eval()
    return metric


def _checked(name: str, scores: Tensor, shape: tuple[int, ...]) -> Tensor:
    if isinstance(scores, Tensor) and tuple(scores.shape) == shape:
        return scores.float() if scores.dtype == torch.bool else scores
    kind = f"a tensor of {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
    raise ConfigError(f"metric {name!r} gave {kind}, expected {'a score per frame' if shape else 'one score'}: {shape}")
