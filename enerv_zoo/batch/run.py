"""A batch: the jobs of a manifest, done by any runner and pushed where asked for, and one summary of all of it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from enerv_zoo.batch.dispatch import Dispatcher
from enerv_zoo.batch.jobs import FitJob, FitOutcome, OnFit, Runner, check_names, reason, run_here
from enerv_zoo.batch.manifest import Job
from enerv_zoo.batch.publish import INDEX, PUSHES, Publisher
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.batch.store import Store
from enerv_zoo.batch.stored_segments import cut, finish
from enerv_zoo.config import FitConfig, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import remove_leftovers
from enerv_zoo.fitting.folder import REPORT
from enerv_zoo.metrics import check_metrics
from enerv_zoo.metrics.columns import names_in
from enerv_zoo.parsing import read_mapping
from enerv_zoo.report.fleet import write_fleet_report
from enerv_zoo.storage.record import METRICS
from enerv_zoo.video.origin import name_alone, without_folders
from enerv_zoo.video.reading import check_there
from enerv_zoo.video.remote import is_address

logger = logging.getLogger(__name__)

SUMMARY = "summary.parquet"
NUMBER, COUNT, TEXT = "float64", "int64", "string"


def columns_of(names: Iterable[str]) -> dict[str, str]:
    """Return the summary's columns and their types. A row is a fit, a video in segments or one of its segments.

    Args:
        names: of the metrics.
    """
    return {
        "name": TEXT, "id": TEXT, "part_of": TEXT, "state": TEXT, "error": TEXT, "video": TEXT, "frames": COUNT,
        "height": COUNT, "width": COUNT, "model": TEXT, "size": TEXT, "stored_numbers": COUNT, "stored_bytes": COUNT,
        **dict.fromkeys(names, NUMBER), "bpp": NUMBER, "epochs": COUNT, "fit_seconds": NUMBER, "seconds": NUMBER,
        "attempts": COUNT, "host": TEXT, "fitting": TEXT, "repository": TEXT, "url": TEXT,
    }  # fmt: skip


@dataclass(frozen=True)
class BatchResult:
    """The result of `run_batch`.

    Attributes:
        rows: of the summary, in the manifest's order; see `columns_of`.
        out: the folder that holds a folder for each fit, `summary.parquet` and `report.html`.
    """

    rows: list[dict[str, Any]]
    out: str

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Rows of what could not be done."""
        return [row for row in self.rows if row["state"] == "failed"]


def survey_batch(
    jobs: Sequence[Job], out: str | Path, *, device: str = "auto", publisher: Publisher | None = None
) -> list[dict[str, Any]]:
    """Return what there is to do, one row per job; nothing is written, and no network is asked.

    Args:
        jobs: from `manifest_jobs`.
        out: the folder of all fits; at an address, nothing is looked up.
        device: to fit on.
        publisher: of the fits, where they are pushed.
    """
    place = out if is_address(str(out)) else Path(out).expanduser()  # as `Store` has it
    return [_survey(job, place, device, publisher) for job in jobs]


def _survey(job: Job, out: str | Path, device: str, publisher: Publisher | None) -> dict[str, Any]:
    fit, model = job.fit, job.fit.whole.recipe.model
    row: dict[str, Any] = {
        "name": job.name, "video": str(fit.source), "model": model.get("name"), "size": model.get("size"),
        "segments": None if isinstance(fit, FitJob) else fit.segments, "fitting": None, "pushing": None,
        "repository": publisher and publisher.repository(job), "url": None, "psnr": None, "error": None,
    }  # fmt: skip
    try:
        if not is_address(str(out)):
            row["fitting"] = fit.todo(out, device)
        if row["fitting"] != "nothing":
            check_there(fit.source)
        else:
            row["psnr"] = read_mapping(Path(out) / job.name / METRICS).get("psnr")
        if publisher is not None:
            row["url"] = publisher.pushed(job) if row["fitting"] == "nothing" else None
            row["pushing"] = "push" if row["url"] is None else "nothing"
    except Exception as error:  # whatever ends one job must not end the others
        row["error"] = reason(error)
    return row


def run_batch(
    jobs: Sequence[Job],
    out: str | Path,
    *,
    runner: Runner = run_here,
    device: str = "auto",
    publisher: Publisher | None = None,
    on_fit: OnFit = lambda name: None,
    on_outcome: Callable[[FitOutcome], None] = lambda outcome: None,
) -> BatchResult:
    """Do all jobs of a manifest, and write how each ended.

    Segments of long videos are fits like any other, done in any order, each from fresh weights. What is there already
    is not done again. A fit that fails does so alone.

    Args:
        jobs: from `manifest_jobs`.
        out: a folder for all of it; for a `Fleet`, one that all machines see, by its path or its address.
        runner: does the fits; by default one after the other in this process.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        publisher: pushes each fit as it ends.
        on_fit: called with each name as its fit begins, where the runner fits here; returns that fit's `on_status`.
        on_outcome: called as each fit has ended, and is pushed.

    Raises:
        ConfigError: no jobs, two of one name, or a publisher of fits at an address.
        FitError: the store fails, another process writes to it, or there is no such device.
    """
    if not jobs:
        raise ConfigError("there is nothing to fit; the manifest has no jobs")
    check_names([job.name for job in jobs])
    store = Store(out)
    if publisher is not None and not store.is_local:
        raise ConfigError(f"{out}: only fits in a folder can be pushed; fit without --push, or into a folder")
    store.check()
    with store.locked():
        if store.is_local:
            remove_leftovers(Path(store.root), (PUSHES, INDEX, SUMMARY, REPORT))
        batch = _Batch(jobs, runner, store, device, publisher)
        batch.cut()
        batch.fit(on_fit, on_outcome)
        batch.finish(on_outcome)
        scores = [name for outcome in batch.outcomes.values() for name in names_in(outcome.metrics or {})]
        columns = columns_of(dict.fromkeys([*metrics_of(jobs), *scores]))  # those of parts, too
        rows = batch.rows(columns)
        write_tables(columns, rows, store)
    return BatchResult(rows, store.root)


