"""Families of networks and real codecs on one video: how many bytes for what quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enerv_zoo.batch.comparison import compare
from enerv_zoo.batch.jobs import OnFit, Runner, run_here
from enerv_zoo.batch.rate_fits import plan_rates
from enerv_zoo.batch.rate_points import POINTS, FitsDone, MeasuredPoints
from enerv_zoo.batch.rate_tables import gains_table, points_table, read_curves
from enerv_zoo.config import (
    DEFAULT_METRICS,
    SELECTION,
    MetricSpec,
    PartSpec,
    Spec,
    VideoInfo,
)
from enerv_zoo.display import table
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation import check_figure, plot_rates
from enerv_zoo.evaluation.anchors import CODECS, Codec, available, check_frames, measure_quality
from enerv_zoo.evaluation.pictures import FIGURES
from enerv_zoo.evaluation.rates import Gain, RateCurve, gains, source_rate
from enerv_zoo.files import check_writable, remove_leftovers, write_json
from enerv_zoo.fitting.choice import at_rate
from enerv_zoo.fitting.plan import FitPlan, plan_fit
from enerv_zoo.locking import locked
from enerv_zoo.machine import choose_device
from enerv_zoo.metrics import Scorer, check_metrics
from enerv_zoo.storage.originals import source_name
from enerv_zoo.storage.run import open_run
from enerv_zoo.tables import FORMATS, ResultTable
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.origin import Origin, protected
from enerv_zoo.video.scenes import survey
from enerv_zoo.zoo import chosen_config

RESULT = "rd.json"
PICTURE = "rd.png"
JSON, POINTS_TABLE = ".json", ".csv"

COUNTS = ("file", "stream")
"""Bytes of a codec's files that can make its rate."""


@dataclass(frozen=True)
class RateDistortion:
    """The result of `rate_distortion`; also `rd.json`.

    Attributes:
        video: name, frames, height and width of what was encoded.
        source: what that is compressed with already (`codec`, `bpp`), or `None`.
        curves: of every family and codec.
        gains: of every curve but the anchor, against the anchor, by each metric that both have, the leading one first.
        best_files: of each family, the compressed fit of the best quality.
        original: the frames that were encoded.
    """

    video: dict[str, Any]
    source: dict[str, Any] | None
    curves: tuple[RateCurve, ...]
    gains: tuple[Gain, ...]
    best_files: tuple[Path, ...]
    original: Video = field(compare=False, repr=False)

    def __repr__(self) -> str:
        return f"RateDistortion({self.video['name']!r:.80}, {', '.join(curve.name for curve in self.curves)})"

    def _repr_html_(self) -> str:
        rows = [(f"{g.curve} against {g.anchor}, BD-rate by {g.metric} in %", g.bd_rate) for g in self.gains]
        return table(self.video["name"], rows)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the frames as plain data."""
        return {
            "video": self.video,
            "source": self.source,
            "curves": [curve.to_dict() for curve in self.curves],
            "gains": [gain.to_dict() for gain in self.gains],
            "best_files": [path.name for path in self.best_files],
        }

    def write(self, path: str | Path) -> None:
        """Write the result for a paper, in the format of the suffix.

        A figure (`.pdf`, `.png`, `.svg`) has the curves. A table in CSV (`.csv`) has every point, one in Markdown
        (`.md`) or LaTeX (`.tex`) the Bjontegaard differences, and JSON (`.json`) all of it.

        Raises:
            ConfigError: no format has such a suffix, or matplotlib is missing.
            EnervZooError: the file cannot be written.
        """
        check_export(path)
        suffix = Path(path).suffix.lower()
        if suffix in FIGURES:
            plot_rates(self.curves, path)
        elif suffix == JSON:
            write_json(path, self.to_dict())
        else:
            (self.points_table() if suffix == POINTS_TABLE else self.gains_table()).write(path)

    def points_table(self) -> ResultTable:
        """Return a row per point, curve by curve, by rate; those that comparisons leave out say why."""
        return points_table(self.curves)

    def gains_table(self) -> ResultTable:
        """Return a row per curve but the anchor, with its Bjontegaard differences by each metric."""
        return gains_table(self.gains)


def check_export(path: str | Path) -> None:
    """Refuse a file that `RateDistortion.write` cannot write; errors are those of that."""
    suffix = Path(path).suffix.lower()
    if suffix not in (*FORMATS, JSON, *FIGURES):
        raise ConfigError(f"{path}: rates are written to files that end in {', '.join((*FORMATS, JSON, *FIGURES))}")
    (check_figure if suffix in FIGURES else check_writable)(path)


def rate_distortion(
    source: Any,
    models: Sequence[str],
    *,
    out: str | Path,
    sizes: Sequence[str | float] | None = None,
    bits: Sequence[int] | None = None,
    bpp: Sequence[float] = (),
    fit_rates: bool = False,
    ladder: float | None = None,
    tune_epochs: int = 0,
    codecs: Sequence[PartSpec] = CODECS,
    curves: Sequence[str | Path] = (),
    count: str = "file",
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
        fit_rates: fit networks for each of the `bpp` (see `FitConfig.bpp`) in place of compressing one fit to all of
            them; by default, of the size that suits the rate.
        ladder: with `fit_rates`, fit only the highest rate from fresh weights, and each lower one from the fit before
            it: the same network, with this part of its epochs or time, such as 0.25.
        tune_epochs: of every compression (see `enerv_zoo.compress`).
        codecs: as `enerv_zoo.measure_codec` takes them; those that are missing on this machine are left out with a
            warning. Before fits, each is tried on the first frame.
        curves: tables of curves that were measured elsewhere (see `enerv_zoo.batch.rate_tables.read_curves`).
        count: bytes of codecs that make their rate: of the whole `"file"`, or of the raw `"stream"` without its
            container, where that is known. Of a network, all bytes count.
        anchor: the curve that the others are compared with; by default the first codec, else the first family.
        metrics: what the decoded frames are measured by, as `enerv_zoo.evaluate` takes them. The first one leads: the
            best points of a curve, and the comparison of curves, are by it.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        runner: does the fits (see `enerv_zoo.compare`).
        on_model: called with each fit's name as it begins; returns its `on_status`.
        on_stage: called with a line for each encoding.
        options: as for `enerv_zoo.fit`; by default the pixels that the video's file holds are measured.

    Raises:
        ConfigError: nothing to measure, an unknown name or option, a size that a family cannot have, or a file that
            cannot be read. Nothing has been fitted or written by then.
        VideoError: there is no such source, or codecs cannot take its frames.
        FitsFailed: some fits failed; all others are done by then, and nothing else is.
        FitError: another process writes to `out`.
    """
    folder, chosen, specs = Path(out), choose_device(device), check_metrics(metrics)
    if count not in COUNTS:
        raise ConfigError(f"count is {' or '.join(COUNTS)}, got {count!r:.40}")
    encoders = available(codecs)
    groups = plan_rates(
        source, models, sizes=sizes, bits=bits, bpp=bpp, fit_rates=fit_rates, ladder=ladder, device=device, **options
    )
    plans = [plan for group in groups for plan in group.plans.values()]
    selection = {key: options[key] for key in SELECTION if key in options}
    cut = plans[0].video if plans else plan_fit(source, device=device, **selection).video
    info = _check_frames(source, cut, plans, encoders, specs)
    others = [curve for path in curves for curve in read_curves(path, info.pixels, specs[0]["name"])]
    labels = [codec.label for codec in encoders]
    lead = _check_names([*models, *labels, *(curve.name for curve in others)], anchor, labels)
    Origin.of(source).refuse_folder(folder)
    if models and not (folder / POINTS).is_file():  # before fits that take hours
        image = _open_stored(source, {**cut, "frames": "0"})
        for codec in encoders:
            measure_quality(codec, codec.anchor.ladder[0], image, ["psnr"])
    with locked(folder), protected(source):
        remove_leftovers(folder, (RESULT, PICTURE, POINTS))
        fits: list[FitsDone] = []
        for group in groups:
            place, before = folder / group.name, None if group.after is None else folder / group.after
            calls: dict[str, Any] = {"on_model": on_model, "runner": runner, "init_from": before, **group.options}
            fits.append((group, compare(source, group.models, out=place, **calls)))
        original = _original(source, folder, fits[0]) if fits else _open_stored(source, selection)
        points = MeasuredPoints(folder, original, specs, chosen, tune_epochs, on_stage)
        families = [points.of_family(model, fits) for model in models]
        measured = [curve for curve, _ in families] + [points.of_codec(codec, count) for codec in encoders] + others
        result = RateDistortion(
            {name: getattr(original.info, name) for name in ("name", "frames", "height", "width")},
            source_rate(source, cut.get("stream")) if isinstance(source, str | Path) else None,
            tuple(measured),
            tuple(gains(measured, lead)),
            tuple(best for _, best in families),
            original,
        )
        write_json(folder / RESULT, result.to_dict())
        if plot_rates(measured, folder / PICTURE) is None:
            (folder / PICTURE).unlink(missing_ok=True)  # one of before is of other points
    return result


