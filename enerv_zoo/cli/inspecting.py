"""`enerv-zoo info` and `enerv-zoo models`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from enerv_zoo import registry
from enerv_zoo.cli import console, options


def info(run: options.Run, json: options.Json = False) -> None:
    """Show what a fit is: its video, its network, its size.

    Example:

        enerv-zoo info runs/bunny
    """
    import torch

    from enerv_zoo import hub
    from enerv_zoo.config import to_dict
    from enerv_zoo.neural_video import NeuralVideo

    config, video = hub.read_config(run)
    with torch.device("meta"):
        network = NeuralVideo(config, video)
    if json:
        stored = {"stored_numbers": network.stored_numbers, "fixed_numbers": network.fixed_numbers}
        console.print_json({"video": to_dict(video), "model": to_dict(config), **stored})
        return
    stages = [f"{s.block['name']} x{s.stride} -> {s.out_channels}" for s in config.stages]
    fixed = f" (and {network.fixed_numbers:,} that follow from the grid)" if network.fixed_numbers else ""
    size = f"{video.height}x{video.width}"
    drawn = (
        "" if network.drawn_size == (video.height, video.width) else f", drawn {'x'.join(map(str, network.drawn_size))}"
    )
    rate = f", {video.fps:.6g} frames/s" if video.fps else ""
    rows = [
        ("video", f"{video.name}: {video.frames} frames of {size}{rate}{drawn}"),
        ("model", config.family),
        ("embeddings", ", ".join(f"{name} ({spec['name']})" for name, spec in config.embeddings.items())),
        ("join", f"{config.join['name']} -> {config.width} channels of {config.grid[0]}x{config.grid[1]}"),
        ("stages", "  ".join(stages)),
        ("head", f"{config.head['name']}"),
        ("stored parameters", f"{network.stored_numbers:,}{fixed}"),
    ]
    if video.attribution:
        rows.append(("attribution", video.attribution))
    console.out.print(console.table(rows, str(run)))


def models(
    pattern: Annotated[str, typer.Argument(help="Names with wildcards, such as 'enerv*'.")] = "*",
    recipes: Annotated[bool, typer.Option("--recipes", help="List the shipped recipes instead.")] = False,
    parts: Annotated[bool, typer.Option("--parts", help="List the parts that networks are built from.")] = False,
    json: options.Json = False,
) -> None:
    """List model families, with their options; or recipes, or parts.

    Example:

        enerv-zoo models 'enerv*'
    """
    from fnmatch import fnmatchcase

    from enerv_zoo.recipes import list_recipes

    if recipes:
        headings = ("recipe", "")
        found = {name: text for name, text in list_recipes().items() if fnmatchcase(name, pattern)}
    elif parts:
        headings = ("kind", "names")
        found = {kind: ", ".join(part.names(pattern)) for kind, part in registry.COMPONENTS.items()}
    else:
        headings = ("model", "options (--set)")
        found = {name: _options(name) for name in registry.models.names(pattern)}
    if json:
        console.print_json(found)
        return
    if not found:
        console.fail(f"nothing is called {pattern!r}; try enerv-zoo models")
    table = Table(*headings, box=None)
    for name, text in found.items():
        table.add_row(name, text)
    console.out.print(table, soft_wrap=False)


def _options(name: str) -> str:
    defaults = {key: parameter.default for key, parameter in registry.models.options(name).items()}
    return ", ".join(f"{key}={list(v) if isinstance(v, tuple) else v}" for key, v in defaults.items())
