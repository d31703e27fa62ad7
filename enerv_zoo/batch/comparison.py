"""Several networks on one video, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from enerv_zoo.batch.jobs import OnFit, Runner, job_of, run_here
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.evaluation import plot_psnr
from enerv_zoo.files import remove_leftovers, write_json
from enerv_zoo.fitting.history import read_history
from enerv_zoo.fitting.plan import FitPlan, is_open, plan_fit
from enerv_zoo.keywords import CompareOptions
from enerv_zoo.locking import locked
from enerv_zoo.metrics.columns import columns
from enerv_zoo.shell import duration
from enerv_zoo.tables import Field, ResultTable
from enerv_zoo.video.origin import Origin, protected

COMPARISON = "compare.json"
CURVES = "psnr.png"


class FitsFailed(FitError):
    """Some fits of a comparison failed, after all others were done.

    Attributes:
        results: what `compare` would have returned, of the others.
        reasons: of those that failed, by name.
    """

    def __init__(self, results: dict[str, dict[str, Any]], reasons: dict[str, str], out: Path) -> None:
        first, why = next(iter(reasons.items()))
        rest = f"; the others are in {out}, and the same again tries those that failed once more" if results else ""
        super().__init__(f"{len(reasons)} of {len(results) + len(reasons)} fits failed, first {first}: {why}{rest}")
        self.results, self.reasons = results, reasons


def compare(
    source: Any,
    models: Sequence[str],
    *,
    out: str | Path,
    size: str | float | Sequence[str | float] | None = None,
    on_model: OnFit = lambda name: None,
    device: str = "auto",
    runner: Runner = run_here,
    **options: Unpack[CompareOptions],
) -> dict[str, dict[str, Any]]:
    """Fit several families to one video with one recipe, each in each size.

    Each fit has its own folder in `out`; those that have ended are kept, one that was cut off goes on, so the same call
    can be repeated until all is done. One that fails does not end the others. Writes `compare.json` and the curves.

    Args:
        source: the video, as `enerv_zoo.fit` takes it.
        models: names of families.
        out: folder for all of them.
        size: budget of stored parameters, or several; a fit is then called by its family and size.
        on_model: called with each name as its fit begins; returns that fit's `on_status`.
        device: `"auto"` (CUDA where there is one), `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        runner: does the fits; by default one after the other in this process.
        options: as for `enerv_zoo.fit`: `epochs` for equal epochs, or `time_budget` for equal time.

    Returns:
        The metrics of each fit by name, and the `id` of what was fitted how.

    Raises:
        ConfigError: no model, or an unknown one.
        VideoError: there is no such source.
        FitsFailed: some fits failed; all others are done by then.
        FitError: another process writes to `out`.
    """
    frames_in = options.get("frames_in", "auto")
    plans = plan_comparison(source, models, size=size, device="cpu", **options)
    jobs = [job_of(name, source, plan, frames_in) for name, plan in plans.items()]
    ids = {job.name: job.id for job in jobs}  # refuses a source that is not there before anything is fitted
    metrics, reasons, folder = {}, {}, Path(out)
    Origin.of(source).refuse_folder(folder)
    with locked(folder), protected(source):
        remove_leftovers(folder, (COMPARISON, CURVES))
        outcomes = {outcome.name: outcome for outcome in runner(jobs, out, device=device, on_fit=on_model)}
        for name, key in ids.items():
            done = outcomes.get(name)
            if done is not None and done.metrics is not None:
                metrics[name] = {**done.metrics, "id": key}
            else:
                reasons[name] = (done and done.error) or "its runner ended without it"
        if metrics:
            write_json(folder / COMPARISON, metrics)
            plot_psnr({name: read_history(folder / name) for name in metrics}, folder / CURVES)
    if reasons:
        raise FitsFailed(metrics, reasons, folder)
    return metrics


def comparison_table(results: Mapping[str, Mapping[str, Any]]) -> ResultTable:
    """Return a row per fit of a comparison, the best by the leading metric first; columns are named as in its results.

    `comparison_table(results).write("table.tex")` writes it for a paper.

    Args:
        results: from `compare`.
    """
    quality = columns(results.values())
    fields = (
        Field("fit"),
        *(column.field for column in quality),
        Field("stored_numbers", "stored parameters", "{:,.0f}".format),
        Field("stored_bytes", "MB", lambda size: f"{size / 1e6:,.2f}"),
        Field("bpp", "bits per pixel", "{:.3f}".format),
        Field("fit_seconds", "fit time", duration),
        Field("fps", "decode frames/s", "{:,.1f}".format),
    )
    rows = [{"fit": name, **result} for name, result in results.items()]
    return ResultTable(fields, sorted(rows, key=lambda row: quality[0].rank(row.get(quality[0].name))))


def plan_comparison(
    source: Any,
    models: Sequence[str],
    *,
    size: str | float | Sequence[str | float] | None = None,
    device: str = "auto",
    **options: Unpack[CompareOptions],
) -> dict[str, FitPlan]:
    """Return the plan of each fit of a comparison, by its name; arguments and errors are those of `compare`."""
    sizes = list(size) if isinstance(size, Sequence) and not isinstance(size, str) else [size]
    for thing, values in (("model", models), ("size", sizes)):
        if not values or len(set(values)) != len(values):
            raise ConfigError(f"name each {thing} to compare once, got {', '.join(map(str, values)) or 'none'}")
    fit_options: dict[str, Any] = {key: value for key, value in options.items() if key != "frames_in"}
    plans = {
        model if len(sizes) == 1 else f"{model}-{str(budget).lower()}": plan_fit(
            source, model, size=budget, device=device, **fit_options
        )
        for model, budget in itertools.product(models, sizes)
    }
    if any(map(is_open, plans.values())):
        raise ConfigError("fits of one comparison have one size of frames; preset auto chooses it for one fit alone")
    return plans
