"""`enerv-zoo compress` and `enerv-zoo rd`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from enerv_zoo.cli import completion, console, fleets, options
from enerv_zoo.cli.reporting import WithReport, closing_report
from enerv_zoo.shell import duration

if TYPE_CHECKING:
    from enerv_zoo.batch import RateDistortion
    from enerv_zoo.compression import Compressed


def compress(
    run: options.Run,
    file: Annotated[Path, typer.Argument(metavar="FILE.nvz", help="The file to write.", show_default=False)],
    bits: Annotated[int | None, typer.Option(help="Bits of every weight, 2 to 16.", show_default="8")] = None,
    scales: Annotated[
        str, typer.Option(metavar="tensor|channel", help="One scale for each tensor, or for each output channel.")
    ] = "tensor",
    bpp: Annotated[
        float | None, typer.Option(help="Stay within so many bits per pixel; bits are chosen for each tensor.")
    ] = None,
    max_psnr_drop: Annotated[
        float | None, typer.Option(help="Lose at most so many dB; bits are chosen for each tensor.")
    ] = None,
    prune: Annotated[float, typer.Option(help="Part of the weights to set to zero, such as 0.4.")] = 0.0,
    tune_epochs: Annotated[int, typer.Option(help="Epochs of fitting on, with rounding, after pruning.")] = 0,
    rate_weight: Annotated[
        float, typer.Option(help="Weight of the bits per pixel in the objective while tuning, such as 0.03.")
    ] = 0.0,
    lr: Annotated[float, typer.Option(help="Learning rate of the tuning.")] = 5e-4,
    entropy_model: Annotated[
        Any,  # a name or a mapping
        typer.Option(
            help="What codes the weights (enerv-zoo models --parts).",
            parser=options.parse_part,
            metavar="MODEL",
            show_default="table",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="VIDEO", help="The video, to tune on and to measure with.", show_default="the fit's own"),
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="Of the weights, such as cc-by-4.0.", show_default="what the fit says")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Write a fit as one small file, quantised and entropy-coded; it decodes to the same bits anywhere.

    Example:

        enerv-zoo compress runs/bunny bunny.nvz

        enerv-zoo compress runs/bunny bunny.nvz --bits 6 --tune-epochs 5

        enerv-zoo compress runs/bunny bunny.nvz --max-psnr-drop 0.2
    """
    from enerv_zoo import compression
    from enerv_zoo.errors import ConfigError
    from enerv_zoo.files import free_name

    if file.exists() and not overwrite:
        raise ConfigError(f"{file}: is there already; choose another name or add --overwrite")
    with console.working("compressing") as show_stage:
        made = compression.compress(
            run,
            file,
            data=data,
            bits=bits,
            scales=scales,  # type: ignore[arg-type]
            bpp=bpp,
            max_psnr_drop=max_psnr_drop,
            prune=prune,
            tune_epochs=tune_epochs,
            rate_weight=rate_weight,
            lr=lr,
            entropy_model=entropy_model or "table",
            license=license,
            device=device,
            on_stage=show_stage,
        )
    if json:
        console.print_json(_plain(made))
        return
    console.out.print(console.table(_rows(made), str(file)))
    console.out.print()
    console.out.print("play it:")
    console.print_command("render", file, free_name(file.with_suffix(".mp4")))


def _plain(made: Compressed) -> dict[str, object]:
    from dataclasses import asdict

    plain = asdict(made)
    return {**plain.pop("scores"), **plain, "path": str(made.path), "ratio": made.ratio}


