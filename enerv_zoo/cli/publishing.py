"""`enerv-zoo publish`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from enerv_zoo.cli import console, fleets, options

if TYPE_CHECKING:
    from enerv_zoo.batch import Outcome


def publish(
    manifest: Annotated[
        str, typer.Argument(metavar="MANIFEST", help="A YAML file, or a bundled manifest: bunny.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="A folder for all fits.")] = Path("runs/zoo"),
    owner: Annotated[
        str | None, typer.Option(help="User or organisation on the Hub.", show_default="the manifest's")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="A file of short names to add to.", show_default="index.yaml in --out")
    ] = None,
    no_push: Annotated[bool, typer.Option("--no-push", help="Fit only.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what there is to do, and do nothing.")] = False,
    device: options.Device = "auto",
    address: fleets.Address = None,
    json: options.Json = False,
) -> None:
    """Fit what a manifest lists (videos x models x sizes) and push it to the Hugging Face Hub.

    Run it again to go on after an interruption or a failure: fits that have ended are kept, one that was cut off goes
    on, and what is on the Hub as it is here is not pushed again.

    Examples:

        enerv-zoo publish bunny --owner user --dry-run

        enerv-zoo publish zoo.yaml --out runs/zoo
    """
    from enerv_zoo import batch

    content = batch.read_manifest(manifest)
    jobs = batch.manifest_jobs(content)
    owner = owner or content.owner
    if owner is None and not no_push:
        raise typer.BadParameter(f"{manifest} names no owner on the Hub; give --owner, or --no-push to fit only")
    with fleets.runner_at(None if dry_run else address) as runner:
        publisher = batch.Publisher(
            out, None if no_push else owner, private=content.private, index=index, device=device, **runner
        )
        outcomes = publisher.survey(jobs) if dry_run else _done(publisher, jobs)
    if json:
        console.print_json([asdict(outcome) for outcome in outcomes])
    else:
        console.out.print(_table(outcomes))
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        console.fail(f"{len(failed)} of {len(jobs)} failed, first {failed[0].name}: {failed[0].error}")


def _done(publisher: Any, jobs: Any) -> list[Outcome]:
    from enerv_zoo.cli.progress import shown

    outcomes = []
    with ExitStack() as stack:

        def on_fit(name: str) -> Any:
            stack.close()
            return stack.enter_context(shown(name))

        for outcome in publisher.publish(jobs, on_fit):
            stack.close()
            outcomes.append(outcome)
            console.err.print(f"{outcome.name}: {outcome.error or outcome.url or 'done'}")
    return outcomes


def _table(outcomes: list[Outcome]) -> Table:
    table = console.Listing("name", "fit", "PSNR (dB)", "push", "where")
    for outcome in outcomes:
        where = outcome.error or outcome.url or outcome.repository or ""
        cells = (outcome.name, outcome.fitting, console.number(outcome.psnr), outcome.pushing, where)
        table.add_row(*cells)
    return table
