"""`enerv-zoo info` and `enerv-zoo bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enerv_zoo.cli import completion, console, options
from enerv_zoo.cli.progress import shown
from enerv_zoo.config import size_text

if TYPE_CHECKING:
    from enerv_zoo.composition import ModelConfig
    from enerv_zoo.config import VideoInfo
    from enerv_zoo.nvz import Sizes
    from enerv_zoo.storage import Run


def info(
    run: options.OptionalRun = None,
    revision: options.Revision = None,
    tree: Annotated[bool, typer.Option("--tree", help="Show the network as a tree, with its costs.")] = False,
    model: Annotated[
        str | None,
        typer.Option(help="In place of RUN: a family, not yet fitted.", autocompletion=completion.families),
    ] = None,
    size: Annotated[str | None, typer.Option(help="With --model: stored parameters, such as 1.5M.")] = None,
    resize: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="With --model: the frames' size.", show_default="1280x720"),
    ] = None,
    length: Annotated[int | None, typer.Option(help="With --model: how many frames.", show_default="132")] = None,
    yaml: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the composition to a YAML file, to change and fit."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Show a fit: its video, its network, its size. Of a repository on the Hub, without its weights.

    Of a .nvz file, also the bytes of each part. With --model, a family that is not fitted, part by part.

    Examples:

        enerv-zoo info runs/bunny

        enerv-zoo info user/bunny-enerv --tree

        enerv-zoo info bunny.nvz

        enerv-zoo info --model enerv --size 1.5M --resize 1280x720

        enerv-zoo info --model enerv --resize 1280x720 --yaml network.yaml
    """
    if (run is None) == (model is None):
        raise typer.BadParameter("expected a RUN, or a family with --model; see enerv-zoo models")
    if model is not None:
        _unfitted(model, size, "1280x720" if resize is None else resize, 132 if length is None else length, yaml, json)
    elif run is not None:
        for option, value in (("--size", size), ("--resize", resize), ("--length", length)):
            if value is not None:
                raise typer.BadParameter("it is for a family; a RUN has its own", param_hint=f"'{option}'")
        _fitted(run, revision, tree, yaml, json)


def _write_composition(config: ModelConfig, path: Path) -> None:
    from enerv_zoo.config import to_dict
    from enerv_zoo.errors import ConfigError
    from enerv_zoo.files import write_text
    from enerv_zoo.parsing import to_yaml

    if path.exists():
        raise ConfigError(f"{path}: exists; choose another name")
    write_text(path, to_yaml(to_dict(config), default_flow_style=None, width=120))
    console.out.print(f"written to {path}; change it, and fit it with the option --model")


def _unfitted(model: str, size: str | None, resize: str, length: int, yaml: Path | None, json: bool) -> None:
    from dataclasses import asdict

    from enerv_zoo.cli.summary import tree
    from enerv_zoo.config import VideoInfo
    from enerv_zoo.errors import VideoError
    from enerv_zoo.summary import summarize
    from enerv_zoo.video import parse_frame_size
    from enerv_zoo.zoo import model_config

    try:
        height, width = parse_frame_size(resize)
    except VideoError as error:
        raise typer.BadParameter(str(error), param_hint="'--resize'") from None
    if length < 1:
        raise typer.BadParameter(f"a video has at least 1 frame, got {length}", param_hint="'--length'")
    video = VideoInfo(frames=length, height=height, width=width)
    config = model_config(model, video, size=size)
    if yaml is not None:
        _write_composition(config, yaml)
        return
    summary = summarize(config, video)
    if json:
        console.print_json({**asdict(summary), "macs": summary.macs, "macs_once": summary.macs_once})
        return
    console.out.print(tree(summary, f"{model} for {console.count(length, 'frame')} of {resize}"), soft_wrap=False)


def _fitted(name: str, revision: str | None, tree: bool, yaml: Path | None, json: bool) -> None:
    from enerv_zoo import hub

    run = hub.describe(name, hub.Access(revision))
    if run.whole is not None and (tree or yaml):
        count = console.count(len(run.segments), "segment")
        thing, option = ("a tree", "--tree") if tree else ("a composition", "--yaml")
        raise typer.BadParameter(
            f"{thing} is of one network, and {name} is of {count}; name the folder of one", param_hint=f"'{option}'"
        )
    if yaml is not None:
        _write_composition(run.description.model, yaml)
    elif json:
        console.print_json(_as_json(run))
    else:
        _print_run(name, run, tree)


def _as_json(run: Run) -> dict[str, Any]:
    from dataclasses import asdict

    from enerv_zoo.config import to_dict

    if run.whole is None:
        facts = {**to_dict(run.description), "fixed_numbers": run.meta_networks[0].fixed_numbers}
    else:
        facts = {**to_dict(run.whole), "fitted": run.fitted}
    sizes = {"sizes": asdict(run.sizes)} if run.sizes else {}
    return {**facts, "stored_numbers": run.stored_numbers, "weights_bytes": run.bytes, **sizes}


