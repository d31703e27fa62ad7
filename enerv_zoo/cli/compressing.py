"""`enerv-zoo compress`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enerv_zoo.cli import console, options

if TYPE_CHECKING:
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
        float, typer.Option(help="Weight of the bits per pixel in the objective while tuning, such as 0.001.")
    ] = 0.0,
    lr: Annotated[float, typer.Option(help="Learning rate of the tuning.")] = 5e-4,
    data: Annotated[
        str | None,
        typer.Option(metavar="VIDEO", help="The video, to tune on and to measure with.", show_default="the fit's own"),
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

    if file.exists() and not overwrite:
        raise ConfigError(f"{file}: is there already; choose another name or add --overwrite")
    with console.err.status("compressing") as status:
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
            device=device,
            on_stage=lambda text: status.update(text),
        )
    if json:
        console.print_json(_plain(made))
        return
    console.out.print(console.table(_rows(made), str(file)))
    console.out.print("\nplay it:")
    console.out.print(f"  enerv-zoo render {file} {file.with_suffix('.mp4')}")


def _plain(made: Compressed) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(made), "path": str(made.path), "ratio": made.ratio}


def _rows(made: Compressed) -> list[tuple[str, str]]:
    widths = ", ".join(f"{count} in {bits}" for bits, count in sorted(Counter(made.bits.values()).items()))
    rows = [
        ("file", f"{made.bytes:,} bytes, {made.bpp:.4f} bits per pixel"),
        ("against float32", f"{made.ratio:.2f} times smaller"),
        ("tensors by their bits", widths),
    ]
    if made.pruned:
        rows.append(("pruned", f"{made.pruned:.1%} of the weights"))
    if made.psnr is not None and made.psnr_before is not None:
        change = made.psnr - made.psnr_before
        rows.append(("PSNR", f"{made.psnr:.2f} dB, {change:+.2f} dB against the fit"))
        rows.append(("MS-SSIM", console.number(made.ms_ssim, 4)))
        rows.append(("decoding", console.number(made.fps, 1, "frames/s")))
    else:
        rows.append(("PSNR", "not measured: name the video with --data"))
    return rows
