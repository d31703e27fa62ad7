"""`enerv-zoo compare` and `enerv-zoo rd`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.table import Table

from enerv_zoo.cli import completion, console, fleets, options, previews
from enerv_zoo.cli.reporting import WithReport, closing_report

if TYPE_CHECKING:
    from enerv_zoo.batch import RateDistortion

Number = TypeVar("Number", int, float)

EXTENT = ("frames", "height", "width")


def compare(
    video: options.Video,
    *,
    models: Annotated[
        str,
        typer.Option(
            help="Families, separated by commas; NAME=FAMILY gives a fit a name of its own, such as plain=enerv.",
            autocompletion=completion.families,
        ),
    ],
    out: Annotated[Path, typer.Option(help="A folder for all fits.")],
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Seeds, separated by commas, such as 0,1,2; the table has means and standard deviations.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Stored parameters, such as 1.5M; several, separated by commas, fit each family in each.",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="NAME.OPTION=VALUE",
            help="An option of the model of one fit, such as enerv.fc_dim=64.",
            rich_help_panel=options.NETWORK,
        ),
    ] = None,
    preset: options.Preset = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe",
            metavar="[NAME=]RECIPE",
            help="A YAML file or a bundled recipe, for all fits or for one: --recipe hnerv=hnerv.yaml.",
            rich_help_panel=options.RECIPE,
            autocompletion=completion.recipes,
        ),
    ] = None,
    fit_options: options.Recipe,
    selection: options.Selection,
    mask: options.Mask = None,
    reference: options.Reference = None,
    device: options.Device = "auto",
    workers: fleets.Workers = None,
    address: fleets.Address = None,
    dry_run: previews.DryRun = False,
    published: Annotated[
        bool, typer.Option("--published", help="Show published results of these families on this clip beside yours.")
    ] = False,
    report: WithReport = True,
    table: options.Tables = None,
    figure: options.Figures = None,
    json: options.Json = False,
) -> None:
    """Fit several families to one video, with one recipe or each with its own; print one table and draw the curves.

    Run it again to go on after an interruption or a failure: fits that have ended are kept. Give --epochs for equal
    epochs, or --time-budget for equal time.

    Examples:

        enerv-zoo compare bunny --models nerv,enerv,hnerv --preset quick --out runs/compare

        enerv-zoo compare bunny --models nerv,enerv --size 0.35M,0.7M --time-budget 60s --out runs/equal-time

        enerv-zoo compare bunny --models enerv,hnerv --size 1.5M --epochs 300 --published --out runs/compare

        enerv-zoo compare bunny --models enerv,plain=enerv --set plain.block_dim=16 --seeds 0,1,2 --out runs/ablation
    """
    from dataclasses import asdict

    from enerv_zoo import batch
    from enerv_zoo.cli import published as literature
    from enerv_zoo.evaluation import check_figure, plot_psnr
    from enerv_zoo.fitting.history import read_history
    from enerv_zoo.storage import open_run
    from enerv_zoo.tables import check_table
    from enerv_zoo.video.identity import size_of

    for path in table or ():
        check_table(path)
    for path in figure or ():
        check_figure(path)
    budgets = None if size is None else options.listed(size)
    entries, common = _entries(options.listed(models), set_ or [], recipe or [])
    settings = {
        "size": budgets, "seeds": [] if seeds is None else _numbers(seeds, int),
        "recipe": options.chosen_recipe(preset, common), "mask": mask, "reference": reference,
        **selection, **fit_options,
    }  # fmt: skip
    if dry_run:
        previews.preview_fits(video, batch.plan_comparison(video, entries, device=device, **settings), json=json)
        return
    failure = None
    try:
        with fleets.runner_at(address, workers) as runner, fleets.bars() as on_model:
            results = batch.compare(video, entries, out=out, device=device, on_model=on_model, **runner, **settings)
    except batch.FitsFailed as error:
        results, failure = error.results, error
    for path in (table or ()) if results else ():
        batch.comparison_table(results).write(path)
    for path in (figure or ()) if results else ():
        plot_psnr({name: read_history(out / name) for name in results}, path)
    page = None
    if report and results:
        means = batch.comparison_table(results) if len(settings["seeds"]) > 1 else None
        page = closing_report([out / name for name in results], out, device, means=means)
    info = open_run(out / next(iter(results))).info if published and results else None
    if json:
        theirs = [] if info is None else literature.of_comparison(results, info)
        console.print_json({"fits": results, "published": list(map(asdict, theirs))} if published else results)
    elif results:
        console.out.print(console.Listing.of(batch.comparison_table(results)))
        first = next(iter(results.values()))
        raw = 3 * math.prod(first[key] for key in EXTENT)
        console.out.print()
        console.out.print(console.sizes_beside(raw, size_of(video)))
        if info is not None:
            console.out.print()
            literature.print_beside(results, info)
        files = console.files(out, "compare.json", "means.json", "psnr.png", page=page)
        console.out.print()
        console.out.print(f"written to {out}: {files}, and a folder for each fit")
        if table or figure:
            console.out.print(f"and {', '.join(map(str, [*(table or ()), *(figure or ())]))}")
    if failure is not None:
        raise failure


def _entries(
    models: list[str], assignments: list[str], recipes: list[str]
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Return the options of each fit by its name, and the recipe of all others.

    Args:
        models: FAMILY or NAME=FAMILY.
        assignments: NAME.OPTION=VALUE.
        recipes: RECIPE or NAME=RECIPE.
    """
    pairs = [(name, family if equals else name) for name, equals, family in (text.partition("=") for text in models)]
    entries: dict[str, dict[str, Any]] = {name: {"model": family} for name, family in pairs}
    if len(entries) < len(pairs):
        raise typer.BadParameter(f"name each once, got {', '.join(models)}", param_hint="'--models'")
    for assignment in assignments:
        name, dot, rest = assignment.partition(".")
        if not dot or name not in entries:
            names = ", ".join(entries)
            message = f"expected NAME.OPTION=VALUE with a name of {names}, got {assignment!r}"
            raise typer.BadParameter(message, param_hint="'--set'")
        entries[name].setdefault("model_options", {}).update(options.parse_assignments([rest]))
    common = []
    for text in recipes:
        name, equals, own = text.partition("=")
        if equals and name in entries:
            entries[name]["recipe"] = options.chosen_recipe(None, own)
        else:
            common.append(text)
    if len(common) > 1:
        raise typer.BadParameter(f"one is for all fits, got {', '.join(common)}", param_hint="'--recipe'")
    return entries, common[0] if common else None