def _open_stored(source: Any, selection: Mapping[str, Any]) -> Video:
    """Open a video with the pixels that its file holds, unless it is to have square ones."""
    return open_video(source, **{**selection, "square_pixels": bool(selection.get("square_pixels"))})


def _original(source: Any, folder: Path, fits: FitsDone) -> Video:
    """Return the frames that were fitted."""
    unnamed = source if source_name(source) is None else None
    group, metrics = fits
    return open_run(folder / group.name / next(iter(metrics))).original(unnamed)


def _check_frames(
    source: Any,
    selection: Mapping[str, Any],
    plans: Sequence[FitPlan],
    encoders: Sequence[Codec],
    metrics: Sequence[Spec],
) -> VideoInfo:
    """Return the description of the frames, once all that would be done with them can be done.

    Raises:
        ConfigError: a family cannot have a size or a rate, or the frames have no score of the metric that leads.
        VideoError: there is no such source, or a codec cannot take its frames.
    """
    info = survey(source, **selection, scenes=False).info
    if reason := Scorer(metrics, info).missing.get(metrics[0]["name"]):
        raise ConfigError(f"{reason}; name another metric first, as the first one compares the curves")
    check_frames(encoders, info)
    for plan in plans:
        chosen_config(at_rate(plan, info).model, info)
    return info


def _check_names(names: Sequence[str], anchor: str | None, codecs: Sequence[str]) -> str:
    """Return the anchor's name.

    Raises:
        ConfigError: nothing to measure, a name twice, or an unknown anchor.
    """
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"name families, codecs and curves, each once; got {', '.join(names) or 'none'}")
    first = anchor or next(iter(codecs or names))
    if first not in names:
        raise ConfigError(f"the anchor is one of {', '.join(names)}, got {first!r}")
    return first
