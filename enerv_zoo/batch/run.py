"""A manifest, fitted by a fleet: whole videos and videos in segments, one summary of all of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enerv_zoo.batch.jobs import FitJob, FitOutcome, check_names
from enerv_zoo.batch.manifest import Job
from enerv_zoo.batch.segments import SegmentsJob, summarise
from enerv_zoo.batch.store import Store
from enerv_zoo.config import FitConfig, Recipe, from_dict, read_mapping, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import replacing
from enerv_zoo.fitting.folder import FRAMES, REPORT
from enerv_zoo.fitting.plan import as_begun, difference
from enerv_zoo.metrics import check_metrics
from enerv_zoo.report.fleet import write_fleet_report
from enerv_zoo.storage.record import METRICS, RECORD
from enerv_zoo.storage.segments import SEGMENTS, segment_folder, segments_from_json, segments_to_json
from enerv_zoo.video.origin import name_alone, without_folders

if TYPE_CHECKING:
    from enerv_zoo.cluster import Fleet

SUMMARY = "summary.parquet"
NUMBER, COUNT, TEXT = "float64", "int64", "string"


def columns_of(names: Iterable[str]) -> dict[str, str]:
    """The summary's columns and their types. A row is a fit, or a video in segments, whose segments are rows, too.

    Args:
        names: of the metrics.
    """
    return {
        "name": TEXT, "id": TEXT, "part_of": TEXT, "state": TEXT, "error": TEXT, "video": TEXT, "frames": COUNT,
        "height": COUNT, "width": COUNT, "model": TEXT, "size": TEXT, "stored_numbers": COUNT, "stored_bytes": COUNT,
        **dict.fromkeys(names, NUMBER), "bpp": NUMBER, "epochs": COUNT, "fit_seconds": NUMBER, "seconds": NUMBER,
        "attempts": COUNT, "host": TEXT,
    }  # fmt: skip


@dataclass(frozen=True)
class FleetResult:
    """What `run_jobs` gives.

    Attributes:
        rows: of the summary, in the manifest's order; see `columns_of`.
        out: where all of it is: a folder for each fit, `summary.parquet` and `report.html`.
    """

    rows: list[dict[str, Any]]
    out: str

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of what could not be done."""
        return [row for row in self.rows if row["state"] == "failed"]


def run_jobs(
    jobs: Sequence[Job],
    fleet: Fleet,
    out: str | Path,
    *,
    device: str = "auto",
    on_outcome: Callable[[FitOutcome], None] = lambda outcome: None,
) -> FleetResult:
    """Fit all jobs of a manifest, and write what became of each.

    Segments of long videos are fits like any other, done in any order. What is there already is not done again.

    Args:
        jobs: from `enerv_zoo.fitting.manifest_jobs`.
        fleet: does them.
        out: a folder that all machines see, by its path or its address.
        device: as `Fleet` takes it.
        on_outcome: called as each fit ends.

    Raises:
        ConfigError: no jobs, or two of one name.
        FitError: the store fails, another process writes to it, or there is no such device.
    """
    if not jobs:
        raise ConfigError("a fleet needs a job; the manifest has none")
    check_names([job.name for job in jobs])
    store = Store(out)
    store.check()
    fleet.choose_device(device)
    with store.locked():
        return _run_jobs(jobs, fleet, store, device, on_outcome)


def _run_jobs(
    jobs: Sequence[Job], fleet: Fleet, store: Store, device: str, on_outcome: Callable[[FitOutcome], None]
) -> FleetResult:
    whole = {job.name: job.fit for job in jobs if isinstance(job.fit, FitJob)}
    long = {job.name: job.fit for job in jobs if isinstance(job.fit, SegmentsJob)}
    parts: dict[str, list[FitJob]] = {}
    errors: dict[str, str] = {}
    for name, found, error in fleet.map(cut, {name: (job, store.root) for name, job in long.items()}):
        if error is None:
            parts[name] = found
        else:
            errors[name] = error
    fits = [*whole.values(), *(part for name in long for part in parts.get(name, ()))]
    outcomes: dict[str, FitOutcome] = {}
    for outcome in fleet(fits, store.root, device=device):
        outcomes[outcome.name] = outcome
        on_outcome(outcome)
    for name, found in parts.items():
        failed = [part.name for part in found if outcomes[part.name].error is not None]
        if failed:
            errors[name] = f"{len(failed)} of {len(found)} segments failed, first {failed[0]}"
    ended = {name: (name, store.root) for name in parts if name not in errors}
    totals = {}
    for name, metrics, error in fleet.map(finish, ended):
        if error is None:
            totals[name] = metrics
        else:
            errors[name] = error
    columns = columns_of(_metrics(jobs))
    rows = []
    for job in jobs:
        if isinstance(job.fit, FitJob):
            rows.append(_row(columns, job.fit, outcomes[job.name]))
            continue
        own = parts.get(job.name, [])
        recipe = Recipe(model=job.fit.plan.model, fit=to_dict(job.fit.plan.fit), video=job.fit.plan.video)
        spent = [outcomes[part.name].seconds or 0.0 for part in own]
        total = FitOutcome(
            job.name, metrics=totals.get(job.name), error=errors.get(job.name), seconds=sum(spent), attempts=0
        )
        rows.append(_row(columns, FitJob(job.name, job.fit.plan.source or job.fit.source, recipe), total))
        rows += [_row(columns, part, outcomes[part.name], job.name) for part in own]
    _write(columns, rows, store)
    return FleetResult(rows, store.root)


