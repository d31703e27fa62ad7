"""Several networks on one video, side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Unpack

from enerv_zoo.batch.jobs import OnFit, Runner, job_of, run_here
from enerv_zoo.batch.manifest import check_name
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.evaluation import plot_psnr
from enerv_zoo.files import remove_leftovers, write_json
from enerv_zoo.fitting.history import read_history
from enerv_zoo.fitting.plan import FitPlan, depends_on_speed, plan_fit
from enerv_zoo.keywords import CompareOptions
from enerv_zoo.locking import locked
from enerv_zoo.metrics.columns import columns, split_name
from enerv_zoo.shell import duration
from enerv_zoo.tables import DEVIATION, Field, ResultTable
from enerv_zoo.video.origin import Origin, protected

COMPARISON = "compare.json"
CURVES = "psnr.png"
MEANS = "means.json"


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
    models: Sequence[str] | Mapping[str, Mapping[str, Any]],
    *,
    out: str | Path,
    size: str | float | Sequence[str | float] | None = None,
    seeds: Sequence[int] = (),
    mask: Any = None,
    reference: Any = None,
    init_from: str | Path | None = None,
    on_model: OnFit = lambda name: None,
    device: str = "auto",
    runner: Runner = run_here,
    **options: Unpack[CompareOptions],
) -> dict[str, dict[str, Any]]:
    """Fit several families to one video, each in each size and with each seed.

    Each fit has its own folder in `out`; those that have ended are kept, one that was cut off goes on, so the same call
    can be repeated until all is done. One that fails does not end the others. Writes `compare.json` and the curves, and
    with seeds `means.json`.

    Args:
        source: the video, as `enerv_zoo.fit` takes it.
        models: names of families; or by names of your own, options as `enerv_zoo.fit` takes them (`model`, `recipe`,
            `model_options`, `lr`, ...), which overrule those of all fits. Without `model`, the name is the family's.
        out: folder for all of them.
        size: budget of stored parameters, or several; a fit is then called by its family and size.
        seeds: one fit for each; with several, a fit is called by its seed, too (`enerv-seed0`), and the table has means
            and standard deviations (`comparison_table`).
        mask, reference: of the video, as `enerv_zoo.fit` takes them; scores of their parts are in the table, too.
        init_from: folder of a comparison: each fit begins with the weights of the one of its name there.
        on_model: called with each name as its fit begins; returns that fit's `on_status`.
        device: `"auto"` (CUDA where there is one), `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        runner: does the fits; by default one after the other in this process.
        options: as for `enerv_zoo.fit`: `epochs` for equal epochs, or `time_budget` for equal time.

    Returns:
        The metrics of each fit by name, and the `id` of what was fitted how; of several seeds, also the `seed`, and the
        `group`, which is the name without it.

    Raises:
        ConfigError: no model, or an unknown one.
        VideoError: there is no such source.
        FitsFailed: some fits failed; all others are done by then.
        FitError: another process writes to `out`.
    """
    frames_in = options.get("frames_in", "auto")
    companions: dict[str, Any] = {"mask": mask, "reference": reference}
    plans = plan_comparison(source, models, size=size, seeds=seeds, device="cpu", **companions, **options)
    before = None if init_from is None else Path(init_from).resolve()
    jobs = [job_of(name, source, plan, frames_in, before and before / name) for name, plan in plans.items()]
    ids = {job.name: job.id for job in jobs}  # refuses a source that is not there before anything is fitted
    metrics, reasons, folder = {}, {}, Path(out)
    Origin.of(source).refuse_folder(folder)
    with locked(folder), protected(source):
        remove_leftovers(folder, (COMPARISON, CURVES, MEANS))
        outcomes = {outcome.name: outcome for outcome in runner(jobs, out, device=device, on_fit=on_model)}
        for name, key in ids.items():
            done = outcomes.get(name)
            if done is not None and done.metrics is not None:
                metrics[name] = {**done.metrics, "id": key, **_seeded(name, plans[name], seeds)}
            else:
                reasons[name] = (done and done.error) or "its runner ended without it"
        if metrics:
            write_json(folder / COMPARISON, metrics)
            if len(seeds) > 1:
                write_json(folder / MEANS, means_over_seeds(metrics))
            else:
                (folder / MEANS).unlink(missing_ok=True)  # one of before is of other fits
            plot_psnr({name: read_history(folder / name) for name in metrics}, folder / CURVES)
    if reasons:
        raise FitsFailed(metrics, reasons, folder)
    return metrics


def _seeded(name: str, plan: FitPlan, seeds: Sequence[int]) -> dict[str, Any]:
    """Return what tells fits of several seeds apart."""
    seed = plan.fit.seed
    return {"group": name.removesuffix(f"-seed{seed}"), "seed": seed} if len(seeds) > 1 else {}


VARYING = ("fit_seconds", "fps")
"""Costs that are different for each fit of a group, and have a deviation, too."""


def means_over_seeds(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per group of fits that differ in their seed alone: means, and sample standard deviations (`_std`).

    Args:
        results: from `compare`.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for name, result in results.items():
        groups.setdefault(result.get("group", name), []).append(result)
    scores = [column.name for column in columns(results.values())]
    rows = []
    for name, members in groups.items():
        row: dict[str, Any] = {"fit": name, "fits": len(members)}
        for key in (*scores, "stored_numbers", "stored_bytes", "bpp", *VARYING):
            values = [value for member in members if (value := member.get(key)) is not None]
            row[key] = None if not values else values[0] if len(set(values)) == 1 else fmean(values)
            if len(values) > 1 and key in (*scores, *VARYING):
                row[key + DEVIATION] = stdev(values) if all(map(math.isfinite, values)) else None
        rows.append(row)
    return rows


def comparison_table(results: Mapping[str, Mapping[str, Any]]) -> ResultTable:
    """Return a row per fit of a comparison, the best by the leading metric first; columns are named as in its results.

    Fits that differ in their seed alone are one row: their means and standard deviations.

    `comparison_table(results).write("table.tex")` writes it for a paper.

    Args:
        results: from `compare`.
    """
    quality, rows = columns(results.values()), means_over_seeds(results)
    visible = [own for own in quality if not split_name(own.name)[1] or any(row[own.name] is not None for row in rows)]
    fields = (
        Field("fit"),
        *(column.field for column in visible),
        Field("stored_numbers", "stored parameters", "{:,.0f}".format),
        Field("stored_bytes", "MB", lambda size: f"{size / 1e6:,.2f}"),
        Field("bpp", "bits per pixel", "{:.3f}".format),
        Field("fit_seconds", "fit time", duration),
        Field("fps", "decode frames/s", "{:,.1f}".format),
    )
    return ResultTable(fields, sorted(rows, key=lambda row: quality[0].rank(row.get(quality[0].name))))


def plan_comparison(
    source: Any,
    models: Sequence[str] | Mapping[str, Mapping[str, Any]],
    *,
    size: str | float | Sequence[str | float] | None = None,
    seeds: Sequence[int] = (),
    mask: Any = None,
    reference: Any = None,
    device: str = "auto",
    **options: Unpack[CompareOptions],
) -> dict[str, FitPlan]:
    """Return the plan of each fit of a comparison, by its name; arguments and errors are those of `compare`."""
    models = models if isinstance(models, Mapping) else list(models)
    sizes = list(size) if isinstance(size, Sequence) and not isinstance(size, str) else [size]
    for thing, values in (("model", list(models)), ("size", sizes), ("seed", list(seeds) or [0])):
        if not values or len(set(values)) != len(values):
            raise ConfigError(f"name each {thing} to compare once, got {', '.join(map(str, values)) or 'none'}")
    if seeds and "seed" in options:
        raise ConfigError("a comparison takes a seed or seeds; keep one of them")
    entries = models if isinstance(models, Mapping) else {model: {} for model in models}
    for name, own in entries.items():
        if own.get("model", name) != name:
            check_name(name)
        if "device" in own:
            raise ConfigError(f"{name}: the fits of a comparison have one device; give it for all of them")
    shared: dict[str, Any] = {key: value for key, value in options.items() if key != "frames_in"}
    shared |= {"mask": mask, "reference": reference}
    plans: dict[str, FitPlan] = {}
    for (name, own), budget, seed in itertools.product(entries.items(), sizes, seeds or (None,)):
        several = [str(budget).lower()] * (len(sizes) > 1) + [f"seed{seed}"] * (len(seeds) > 1)
        settings = {"model": name, "size": budget, **shared, **own, **({} if seed is None else {"seed": seed})}
        plans["-".join([name, *several])] = plan_fit(source, device=device, **settings)
    if any(map(depends_on_speed, plans.values())):
        raise ConfigError("fits of one comparison have one size of frames; preset auto chooses it for one fit alone")
    return plans