def _print_run(name: str, run: Run, tree: bool) -> None:
    info = run.info
    description = run.description if run.fitted else None
    larger_size = ""
    if description is not None and (size := run.meta_networks[0].decoded_size) != (info.height, info.width):
        larger_size = f", decoded in {size_text(*size)}"
    frames = f"{console.count(info.frames, 'frame')} of {info.size_text}"
    rows = [("video", f"{info.name}: {frames}{_timing(info)}{larger_size}")]
    if run.whole is not None:
        shortest, longest = (pick(segment.frames for segment in run.segments) for pick in (min, max))
        span = "" if shortest == longest else f"{shortest} to "
        rows.append(
            ("segments", f"{len(run.segments)} of {span}{console.count(longest, 'frame')}; {run.fitted} fitted")
        )
    rows.append(("model", ", ".join(sorted({network.config.family for network in run.meta_networks})) or "n/a"))
    if run.whole is None:
        rows += _composition_rows(run.description.model)
    fixed = sum(network.fixed_numbers for network in run.meta_networks)
    follow = f" (and {fixed:,} that follow from the grid)" if fixed else ""
    rows.append(("stored parameters", f"{run.stored_numbers:,}{follow}"))
    if run.sizes is not None:
        rows += _size_rows(run.sizes, info)
    elif run.bytes is not None:
        rows.append(
            ("weights", console.megabytes(run.bytes) + console.larger(run.bytes, 3 * info.pixels, run.origin.bytes))
        )
    rows += console.size_rows(3 * info.pixels, run.origin.bytes, run.sound_bytes)
    if info.attribution:
        rows.append(("attribution", info.attribution))
    if description is not None and description.license:
        rows.append(("licence of the weights", description.license))
    console.out.print(console.table(rows, name))
    if tree and description is not None:
        from enerv_zoo.cli import summary
        from enerv_zoo.summary import summarize

        console.out.print(summary.tree(summarize(description.model, info), description.model.family), soft_wrap=False)


def _composition_rows(config: ModelConfig) -> list[tuple[str, str]]:
    stages = [
        (f"stage {number}", f"{' + '.join(step['name'] for step in stage)} x{stride} -> {channels} channels")
        for number, (stage, stride, channels) in enumerate(
            zip(config.stages, config.strides, config.channels[1:], strict=True), 1
        )
    ]
    return [
        ("embeddings", ", ".join(f"{name} ({spec['name']})" for name, spec in config.embeddings.items())),
        ("join", f"{config.join['name']} -> {config.channels[0]} channels of {size_text(*config.grid)}"),
        *stages,
        ("head", f"{config.head['name']}"),
    ]


def _timing(video: VideoInfo) -> str:
    """Describe the rate of a video, the shape of pixels that are not square, and colours other than those of HD."""
    aspect = video.pixel_aspect
    shape = "" if aspect == 1 else f", pixel aspect {aspect.numerator}:{aspect.denominator}"
    colour = f", {video.colour}" if str(video.colour) else ""
    return (f", {video.fps:.6g} frames/s" if video.fps else "") + shape + colour


def _size_rows(sizes: Sizes, video: VideoInfo) -> list[tuple[str, str]]:
    """Return the bytes of each part of a compressed file; a part of the network is the first word of tensors' names."""
    parts: dict[str, int] = {}
    for name, size in ((name, size) for tensors in sizes.tensors for name, size in tensors.items()):
        first, *rest = name.split(".")
        part = f"stage {int(rest[0]) + 1}" if first == "stages" and rest else first
        parts[part] = parts.get(part, 0) + size
    return [
        ("network", f"{sizes.networks:,} bytes, {8 * sizes.networks / video.pixels:.4f} bits per pixel"),
        ("  description", f"{sizes.head:,} bytes"),
        *((f"  {part}", f"{size:,} bytes") for part, size in parts.items()),
        ("  of these", f"{sizes.models:,} bytes of scales and entropy models"),
        *((f"{name} beside it", f"{size:,} bytes") for name, size in sizes.sections.items() if name != "sound"),
    ]


def bench(
    model: Annotated[str, typer.Option(help="A family (enerv-zoo models).")] = "enerv",
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Measure how fast this machine fits and decodes, in about a minute.

    Three networks on frames of the bundled clip. 'Decoding fast' is what NeuralVideo.optimize gives and render uses.

    Example:

        enerv-zoo bench
    """
    from dataclasses import asdict

    from enerv_zoo import fitting

    headings = ("network", "frames", "batch", "fitting", "decoding in float32", "decoding fast", "memory to fit")
    table = console.Listing(*headings)
    for column in table.columns[2:]:
        column.justify = "right"
    speeds = []
    with shown("measuring"):
        for speed in fitting.bench(model, device=device):
            speeds.append(speed)
            rates = (f"{rate:.1f}" for rate in (speed.fit, speed.decode, speed.decode_compiled))
            memory = f"{speed.memory_bytes / 1e6:,.0f} MB"
            table.add_row(f"{model} {speed.size}", speed.resolution, str(speed.batch_size), *rates, memory)
    if json:
        console.print_json([asdict(speed) for speed in speeds])
        return
    console.out.print(f"frames per second on {speeds[0].device}, convolutions in {speeds[0].precision}:")
    console.out.print(table)
