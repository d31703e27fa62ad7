"""`enerv-zoo compress`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enerv_zoo.cli import console, options, previews
from enerv_zoo.cli.progress import shown
from enerv_zoo.progress import stage

if TYPE_CHECKING:
    from enerv_zoo.compression import Compressed


def compress(
    run: options.Run,
    file: Annotated[Path, typer.Argument(metavar="FILE.nvz", help="The file to write.", show_default=False)],
    *,
    config: options.Compression,
    data: Annotated[
        str | None,
        typer.Option(metavar="VIDEO", help="The video, to tune on and to measure with.", show_default="the fit's own"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    dry_run: previews.DryRun = False,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Write a fit as one small file, quantised and entropy-coded; it decodes to the same bits anywhere.

    Examples:

        enerv-zoo compress runs/bunny bunny.nvz

        enerv-zoo compress runs/bunny bunny.nvz --bits 6 --tune-epochs 5

        enerv-zoo compress runs/bunny bunny.nvz --max-psnr-drop 0.2
    """
    from enerv_zoo.errors import ConfigError
    from enerv_zoo.files import free_name

    if dry_run:
        previews.preview_file(run, config, device, json=json)
        return
    if file.exists() and not overwrite:
        raise ConfigError(f"{file}: is there already; choose another name or add --overwrite")
    with shown(run):
        from enerv_zoo import compression

        result = compression.compress(run, file, data=data, device=device, on_stage=stage, **config)
    if json:
        console.print_json(_plain(result))
        return
    console.out.print(console.table(_rows(result), str(file)))
    console.out.print()
    console.out.print("play it:")
    console.print_command("render", file, free_name(file.with_suffix(".mp4")))


def _plain(result: Compressed) -> dict[str, object]:
    from dataclasses import asdict

    plain = asdict(result)
    return {**plain.pop("scores"), **plain, "path": str(result.path), "ratio": result.ratio}


def _rows(result: Compressed) -> list[tuple[str, str]]:
    from enerv_zoo.metrics.columns import column

    halves = Counter(round(2 * bits) / 2 for bits in result.bits.values())
    widths = ", ".join(f"{console.count(count, 'tensor')} in {bits:g} bits" for bits, count in sorted(halves.items()))
    rows = [
        (
            "network" if result.sound_bytes or result.graph_bytes else "file",
            f"{result.bytes:,} bytes, {result.bpp:.4f} bits per pixel"
            + console.larger(result.bytes, result.raw_bytes, result.source_bytes),
        ),
        *console.size_rows(result.raw_bytes, result.source_bytes, result.sound_bytes),
        *([("graph beside it", f"{result.graph_bytes:,} bytes")] if result.graph_bytes else []),
        ("against float32", f"{result.ratio:.2f} times smaller"),
        ("weights", widths),
    ]
    if result.pruned:
        rows.append(("pruned", f"{result.pruned:.1%} of the weights"))
    for name, score in result.scores.items():
        before = result.psnr_before if name == "psnr" else None
        change = "" if before is None or score is None else f", {score - before:+.2f} dB against the fit"
        rows.append((column(name).label, column(name).text(score) + change))
    if result.scores:
        rows.append(("decoding", console.number(result.fps, 1, "frames/s")))
    else:
        rows.append(("quality", "not measured: name the video with --data"))
    return rows
