"""`--dry-run` of `fit`, `compare`, `rd` and `compress`, and sizes beside the original's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enerv_zoo.cli import console
from enerv_zoo.cli.console import larger, megabytes
from enerv_zoo.cli.progress import shown
from enerv_zoo.config import to_dict
from enerv_zoo.shell import amount, duration

if TYPE_CHECKING:
    from enerv_zoo.fitting.plan import FitPlan
    from enerv_zoo.fitting.preview import FitPreview

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show frames, network, memory, time and bytes; fit nothing, write nothing."),
]


def preview_fits(
    source: Any, plans: dict[str, FitPlan], segments: str | None = None, *, json: bool, bits: Sequence[int] = ()
) -> None:
    """Print what fits would take.

    Args:
        source: the video.
        plans: the fits by name.
        segments: how the video is cut, as `--segments` takes it.
        json: print JSON.
        bits: of the weights of compressed files of each fit.
    """
    from enerv_zoo.batch.segments import SegmentsJob
    from enerv_zoo.fitting.choice import choose
    from enerv_zoo.fitting.preview import preview_fit
    from enerv_zoo.video.identity import size_of
    from enerv_zoo.video.scenes import survey

    previews = {}
    with shown("measuring a few steps"):
        original = size_of(source)
        for name, plan in plans.items():
            lengths = []
            if segments is not None:
                description, _ = SegmentsJob("", source, plan, segments).describe()
                lengths = [segment.frames for segment in description.segments]
            plan = choose(plan, source, segments=lengths)
            info = survey(source, **plan.video, scenes=False).info
            previews[name] = preview_fit(plan, info, original, lengths)
    if json:
        console.print_json({name: to_dict(preview) for name, preview in previews.items()})
        return
    for name, preview in previews.items():
        rows = [
            *_rows(preview),
            *((f"file of {b} bits", f"about {megabytes(preview.parameters * b // 8)}") for b in bits),
        ]
        console.out.print(console.table(rows, name))
    if len(previews) > 1 and None not in (times := [preview.seconds for preview in previews.values()]):
        console.out.print(f"all {len(previews)} fits: about {duration(sum(time or 0 for time in times))}")


def preview_file(run: str, config: dict[str, Any], device: str, *, json: bool) -> None:
    """Print what a compression would take, and about how large the file would be."""
    from enerv_zoo.compression.preview import preview_compression

    with shown("measuring a few frames"):
        preview = preview_compression(run, device=device, **config)
    if json:
        console.print_json(to_dict(preview))
        return
    info, size, file = preview.info, preview.file_bytes, "n/a: the search for --max-psnr-drop chooses its size"
    if size is not None:
        remark = larger(size, 3 * info.pixels, preview.source_bytes)
        file = f"about {megabytes(size)}, {8 * size / info.pixels:.3g} bits per pixel{remark}"
    rows = [
        ("frames", f"{info.frames} of {info.size_text}"),
        ("network", f"{preview.model}, {preview.parameters:,} parameters, {amount(preview.macs)}MAC per frame"),
        ("memory", f"about {megabytes(preview.memory_bytes)}"),
        ("time", f"about {duration(preview.seconds)} on {preview.device}"),
        ("network in float32", megabytes(4 * preview.parameters)),
        ("file", file),
        *console.size_rows(3 * info.pixels, preview.source_bytes),
    ]  # fmt: skip
    console.out.print(console.table(rows, run))


def _rows(preview: FitPreview) -> list[tuple[str, str]]:
    info, coded = preview.info, preview.coded_bytes
    segments = f" in {console.count(preview.networks, 'segment')}" if preview.networks > 1 else ""
    step = f"{console.count(preview.batch_size, 'frame')} per step"
    available = f", {megabytes(preview.available_bytes)} available" if preview.device == "cpu" else ""
    time = "n/a: the memory does not suffice" if preview.seconds is None else f"about {duration(preview.seconds)}"
    about = "about " if preview.is_timed else ""
    return [
        ("frames", f"{info.frames} of {info.size_text}{segments}"),
        ("network", f"{preview.model}, {preview.parameters:,} parameters, {amount(preview.macs)}MAC per frame"),
        ("memory", f"up to {megabytes(preview.memory_bytes)}{available}"),
        ("time", f"{time} for {about}{console.count(preview.epochs, 'epoch')} on {preview.device}, {step}"),
        ("network in float32", f"{megabytes(preview.stored_bytes)}{larger(preview.stored_bytes, preview.raw_bytes)}"),
        ("file (.nvz)", f"about {megabytes(coded)}, {8 * coded / info.pixels:.3g} bits per pixel"
         + (" in 8 bits per parameter" if coded == preview.parameters else "")
         + larger(coded, preview.raw_bytes, preview.source_bytes)),
        *console.size_rows(preview.raw_bytes, preview.source_bytes),
    ]  # fmt: skip
