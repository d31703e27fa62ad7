"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from enerv_zoo.cli import completion
from enerv_zoo.cli.generated import OptionsOf
from enerv_zoo.config import SELECTION, CompressConfig, FitConfig, VideoSelection
from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.parsing import parse_yaml

VIDEO = "A video file, a folder of images, or a sample name such as bunny."
NETWORK, RECIPE = "Network", "Recipe"
CHANGES = tuple(name for name in SELECTION if name != "frames")
"""Fields of a selection apart from its frames."""

Video = Annotated[
    str, typer.Argument(metavar="VIDEO", help=VIDEO, show_default=False, autocompletion=completion.videos)
]
_RUN = typer.Argument(
    metavar="RUN",
    help="The folder of a fit, a .nvz file, a bundled name, or a repository on the Hub such as user/bunny.",
    show_default=False,
    autocompletion=completion.fits,
)
Run = Annotated[str, _RUN]
OptionalRun = Annotated[str | None, _RUN]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a repository on the Hub.", show_default="main")
]
Frames = Annotated[str | None, typer.Option(help="Which frames, such as 0:53, 10:, ::2 or 5.", show_default=False)]
Selection = Annotated[dict[str, Any], OptionsOf(VideoSelection, "Video")]
Changes = Annotated[dict[str, Any], OptionsOf(VideoSelection, "Video", only=CHANGES)]
Measures = Annotated[dict[str, Any], OptionsOf(FitConfig, only=("metrics",))]
Recipe = Annotated[dict[str, Any], OptionsOf(FitConfig, RECIPE)]
Compression = Annotated[dict[str, Any], OptionsOf(CompressConfig, defaults=True)]
Preset = Annotated[
    str | None,
    typer.Option(
        help="auto (what five minutes allow here), quick (sharp in one to three minutes on two cores), balanced "
        "(good at any size) or paper (E-NeRV as published).",
        rich_help_panel=RECIPE,
    ),
]
RecipeFile = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="A YAML file, or a bundled recipe (enerv-zoo models --recipes).",
        rich_help_panel=RECIPE,
        autocompletion=completion.recipes,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 (a GPU by its number), or mps (untested).")]
Tables = Annotated[
    list[Path] | None,
    typer.Option("--table", metavar="FILE", help="Write the table as .csv, .md or .tex; give it again for several."),
]
Figures = Annotated[
    list[Path] | None,
    typer.Option("--figure", metavar="FILE", help="Write the curves as .pdf, .png or .svg; give it again for several."),
]
Runtime = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The unpacked npm package onnxruntime-web, for a player without a connection.",
        show_default="loaded from cdn.jsdelivr.net",
    ),
]
Sound = Annotated[bool, typer.Option("--sound/--no-sound", help="Keep the video's sound, where it has any.")]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|FOLDER",
        help="Weights of pixels: white is fitted, black is hidden. A picture, or one for each frame.",
        rich_help_panel="Video",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="VIDEO",
        help="Score against these frames in place of the fitted ones: the clean video of a noisy one.",
        rich_help_panel="Video",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """Return `["fc_dim=64", "stem_dim=[512]"]` as a dict; values are read as YAML."""
    options = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"expected NAME=VALUE such as fc_dim=64, got {assignment!r}", param_hint="'--set'")
        try:
            options[key.strip()] = parse_yaml(value)
        except ConfigError:
            message = f"the value in {assignment!r} is no number, word or list"
            raise typer.BadParameter(message, param_hint="'--set'") from None
    return options


def listed(text: str) -> list[str]:
    """Split a text into names at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen_recipe(preset: str | None, recipe: str | None) -> Any:
    """Return the recipe that `--preset` or `--recipe` names, or `None`."""
    from enerv_zoo import recipes

    if preset and recipe:
        raise typer.BadParameter("a preset is a recipe; give --preset or --recipe", param_hint="'--preset'")
    if preset and preset not in recipes.PRESETS:
        hint = did_you_mean(preset, recipes.PRESETS)
        names = ", ".join(recipes.PRESETS)
        raise typer.BadParameter(f"unknown preset {preset!r}.{hint} Known: {names}", param_hint="'--preset'")
    chosen = preset or recipe
    return recipes.read_recipe(chosen) if chosen else None