def _metrics(jobs: Sequence[Job]) -> list[str]:
    """The names of the metrics that fits are measured by, in the order of their first mention."""
    configs = (from_dict(FitConfig, j.fit.recipe.fit) if isinstance(j.fit, FitJob) else j.fit.plan.fit for j in jobs)
    return list(dict.fromkeys(spec["name"] for config in configs for spec in check_metrics(config.metrics)))


def _row(columns: Iterable[str], job: FitJob, outcome: FitOutcome, part_of: str | None = None) -> dict[str, Any]:
    size, metrics = job.recipe.model.get("size"), outcome.metrics or {}
    known = {
        "name": job.name,
        "id": outcome.id,
        "part_of": part_of,
        "state": "failed" if outcome.error else "done",
        "error": None if outcome.error is None else without_folders(outcome.error, job.source),
        "video": name_alone(job.source),
        "model": job.recipe.model.get("name"),
        "size": None if size is None else str(size),
        "seconds": outcome.seconds,
        "attempts": outcome.attempts,
        "host": outcome.host,
    }
    return {column: known[column] if column in known else metrics.get(column) for column in columns}


def _write(columns: Mapping[str, str], rows: Sequence[dict[str, Any]], store: Store) -> None:
    """The summary and the page, into the store."""
    import pyarrow as pa
    from pyarrow import parquet

    with tempfile.TemporaryDirectory() as folder:
        table, page = Path(folder) / SUMMARY, Path(folder) / REPORT
        schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
        with replacing(table) as temporary:
            parquet.write_table(pa.Table.from_pylist(list(rows), schema), temporary)
        write_fleet_report(rows, page)
        for path in (table, page):
            store.put(path, path.name)


# ---------------------------------------------------------------------- segments


def cut(job: SegmentsJob, root: str) -> list[FitJob]:
    """Decide where a long video is cut, once and for all, and give the jobs of its segments.

    Raises:
        EnervZooError: the video cannot be read, or the store holds another fit under this name.
    """
    store = Store(root)
    before = store.read(f"{job.name}/{RECORD}")
    if before is not None:
        job = replace(job, plan=as_begun(job.plan, before, f"{root}/{job.name}"))
    record = job.record()
    found = store.read(f"{job.name}/{SEGMENTS}")
    other = None if before is None else difference(before, record)
    if other is not None:
        raise ConfigError(
            f"{store.root}/{job.name}: holds a fit with other {other}; give this one another name, or move that away"
        )
    if before is not None and found is not None:
        description = segments_from_json(found, f"{job.name}/{SEGMENTS}")
    else:
        description = job.describe()
        store.write(f"{job.name}/{SEGMENTS}", segments_to_json(description))
        store.write(f"{job.name}/{RECORD}", record)
    return job.jobs(description)


def finish(name: str, root: str) -> dict[str, Any]:
    """Numbers of a whole video whose segments are all fitted.

    Raises:
        EnervZooError: a segment is missing, or the store fails.
    """
    store = Store(root)
    with tempfile.TemporaryDirectory(prefix="enerv-zoo-") as scratch:
        folder = Path(scratch)
        store.get(f"{name}/{SEGMENTS}", folder / SEGMENTS)
        description = segments_from_json(read_mapping(folder / SEGMENTS), f"{name}/{SEGMENTS}")
        for number in range(len(description.segments)):
            part = segment_folder(folder, number)
            for file in (METRICS, FRAMES):
                store.get(f"{name}/{part.name}/{file}", part / file)
        metrics = summarise(folder, description)
        for file in (FRAMES, METRICS):
            store.put(folder / file, f"{name}/{file}")
    return metrics
