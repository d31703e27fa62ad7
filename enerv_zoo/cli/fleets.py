"""`enerv-zoo fleet`, and the option that sends the fits of other commands to a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from enerv_zoo.cli import console, options
from enerv_zoo.cli.progress import LINE_INTERVAL

if TYPE_CHECKING:
    from enerv_zoo.batch import FitOutcome, FleetStatus
    from enerv_zoo.cluster import Fleet

SHOWN = 12
"""Running fits that are listed; of more, the first."""

Address = Annotated[
    str | None,
    typer.Option(
        metavar="local|auto|ray://HOST:PORT",
        help="Fit on a Ray cluster: one on this machine, the one it is part of, or another one. --out is then a folder "
        "that all of its machines see.",
        show_default="fit here, one after the other",
    ),
]


def fleet(
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST",
            help="A YAML file of videos x models x sizes x recipes, or a .csv or .parquet file, a row a fit.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str, typer.Option(help="A folder that all machines see: a path, s3://bucket/fits, hf://datasets/user/fits.")
    ] = "runs/fleet",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="auto|ray://HOST:PORT",
            help="The Ray cluster: the one that this machine is part of, or another one.",
            show_default="one on this machine",
        ),
    ] = None,
    cpus: Annotated[float, typer.Option(help="Cores for each fit.")] = 1.0,
    attempts: Annotated[int, typer.Option(help="Times that a fit is begun, if its worker is lost each time.")] = 5,
    checkpoint_every: Annotated[
        float, typer.Option(help="Seconds between a fit's checkpoints in --out, at least.")
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the fits, and do nothing.")] = False,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Fit what a manifest lists on all machines of a Ray cluster.

    Run it again after an interruption or a failure: what is done stays done, and what was begun goes on from its last
    checkpoint, on whichever machine. A fit that fails does so alone. Needs the extra enerv-zoo\\[cluster].

    Examples:

        enerv-zoo fleet zoo.yaml --out runs/fleet

        enerv-zoo fleet clips.csv --address auto --out s3://bucket/fits
    """
    from enerv_zoo import batch

    _check_above_0(**{"--cpus": cpus, "--attempts": attempts, "--checkpoint-every": checkpoint_every})
    jobs = batch.manifest_jobs(batch.read_manifest(manifest))
    if dry_run:
        plan = [_planned(job) for job in jobs]
        console.print_json(plan) if json else console.out.print(_plan(plan))
        return
    with shown_fleet(address, cpus=cpus, attempts=attempts, checkpoint_every=checkpoint_every) as (workers, last):
        result = batch.run_jobs(jobs, workers, out, device=device, on_outcome=_tell)
    status, failed = last(), result.failed
    if json:
        console.print_json({"out": result.out, "failed": len(failed), **_totals(status), "fits": result.rows})
    else:
        console.out.print(_results(result.rows))
        hours = _hours(status)
        console.out.print()
        console.out.print(f"{len(result.rows) - len(failed)} of {len(result.rows)} done, {hours}")
        console.out.print(f"written to {result.out}: summary.parquet, report.html, and a folder for each fit")
    if failed:
        console.fail(f"{len(failed)} of {len(result.rows)} failed, first {failed[0]['name']}: {failed[0]['error']}")


def _check_above_0(**options: float) -> None:
    for option, value in options.items():
        if value <= 0:
            raise typer.BadParameter(f"expected a number above 0, got {value:g}", param_hint=f"'{option}'")


@contextmanager
def shown_fleet(address: str | None, **settings: Any) -> Iterator[tuple[Fleet, Callable[[], FleetStatus]]]:
    """A fleet, shown while the block runs: live on a terminal, else in a line now and then; and its last status."""
    from enerv_zoo.cluster import Fleet

    told: list[FleetStatus] = []
    with Live(console=console.err, transient=True, auto_refresh=False) as live:

        def show(status: FleetStatus) -> None:
            if told and not console.err.is_terminal and status.seconds - told[0].seconds < LINE_INTERVAL:
                told[1:] = [status]
                return
            told[:] = [status, status]
            if console.err.is_terminal:
                live.update(Group(*_live(status)), refresh=True)
            else:
                console.err.print(_line(status))

        with Fleet(None if address == "local" else address, on_update=show, **settings) as workers:
            yield workers, lambda: told[-1]


@contextmanager
def runner_at(address: str | None) -> Iterator[dict[str, Any]]:
    """`runner=`, for what takes one, where an address is given; else nothing."""
    if address is None:
        yield {}
        return
    with shown_fleet(address) as (workers, _):
        yield {"runner": workers}


def _tell(outcome: FitOutcome) -> None:
    if outcome.error is not None:
        console.err.print(f"{outcome.name}: {outcome.error}")


def _totals(status: FleetStatus) -> dict[str, Any]:
    keys = ("lost", "seconds", "processor_seconds", "gpu_seconds")
    return {key: value for key, value in asdict(status).items() if key in keys}


def _line(status: FleetStatus) -> str:
    left = "" if status.seconds_left is None else f", {console.seconds(status.seconds_left)} left"
    counts = f"{status.done} of {status.jobs} done, {len(status.running)} running, {status.failed} failed"
    return f"{counts}, {_hours(status)}{left}"


def _hours(status: FleetStatus) -> str:
    gpu = f", {status.gpu_seconds / 3600:.3g} GPU-hours" if status.gpu_seconds else ""
    return f"{status.processor_seconds / 3600:.3g} core-hours{gpu}"


def _live(status: FleetStatus) -> Iterator[Any]:
    yield _line(status)
    if not status.running:
        return
    table = console.Listing("fit", "machine", "", "", "PSNR (dB)")
    for row in sorted(status.running, key=lambda row: -row.progress)[:SHOWN]:
        again = f" (attempt {row.attempt})" if row.attempt > 1 else ""
        table.add_row(
            row.name + again,
            row.host,
            ProgressBar(total=1.0, completed=row.progress, width=24),
            f"{row.progress:.0%}",
            console.number(row.psnr),
        )
    yield table


def _planned(job: Any) -> dict[str, Any]:
    """One of the fits that `--dry-run` lists."""
    model = (getattr(job.fit, "recipe", None) or job.fit.plan).model
    segments = getattr(job.fit, "segments", None)
    return {
        "name": job.name,
        "video": str(job.fit.source),
        "model": model.get("name"),
        "size": model.get("size"),
        "segments": segments,
    }


def _plan(rows: list[dict[str, Any]]) -> Table:
    table = console.Listing("fit", "video", "network", "how")
    for row in rows:
        network = " ".join(str(value) for value in (row["model"], row["size"]) if value)
        how = "whole" if row["segments"] is None else f"in segments ({row['segments']})"
        table.add_row(row["name"], row["video"], network, how)
    return table


def _results(rows: list[dict[str, Any]]) -> Table:
    from enerv_zoo.metrics.columns import columns

    quality, cost = columns(rows), ("stored parameters", "bits per pixel", "fit time")
    table = console.Listing("fit", *(column.heading for column in quality), *cost, "attempts")
    for row in rows:
        if row["part_of"] is not None:
            continue
        spent = "" if row["fit_seconds"] is None else console.seconds(row["fit_seconds"])
        cells = (row["name"], *(column.number(row[column.name]) for column in quality),
                 console.number(row["stored_numbers"]), console.number(row["bpp"], 3), spent,
                 str(row["attempts"] or ""))  # fmt: skip
        table.add_row(*cells)
    return table
