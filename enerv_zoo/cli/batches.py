"""`enerv-zoo batch`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from enerv_zoo.cli import console, fleets, options
from enerv_zoo.shell import duration

if TYPE_CHECKING:
    from enerv_zoo.batch import FitOutcome, Publisher

ALIASES = {
    "publish": ("batch", "--push", "--out", "runs/zoo"),
    "fleet": ("batch", "--address", "local", "--out", "runs/fleet"),
}
"""Commands of earlier scripts, and how they begin now."""


def batch(
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST",
            help="A YAML file of videos x models x sizes x recipes x seeds, a .csv or .parquet file with one row per "
            "fit, or a bundled manifest: bunny.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(help="A folder for all fits; with --address one that all machines see, also s3://bucket/fits."),
    ] = "runs/batch",
    push: Annotated[bool, typer.Option("--push/--no-push", help="Push each fit to the Hub as it ends.")] = False,
    owner: Annotated[
        str | None, typer.Option(help="User or organisation on the Hub.", show_default="the manifest's")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="A file of short names to add to.", show_default="index.yaml in --out")
    ] = None,
    workers: fleets.Workers = None,
    address: fleets.Address = None,
    cpus: Annotated[float, typer.Option(help="Cores for each fit, with --address.")] = 1.0,
    attempts: Annotated[int, typer.Option(help="Times that a fit is begun, if its worker is lost each time.")] = 5,
    checkpoint_every: Annotated[
        float, typer.Option(help="Seconds between a fit's checkpoints in --out, at least, with --address.")
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what there is to do, and do nothing.")] = False,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Fit what a manifest lists: here, with workers on this machine, or on a Ray cluster; and push it to the Hub.

    Run it again after an interruption or a failure: what is done stays done, what was begun goes on from its last
    checkpoint, and what is on the Hub as it is here is not pushed again. A fit that fails does so alone.

    Examples:

        enerv-zoo batch zoo.yaml --dry-run

        enerv-zoo batch zoo.yaml --workers 4 --out runs/zoo

        enerv-zoo batch bunny --push --owner user

        enerv-zoo batch clips.csv --address auto --out s3://bucket/fits
    """
    from enerv_zoo import batch as library

    fleets.check_above_0(**{"--cpus": cpus, "--attempts": attempts, "--checkpoint-every": checkpoint_every})
    content = library.read_manifest(manifest)
    jobs = library.manifest_jobs(content)
    publisher: Publisher | None = None
    if push:
        user = owner or content.owner
        if user is None:
            raise typer.BadParameter(f"{manifest} names no owner on the Hub; give --owner, or leave out --push")
        publisher = library.Publisher(out, user, private=content.private, index=index)
    if dry_run:
        plan = library.survey_batch(jobs, out, device=device, publisher=publisher)
        console.print_json(plan) if json else console.out.print(_plan(plan))
        return
    context = fleets.runner_at(address, workers, attempts=attempts, cpus=cpus, checkpoint_every=checkpoint_every)
    with context as runner, fleets.bars() as on_fit:
        result = library.run_batch(
            jobs, out, device=device, publisher=publisher, on_fit=on_fit, on_outcome=_say, **runner
        )
        status = getattr(runner.get("runner"), "status", None)
    failed, fits = result.failed, [row for row in result.rows if row["part_of"] is None]
    ended = sum(row["state"] != "failed" for row in fits)
    if json:
        totals = {} if status is None else asdict(status)
        spent = {key: totals.get(key) for key in ("lost", "seconds", "processor_seconds", "gpu_seconds")}
        console.print_json({"out": result.out, "failed": len(failed), **spent, "fits": result.rows})
    else:
        console.out.print(_results(result.rows))
        hours = "" if status is None else f", {fleets.hours(status)}"
        console.out.print()
        console.out.print(f"{ended} of {len(fits)} done{hours}")
        console.out.print(f"written to {result.out}: report.html, a summary, and a folder for each fit")
    if failed:
        first = f"first {failed[0]['name']}: {failed[0]['error']}"
        console.fail(f"{len(fits) - ended} of {len(fits)} failed, {first}")


def _say(outcome: FitOutcome) -> None:
    if outcome.error or outcome.url:
        console.err.print(f"{outcome.name}: {outcome.error or outcome.url}")


def _plan(rows: list[dict[str, Any]]) -> Table:
    where = "where" if any(row["error"] or row["url"] or row["repository"] for row in rows) else None
    headings = ("push" if any(row["pushing"] for row in rows) else None, where)
    table = console.Listing("fit", "video", "network", "how", "to do", *filter(None, headings))
    for row in rows:
        network = " ".join(str(value) for value in (row["model"], row["size"]) if value)
        extent = "whole" if row["segments"] is None else f"in segments ({row['segments']})"
        further = (row["pushing"] or "", row["error"] or row["url"] or row["repository"] or "")
        shown = (cell for cell, heading in zip(further, headings, strict=True) if heading)
        table.add_row(row["name"], row["video"], network, extent, row["fitting"] or "", *shown)
    return table


def _results(rows: list[dict[str, Any]]) -> Table:
    from enerv_zoo.metrics.columns import columns

    quality, cost = columns(rows), ("stored parameters", "bits per pixel", "fit time")
    fits = [row for row in rows if row["part_of"] is None]
    headings = ("attempts" if any((row["attempts"] or 1) > 1 for row in fits) else None,
                "where" if any(row["url"] for row in fits) else None)  # fmt: skip
    table = console.Listing("fit", *(column.heading for column in quality), *cost, *filter(None, headings))
    for row in fits:
        spent = "" if row["fit_seconds"] is None else duration(row["fit_seconds"])
        cells = (row["name"], *(column.number(row[column.name]) for column in quality),
                 console.number(row["stored_numbers"]), console.number(row["bpp"], 3), spent)  # fmt: skip
        further = zip((str(row["attempts"] or ""), row["url"] or ""), headings, strict=True)
        table.add_row(*cells, *(cell for cell, heading in further if heading))
    return table
