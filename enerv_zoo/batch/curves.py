"""Families of networks and real codecs on one video: how many bytes for what quality."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enerv_zoo.batch.comparison import compare
from enerv_zoo.batch.jobs import OnFit, Runner, run_here
from enerv_zoo.compression.run import compress
from enerv_zoo.config import DEFAULT_METRICS, SELECTION, CompressConfig, MetricSpec, Spec, from_dict
from enerv_zoo.errors import ConfigError, UnmetTarget
from enerv_zoo.evaluation import plot_rates
from enerv_zoo.evaluation.anchors import CODECS, Anchor, available, build_anchor, check_frames, measure_codec
from enerv_zoo.evaluation.rates import Gain, RateCurve, RatePoint, gains, measure_network, source_rate
from enerv_zoo.files import remove_leftovers, write_json
from enerv_zoo.fitting.plan import choose_device, plan_fit
from enerv_zoo.loading import load
from enerv_zoo.locking import locked
from enerv_zoo.metrics import check_metrics
from enerv_zoo.nvz.quantisation import check_bits
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage.originals import source_name
from enerv_zoo.storage.run import open_run
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.identity import digest
from enerv_zoo.video.origin import Origin, protected
from enerv_zoo.video.scenes import survey

RESULT = "rd.json"
PICTURE = "rd.png"
POINTS = "points.json"
FITS = "fits"
BITS = (8, 7, 6, 5, 4)
UNITS = {"bits": "bit", "bpp": "bpp"}
"""Units of targets, as names of files have them."""

Target = tuple[str, float]
"""An option of `enerv_zoo.compress` that says how large a file is, and its value."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RateDistortion:
    """The result of `rate_distortion`; also `rd.json`.

    Attributes:
        video: name, frames, height and width of what was encoded.
        source: what that is compressed with already (`codec`, `bpp`), or `None`.
        curves: of every family and codec.
        gains: of every curve but the anchor, against the anchor, by the metric that leads.
        best_files: of each family, the compressed fit of the best quality.
        original: the frames that were encoded.
    """

    video: dict[str, Any]
    source: dict[str, Any] | None
    curves: tuple[RateCurve, ...]
    gains: tuple[Gain, ...]
    best_files: tuple[Path, ...]
    original: Video = field(compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the frames as plain data."""
        return {
            "video": self.video,
            "source": self.source,
            "curves": [curve.to_dict() for curve in self.curves],
            "gains": [gain.to_dict() for gain in self.gains],
            "best_files": [path.name for path in self.best_files],
        }


def rate_distortion(
    source: Any,
    models: Sequence[str],
    *,
    out: str | Path,
    sizes: Sequence[str | float] | None = None,
    bits: Sequence[int] | None = None,
    bpp: Sequence[float] = (),
    tune_epochs: int = 0,
    codecs: Sequence[str] = CODECS,
    anchor: str | None = None,
    metrics: Sequence[MetricSpec] = DEFAULT_METRICS,
    device: str = "auto",
    runner: Runner = run_here,
    on_model: OnFit = lambda name: None,
    on_stage: Callable[[str], object] = lambda text: None,
    **options: Any,
) -> RateDistortion:
    """Fit families in several sizes, write each fit in several files, and encode the same frames with codecs.

    Every point is a file: its bytes are counted, and the 8-bit RGB frames that it decodes to are compared with the
    original's. What has been done is kept, so the same call goes on after an interruption. Writes `rd.json`, `rd.png`,
    the compressed fits, and the fits themselves in `out/fits`.

    Args:
        source: the video, as `enerv_zoo.fit` takes it.
        models: names of families; none for codecs alone.
        out: folder for all of it.
        sizes: budgets of stored parameters, such as `["0.35M", "1M"]`; by default the recipe's.
        bits: of the weights; a point for each. By default 8 to 4, or none where `bpp` is given.
        bpp: bits per pixel of the file, for which the bits of each tensor are chosen; a point for each. A network that
            cannot have so few has no such point.
        tune_epochs: of every compression (see `enerv_zoo.compress`).
        codecs: registered anchors (`enerv_zoo.list_components("anchor")`); those that are missing on this machine are
            left out with a warning.
        anchor: the curve that the others are compared with; by default the first codec, else the first family.
        metrics: what the decoded frames are measured by, as `enerv_zoo.evaluate` takes them. The first one leads: the
            best points of a curve, and the comparison of curves, are by it.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        runner: does the fits (see `enerv_zoo.compare`).
        on_model: called with each fit's name as it begins; returns its `on_status`.
        on_stage: called with a line for each encoding.
        options: as for `enerv_zoo.fit`; by default the pixels that the video's file holds are measured.

    Raises:
        ConfigError: nothing to measure, or an unknown name.
        VideoError: there is no such source, or codecs cannot take its size.
        FitsFailed: some fits failed; all others are done by then, and nothing else is.
        FitError: another process writes to `out`.
    """
    folder, chosen = Path(out), choose_device(device)
    specs = check_metrics(metrics)
    encoders = available(codecs)
    first = _check_names(models, encoders, anchor)
    targets = _targets(bits, bpp) if models else []
    selection = {key: options[key] for key in SELECTION if key in options}
    if encoders:  # before fits that take hours
        cut = plan_fit(source, device=chosen, recipe=options.get("recipe") if models else None, **selection).video
        check_frames(encoders, survey(source, **cut, scenes=False).info)
    Origin.of(source).refuse_folder(folder)
    with locked(folder), protected(source):
        remove_leftovers(folder, (RESULT, PICTURE, POINTS))
        fits: dict[str, dict[str, Any]] = {}
        if models:
            budgets: Any = None if sizes is None else list(sizes)
            settings = {"size": budgets, "on_model": on_model, "device": device, "runner": runner, **options}
            fits = compare(source, models, out=folder / FITS, **settings)
            unnamed = source if source_name(source) is None else None
            original = open_run(folder / FITS / next(iter(fits))).original(unnamed)
        else:
            original = open_video(source, **{**selection, "square_pixels": bool(selection.get("square_pixels"))})
        points = _Points(folder, original, specs, chosen, tune_epochs, on_stage)
        families = [points.of_family(model, fits, targets) for model in models]
        curves = [curve for curve, _ in families] + [points.of_codec(name) for name in encoders]
        info = original.info
        result = RateDistortion(
            {"name": info.name, "frames": info.frames, "height": info.height, "width": info.width},
            source_rate(source) if isinstance(source, str | Path) else None,
            tuple(curves),
            tuple(gains(curves, first)),
            tuple(best for _, best in families),
            original,
        )
        write_json(folder / RESULT, result.to_dict())
        plot_rates(curves, folder / PICTURE)
    return result


def _targets(bits: Sequence[int] | None, bpp: Sequence[float]) -> list[Target]:
    """Return the option of `enerv_zoo.compress` that gives each file its size.

    Raises:
        ConfigError: there is none, or one is out of range.
    """
    widths = (() if bpp else BITS) if bits is None else bits
    for width in widths:
        check_bits(width)
    for rate in bpp:
        from_dict(CompressConfig, {"bpp": rate}, "rd")
    if not widths and not bpp:
        raise ConfigError("name the bits of the weights to measure, such as 8,6,5,4, or the bits per pixel")
    return [*(("bits", width) for width in widths), *(("bpp", rate) for rate in bpp)]


def _check_names(models: Sequence[str], encoders: Sequence[str], anchor: str | None) -> str:
    """Return the anchor's name.

    Raises:
        ConfigError: nothing to measure, or an unknown name.
    """
    names = [*models, *encoders]
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"name families and codecs to measure, each once; got {', '.join(names) or 'none'}")
    first = anchor or (encoders[0] if encoders else names[0])
    if first not in names:
        raise ConfigError(f"the anchor is one of {', '.join(names)}, got {first!r}")
    return first


class _Points:
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

    def of_family(
        self, model: str, fits: Mapping[str, dict[str, Any]], targets: Sequence[Target]
    ) -> tuple[RateCurve, Path]:
        """Write each fit of a family for several targets. Returns its curve, and the file of the highest PSNR.

        Raises:
            ConfigError: no target can be met.
        """
        own = {name: fit for name, fit in fits.items() if fit["model"] == model}
        points: dict[Path, RatePoint] = {}
        for (name, fit), target in itertools.product(own.items(), targets):
            path = self.folder / f"{name}-{target[1]:g}{UNITS[target[0]]}.nvz"
            try:
                points[path] = self._of_network(path, self.folder / FITS / name, fit, target)
            except UnmetTarget as error:
                logger.warning("%s: no point at %g bits per pixel: %s", name, target[1], error)
        if not points:
            raise ConfigError(f"{model}: no target can be met by any of its networks; give larger ones")
        settings = {"tuning": f"{self.tune_epochs} epochs", "epochs": str(max(fit["epochs"] for fit in own.values()))}
        return RateCurve(model, settings, tuple(points.values())), max(points, key=lambda path: points[path].quality())

    def _of_network(self, path: Path, run: Path, fit: dict[str, Any], target: Target) -> RatePoint:
        option, value = target
        setting = f"{value:g} {'bits' if option == 'bits' else 'bits per pixel'}"

        def measure() -> RatePoint:
            self.on_stage(f"{run.name} in {setting}")
            options: dict[str, Any] = {option: value, "tune_epochs": self.tune_epochs, "device": self.device}
            compressed = compress(run, path, data=self.original, measure=False, **options)
            size, seconds = compressed.bytes, fit["fit_seconds"] + compressed.seconds
            name = f"{fit['stored_numbers'] / 1e6:.2f}M, {setting}"
            return measure_network(load(path, self.device), self.original, name, size, seconds, self.metrics)

        key = value if option == "bits" else target  # as older folders have it
        return self._known(("network", fit["id"], key, self.tune_epochs), measure, path)

    def of_codec(self, name: str) -> RateCurve:
        """Encode the frames with a codec, once for each quality of its ladder."""
        codec = build_anchor(name)
        points = tuple(self._of_quality(name, codec, quality) for quality in codec.ladder)
        return RateCurve(name, codec.settings, points)

    def _of_quality(self, name: str, codec: Anchor, quality: float) -> RatePoint:
        def measure() -> RatePoint:
            self.on_stage(f"{name} at {codec.unit} {quality:g}")
            return next(measure_codec(name, self.original, (quality,), self.metrics))

        return self._known(("codec", name, codec.settings, quality), measure)

    def _known(
        self, settings: tuple[Any, ...], measure: Callable[[], RatePoint], path: Path | None = None
    ) -> RatePoint:
        """Return a point, measured if it is not known, or if its file is not the one that was measured."""
        others = [] if self.metrics == check_metrics(DEFAULT_METRICS) else [self.metrics]
        key = hashlib.sha256(json.dumps([self.frames, *settings, *others], sort_keys=True).encode()).hexdigest()[:32]
        if key in self.rows:
            point = RatePoint.from_dict(self.rows[key], str(self.folder / POINTS))
            if path is None or (path.is_file() and path.stat().st_size == point.bytes):
                return point
        point = measure()
        self.rows[key] = point.to_dict()
        write_json(self.folder / POINTS, self.rows)
        return point