def rd(
    video: options.Video,
    *,
    out: Annotated[Path, typer.Option(help="A folder for fits, files and results.")],
    models: Annotated[
        str,
        typer.Option(help="Families, separated by commas; '' for codecs alone.", autocompletion=completion.families),
    ] = "enerv",
    sizes: Annotated[
        str | None, typer.Option(help="Stored parameters, separated by commas, such as 0.35M,1M.", show_default=False)
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option(help="Of the weights; a point on the curve for each.", show_default="8,7,6,5,4 without --bpp"),
    ] = None,
    bpp: Annotated[
        str | None,
        typer.Option(help="Bits per pixel of the files, such as 0.1,0.2,0.4; a point for each.", show_default=False),
    ] = None,
    fit_rates: Annotated[
        bool, typer.Option("--fit-rates", help="Fit networks for each rate of --bpp, rather than one for all of them.")
    ] = False,
    ladder: Annotated[
        float | None,
        typer.Option(
            metavar="PART",
            help="With --fit-rates: each rate below the highest goes on from the fit of the one above, with this part "
            "of its epochs, such as 0.25.",
            show_default=False,
        ),
    ] = None,
    tune_epochs: Annotated[int, typer.Option(help="Epochs of fitting on with rounding, for each point.")] = 0,
    codecs: Annotated[
        str,
        typer.Option(
            help="Separated by commas; '' for none. With options: x264:preset=veryslow,gop=250. A YAML file describes "
            "the programs of another codec."
        ),
    ] = "x264,x265,svtav1,vp9",
    curves: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Curves measured elsewhere, as .csv; give it again for several."),
    ] = None,
    count: Annotated[
        str, typer.Option(metavar="file|stream", help="Bytes of a codec that count: with or without its container.")
    ] = "file",
    anchor: Annotated[
        str | None, typer.Option(help="The curve to compare with.", show_default="the first codec")
    ] = None,
    preset: options.Preset = None,
    recipe: options.RecipeFile = None,
    fit_options: options.Recipe,
    selection: options.Selection,
    device: options.Device = "auto",
    workers: fleets.Workers = None,
    address: fleets.Address = None,
    dry_run: previews.DryRun = False,
    report: WithReport = True,
    table: options.Tables = None,
    figure: options.Figures = None,
    json: options.Json = False,
) -> None:
    """Measure rate against quality: networks as .nvz files beside real codecs, on the same frames.

    Draws the curves and gives Bjontegaard's differences. Run it again to go on after an interruption.

    Examples:

        enerv-zoo rd bunny --models enerv,hnerv --sizes 0.2M,0.5M --preset quick --out runs/rd

        enerv-zoo rd bunny --models pca_nerv --preset quick --fit-rates --bpp 0.1,0.2 --ladder 0.25 --out runs/rd

        enerv-zoo rd holiday.mp4 --models '' --codecs x264,svtav1 --out runs/codecs

        enerv-zoo rd holiday.mp4 --codecs x264:preset=veryslow,gop=250,x265 --table rd.tex --figure rd.pdf --out runs/rd
    """
    from enerv_zoo import batch
    from enerv_zoo.evaluation.anchors import available, split_codecs
    from enerv_zoo.video.identity import size_of

    exports = [*(table or ()), *(figure or ())]
    for path in exports:
        batch.check_export(path)
    families, rates = options.listed(models), () if bpp is None else _numbers(bpp, float)
    widths = None if bits is None else _numbers(bits, int)
    fits: dict[str, Any] = {
        "sizes": None if sizes is None else options.listed(sizes), "bits": widths, "bpp": rates, "fit_rates": fit_rates,
        "ladder": ladder, "device": device, "recipe": options.chosen_recipe(preset, recipe), **selection, **fit_options,
    }  # fmt: skip
    if dry_run:
        groups = batch.plan_rates(video, families, **fits)
        named = [each for group in groups for each in group.plans.items()]
        plans = {f"{name}-{plan.fit.bpp:.12g}bpp" if fit_rates else name: plan for name, plan in named}
        previews.preview_fits(video, plans, json=json, bits=widths or ())
        if not json:
            labels = [codec.label for codec in available(split_codecs(codecs))]
            console.out.print(f"codecs, after that: {', '.join(labels) or 'none'}")
        return
    with fleets.runner_at(address, workers) as runner, fleets.bars() as on_model:
        if not runner:
            on_model(video)
        result = batch.rate_distortion(
            video,
            families,
            out=out,
            tune_epochs=tune_epochs,
            codecs=split_codecs(codecs),
            curves=curves or (),
            count=count,
            anchor=anchor,
            on_model=on_model,
            on_stage=on_model if console.err.is_terminal and not runner else _say,
            **runner,
            **fits,
        )
    for path in exports:
        result.write(path)
    page = None
    if report:
        page = closing_report(result.best_files, out, device, data=result.original, rates=result)
    if json:
        console.print_json(result.to_dict())
        return
    for line in _rate_lines(result):
        console.out.print(line)
    console.out.print()
    console.out.print(console.sizes_beside(3 * math.prod(result.video[key] for key in EXTENT), size_of(video)))
    fits_too = f", the compressed fits, and the fits in {out / 'fits'}" if result.best_files else ""
    console.out.print()
    console.out.print(f"written to {out}: {console.files(out, 'rd.json', 'rd.png', page=page)}{fits_too}")
    if exports:
        console.out.print(f"and {', '.join(map(str, exports))}")


def _say(stage: str) -> None:
    console.err.print(stage, style="dim")


def _numbers(text: str, kind: Callable[[str], Number]) -> list[Number]:
    try:
        return [kind(part) for part in options.listed(text)]
    except ValueError as error:
        expected = "integers separated by commas, such as 8,6,5" if kind is int else "numbers, such as 0.1,0.2"
        raise typer.BadParameter(f"expected {expected}, got {text!r}") from error


def _rate_lines(result: RateDistortion) -> Iterator[Table | str]:
    yield console.Listing.of(result.points_table())
    if result.gains:
        yield ""
        yield console.Listing.of(result.gains_table())
    if result.source is not None:
        yield ""
        yield (
            f"The source is itself {result.source['codec']} of {result.source['bpp']:.3f} bits per pixel: codecs of "
            "its kind find again what it kept."
        )
