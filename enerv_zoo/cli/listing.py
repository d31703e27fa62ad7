"""`enerv-zoo models`: families, recipes, parts, fits on the Hub, published results."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from enerv_zoo import registry
from enerv_zoo.cli import console, options
from enerv_zoo.cli.progress import shown
from enerv_zoo.config import size_text
from enerv_zoo.progress import stage

if TYPE_CHECKING:
    from enerv_zoo.hub import Pretrained
    from enerv_zoo.metrics.columns import Column

logger = logging.getLogger(__name__)

OF_TIMM = "enerv_zoo.optimizers.timm"


def models(
    pattern: Annotated[str, typer.Argument(help="Names with wildcards, such as 'enerv*'.")] = "*",
    show_options: Annotated[bool, typer.Option("--options", help="Show the families' options, for fit --set.")] = False,
    recipes: Annotated[bool, typer.Option("--recipes", help="List the bundled recipes instead.")] = False,
    parts: Annotated[bool, typer.Option("--parts", help="List the parts that networks are built from.")] = False,
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained", help="List the fits on the Hub and the bundled ones; PATTERN is a word of their names."
        ),
    ] = False,
    published: Annotated[
        bool,
        typer.Option("--published", help="List published results; PATTERN is a method, a family, or a clip."),
    ] = False,
    json: options.Json = False,
) -> None:
    """List model families and what each is for; or recipes, parts, fits on the Hub, or published results.

    Examples:

        enerv-zoo models

        enerv-zoo models 'enerv*' --options

        enerv-zoo models --pretrained bunny

        enerv-zoo models --published UVG
    """
    if recipes + parts + pretrained + published > 1:
        raise typer.BadParameter("give one of --recipes, --parts, --pretrained and --published")
    if published:
        from enerv_zoo.cli.published import print_published

        print_published(pattern, json)
        return
    if pretrained:
        _list_pretrained(None if pattern == "*" else pattern, json)
        return
    from fnmatch import fnmatchcase

    from enerv_zoo.recipes import list_recipes

    if recipes:
        headings = ("recipe", "")
        entries = {name: text for name, text in list_recipes().items() if fnmatchcase(name, pattern)}
    elif parts:
        _list_parts(pattern, json)
        return
    else:
        headings = ("model", "options (fit --set)" if show_options else "")
        describe = _options if show_options else _purpose
        entries = {name: describe(registry.models, name) for name in registry.models.names(pattern)}
    if json:
        console.print_json(entries)
        return
    if not entries:
        console.fail(f"nothing is called {pattern!r}; try enerv-zoo models")
    table = console.Listing(*headings)
    for name, text in entries.items():
        table.add_row(name, text)
    console.out.print(table, soft_wrap=False)


def _list_pretrained(query: str | None, json: bool) -> None:
    from enerv_zoo import hub
    from enerv_zoo.errors import HubError

    bundled = hub.list_bundled(query)
    try:
        with shown("Hugging Face Hub"):
            stage("asking for fits")
            entries = hub.list_pretrained(query) + bundled
    except HubError as error:
        if not bundled:
            raise
        logger.warning("%s", error)
        entries = bundled
    if json:
        console.print_json([entry.to_dict() for entry in entries])
        return
    if not entries:
        console.fail("no fit on the Hub" + (f" has {query!r} in its name" if query else ""))
    table = console.Listing("name", "")
    for entry in entries:
        table.add_row(entry.id, ". ".join(filter(None, _pretrained_facts(entry))))
    console.out.print(table, soft_wrap=False)


def _pretrained_facts(entry: Pretrained) -> Iterator[str]:
    """Yield what there is to say of a fit: network and video, sizes, scores, when it was pushed."""
    from enerv_zoo.metrics.columns import columns

    size = f" of {size_text(entry.height, entry.width)}" if entry.height and entry.width else ""
    frames = f", {console.count(entry.frames, 'frame')}{size}" if entry.frames else ""
    yield f"{entry.family or 'a network'} on {entry.video or 'a video'}{frames}"
    sizes = []
    if entry.stored_bytes is not None:
        beside = "" if entry.source_bytes is None else f" (the original: {console.megabytes(entry.source_bytes)})"
        sizes.append(console.megabytes(entry.stored_bytes) + beside)
    if entry.stored_numbers is not None:
        sizes.append(f"{entry.stored_numbers:,} parameters")
    yield ", ".join(sizes)
    yield ", ".join(
        f"{own.label} {own.text(entry.scores[own.name])}" for own in sorted(columns([entry.scores]), key=_psnr_first)
    )
    yield f"Pushed {entry.updated}" if entry.updated else ""


def _psnr_first(column: Column) -> bool:
    return column.name != "psnr"


def _list_parts(pattern: str, json: bool) -> None:
    parts = {
        kind: {name: _options(entries, name) for name in entries.names(pattern)}
        for kind, entries in registry.COMPONENTS.items()
    }
    if json:
        console.print_json(parts)
        return
    if not any(parts.values()):
        console.fail(f"no part is called {pattern!r}; try enerv-zoo models --parts")
    table = console.Listing("kind", "part", "")
    for kind, names in parts.items():
        if kind == "optimizer":  # timm's are many, and have the options that timm documents
            theirs = [name for name in names if registry.optimizers.get(name).__module__ == OF_TIMM]
            table.add_row(kind, "of timm", ", ".join(theirs))
            names = {name: text for name, text in names.items() if name not in theirs}
        for name, text in names.items():
            table.add_row(kind, name, ", ".join(filter(None, (_about(kind, name), text))))
    console.out.print(table, soft_wrap=False)


def _about(kind: str, name: str) -> str:
    """Describe a part beside its options: the terms of a loss, the unit of a metric."""
    from enerv_zoo.losses import SUMS
    from enerv_zoo.metrics.columns import column

    if kind == "loss":
        return " + ".join(f"{weight:g} {term}" for term, weight in SUMS.get(name, {}).items())
    if kind != "metric":
        return ""
    own = column(name)
    return f"{own.unit or 'a plain number'}, {own.better} is better"


def _purpose(parts: registry.Registry, name: str) -> str:
    """Return the first paragraph of a part's description: what it is, its paper, when to take it."""
    paragraph, _, _ = inspect.cleandoc(parts.get(name).__doc__ or "").partition("\n\n")
    return " ".join(paragraph.split()).replace("`", "")


def _options(parts: registry.Registry, name: str) -> str:
    """List the options of a part with their defaults; required ones have none."""
    pairs = []
    for key, parameter in parts.options(name).items():
        value = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        pairs.append(key if value is parameter.empty else f"{key}={value}")
    return ", ".join(pairs)