class _Batch:
    """The jobs of a manifest while they are done."""

    def __init__(
        self, jobs: Sequence[Job], runner: Runner, store: Store, device: str, publisher: Publisher | None
    ) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.runner, self.store, self.device, self.publisher = runner, store, device, publisher
        self.map = runner.map if isinstance(runner, Dispatcher) else map_here
        self.parts: dict[str, list[FitJob]] = {}  # of videos in segments, by name
        self.outcomes: dict[str, FitOutcome] = {}

    def cut(self) -> None:
        """Decide where long videos are cut."""
        calls = {job.name: (job.fit, self.store.root) for job in self.jobs.values() if isinstance(job.fit, SegmentsJob)}
        for name, parts, error in self.map(cut, calls):
            if error is None:
                self.parts[name] = parts
            else:
                self.outcomes[name] = FitOutcome(name, error=error, attempts=0)

    def fit(self, on_fit: OnFit, on_outcome: Callable[[FitOutcome], None]) -> None:
        """Fit whole videos and segments."""
        fits = [job.fit for job in self.jobs.values() if isinstance(job.fit, FitJob)]
        fits += [part for parts in self.parts.values() for part in parts]
        for outcome in self.runner(fits, self.store.root, device=self.device, on_fit=on_fit):
            on_outcome(self._end(outcome))

    def _end(self, outcome: FitOutcome) -> FitOutcome:
        """Note how a job or a segment ended; a job is pushed."""
        job = self.jobs.get(outcome.name)
        if job is not None and self.publisher is not None and outcome.error is None:
            try:
                outcome = replace(outcome, url=self.publisher.push(job))
            except Exception as error:  # whatever ends one job must not end the others
                logger.debug("%s", job.name, exc_info=True)
                outcome = replace(outcome, error=reason(error))
        self.outcomes[outcome.name] = outcome
        return outcome

    def finish(self, on_outcome: Callable[[FitOutcome], None]) -> None:
        """Sum up videos whose segments are all fitted."""
        ended = {}
        for name, parts in self.parts.items():
            outcomes = [self._outcome(part.name) for part in parts]
            failed = [outcome.name for outcome in outcomes if outcome.error is not None]
            error = f"{len(failed)} of {len(parts)} segments failed, first {failed[0]}" if failed else None
            spent = sum(outcome.seconds or 0.0 for outcome in outcomes)
            begun = [outcome.fitting for outcome in outcomes if outcome.fitting != "nothing"]
            ended[name] = FitOutcome(name, begun[0] if begun else "nothing", error=error, seconds=spent, attempts=0)
        calls = {name: (name, self.store.root) for name, outcome in ended.items() if outcome.error is None}
        for name, metrics, error in self.map(finish, calls):
            ended[name] = replace(ended[name], metrics=metrics, error=error)
        for outcome in ended.values():
            on_outcome(self._end(outcome))

    def rows(self, columns: Iterable[str]) -> list[dict[str, Any]]:
        """Return a row per job, and one per segment."""
        rows = []
        for job in self.jobs.values():
            row = fit_row(columns, job.fit.whole, self._outcome(job.name))
            row["repository"] = self.publisher and self.publisher.repository(job)
            rows.append(row)
            rows += [
                fit_row(columns, part, self._outcome(part.name), job.name) for part in self.parts.get(job.name, ())
            ]
        return rows

    def _outcome(self, name: str) -> FitOutcome:
        return self.outcomes.get(name) or FitOutcome(name, error="its runner ended without it")


def map_here(function: Callable[..., Any], calls: dict[str, tuple[Any, ...]]) -> Iterator[tuple[str, Any, str | None]]:
    """Call a function in this process. Yields each call's name, its value, and why it failed or `None`."""
    for name, arguments in calls.items():
        try:
            yield name, function(*arguments), None
        except Exception as error:  # whatever ends one call must not end the others
            yield name, None, reason(error)


def metrics_of(jobs: Sequence[Job]) -> list[str]:
    """Return the names of the metrics that fits are measured by, in the order of their first mention."""
    configs = (from_dict(FitConfig, job.fit.whole.recipe.fit) for job in jobs)
    return list(dict.fromkeys(spec["name"] for config in configs for spec in check_metrics(config.metrics)))


def fit_row(columns: Iterable[str], job: FitJob, outcome: FitOutcome, part_of: str | None = None) -> dict[str, Any]:
    """Return the row of a fit in the summary."""
    size, metrics = job.recipe.model.get("size"), outcome.metrics or {}
    facts = {
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
        "fitting": outcome.fitting,
        "url": outcome.url,
    }
    return {column: facts[column] if column in facts else metrics.get(column) for column in columns}


def write_tables(columns: Mapping[str, str], rows: Sequence[dict[str, Any]], store: Store) -> None:
    """Write the summary and the page into the store."""
    with tempfile.TemporaryDirectory() as folder:
        table, page = Path(folder) / SUMMARY, Path(folder) / REPORT
        write_fleet_report(rows, page)
        _write_table(columns, rows, table)
        for path in (table, page):
            if path.is_file():
                store.put(path, path.name)


def _write_table(columns: Mapping[str, str], rows: Sequence[dict[str, Any]], path: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        logger.info("%s is left out: it needs pyarrow (pip install 'enerv-zoo[cluster]')", SUMMARY)
        return
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    parquet.write_table(pa.Table.from_pylist(list(rows), schema), path)