def _rows(made: Compressed) -> list[tuple[str, str]]:
    from enerv_zoo.metrics.columns import column

    widths = ", ".join(f"{count} in {bits:g}" for bits, count in sorted(Counter(made.bits.values()).items()))
    rows = [
        ("file", f"{made.bytes:,} bytes, {made.bpp:.4f} bits per pixel"),
        ("against float32", f"{made.ratio:.2f} times smaller"),
        ("tensors by their bits", widths),
    ]
    if made.pruned:
        rows.append(("pruned", f"{made.pruned:.1%} of the weights"))
    for name, score in made.scores.items():
        before = made.psnr_before if name == "psnr" else None
        change = "" if before is None or score is None else f", {score - before:+.2f} dB against the fit"
        rows.append((column(name).label, column(name).text(score) + change))
    if made.scores:
        rows.append(("decoding", console.number(made.fps, 1, "frames/s")))
    else:
        rows.append(("quality", "not measured: name the video with --data"))
    return rows


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
    bits: Annotated[str, typer.Option(help="Of the weights; a point on the curve for each.")] = "8,7,6,5,4",
    tune_epochs: Annotated[int, typer.Option(help="Epochs of fitting on with rounding, for each point.")] = 0,
    codecs: Annotated[str, typer.Option(help="Separated by commas; '' for none.")] = "x264,x265,svtav1,vp9",
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
    report: WithReport = True,
    json: options.Json = False,
) -> None:
    """Measure rate against quality: networks as .nvz files beside real codecs, on the same frames.

    Draws the curves and gives Bjontegaard's differences. Run it again to go on after an interruption.

    Examples:

        enerv-zoo rd bunny --models enerv,hnerv --sizes 0.2M,0.5M --preset quick --out runs/rd

        enerv-zoo rd holiday.mp4 --models '' --codecs x264,svtav1 --out runs/codecs
    """
    from enerv_zoo import batch

    with fleets.runner_at(address, workers) as runner, fleets.bars() as on_model:
        result = batch.rate_distortion(
            video,
            options.listed(models),
            out=out,
            sizes=None if sizes is None else options.listed(sizes),
            bits=_numbers(bits),
            tune_epochs=tune_epochs,
            codecs=options.listed(codecs),
            anchor=anchor,
            device=device,
            on_model=on_model,
            on_stage=lambda text: console.err.print(text, style="dim"),
            **runner,
            recipe=options.chosen_recipe(preset, recipe),
            **selection,
            **fit_options,
        )
    page = closing_report(result.best_files, out, device, result.original, result) if report else None
    if json:
        console.print_json(result.to_dict())
        return
    for line in _rate_lines(result):
        console.out.print(line)
    fits_too = f", the compressed fits, and the fits in {out / 'fits'}" if result.best_files else ""
    console.out.print()
    console.out.print(f"written to {out}: {console.files(out, 'rd.json', 'rd.png', page=page)}{fits_too}")


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in options.listed(text)]
    except ValueError as error:
        raise typer.BadParameter(f"expected integers separated by commas, such as 8,6,5, got {text!r}") from error


def _rate_lines(result: RateDistortion) -> Iterator[Table | str]:
    quality = result.curves[0].points[0].columns
    headings = (own.heading for own in quality)
    points = console.Listing("", "", "bytes", "bits per pixel", *headings, "encoding", "decode frames/s")
    for curve in result.curves:
        for point in sorted(curve.points, key=lambda point: point.bytes):
            points.add_row(
                curve.name, point.setting, f"{point.bytes:,}", f"{point.bpp:.4f}",
                *(own.number(point.scores[own.name]) for own in quality),
                duration(point.encode_seconds), console.number(point.decode_fps, 1),
            )  # fmt: skip
    yield points
    if result.gains:
        gains = console.Listing(f"against {result.gains[0].anchor}", "BD-rate", f"BD-{quality[0].label}", "")
        for gain in result.gains:
            rate = "n/a" if gain.bd_rate is None else f"{gain.bd_rate:+.1f} %"
            gains.add_row(gain.curve, rate, quality[0].change(gain.bd_quality), gain.missing or "")
        yield ""
        yield gains
    if result.source is not None:
        yield ""
        yield (
            f"The source is itself {result.source['codec']} of {result.source['bpp']:.3f} bits per pixel: codecs of "
            "its kind find again what it kept."
        )
