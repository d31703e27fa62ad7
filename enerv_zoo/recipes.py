"""Recipes: YAML files that name a network, how it is fitted, and the part of a video."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from enerv_zoo.compatibility import upgrade
from enerv_zoo.config import Recipe, from_dict
from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.files import usable_path
from enerv_zoo.parsing import read_mapping

SIZED = re.compile(r"(.+)-([0-9]*\.?[0-9]+[kmKM])")
"""A recipe's name and a size, as in `hnerv-1.5m`: that recipe's network, scaled to that many stored parameters."""

FOLDERS = ("hinerv",)
"""Folders of further recipes, which are named with their folder: `hinerv/uvg-s`."""

PRESETS = {"auto": "auto", "quick": "quick", "balanced": "balanced", "paper": "enerv-bunny"}
"""The recipe that serves each purpose."""


@functools.cache
def bundled_files(kind: str = "") -> dict[str, Path]:
    """Return the bundled YAML files, by name: recipes, or those of a folder beside them.

    Raises:
        ConfigError: the installation lacks them.
    """
    package = Path(__file__).resolve().parent
    folder = next((f for f in (package / "configs", package.parent / "configs") if f.is_dir()), None)
    if folder is None:
        raise ConfigError(f"the recipes are missing from the installation ({package / 'configs'}); install it again")
    return {path.stem: path for path in sorted((folder / kind).glob("*.yaml"))}


def list_recipes() -> dict[str, str]:
    """Return the description of each bundled recipe, by its name; those of `FOLDERS` are left out."""
    return {name: read_recipe(name).description for name in bundled_files()}


def read_recipe(recipe: str | Path | dict[str, Any] | Recipe) -> Recipe:
    """Return a recipe by the name of a bundled one (with a size or without), as a YAML / JSON file, or as plain data.

    Raises:
        ConfigError: no such name or file, or options that mean nothing.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, dict):
        return from_dict(Recipe, upgrade(recipe, "recipe", note=True), "recipe")
    path = usable_path(recipe)
    if path.is_file():
        return from_dict(Recipe, upgrade(read_mapping(path), str(path), note=True), str(path))
    bundled = bundled_files() | {preset: bundled_files()[name] for preset, name in PRESETS.items()}
    listed = ", ".join([*bundled, *(f"{folder}/..." for folder in FOLDERS)])
    bundled |= {f"{folder}/{stem}": path for folder in FOLDERS for stem, path in bundled_files(folder).items()}
    name = str(recipe).removesuffix(".yaml")
    sized = SIZED.fullmatch(name)
    if name not in bundled and sized and sized[1] in bundled:
        base = read_recipe(sized[1])
        return replace(base, model={**base.model, "size": sized[2].upper()})
    if name not in bundled:
        raise ConfigError(
            f"no recipe {str(recipe)!r}: neither a file nor a bundled one.{did_you_mean(name, bundled)} "
            f"Bundled: {listed}"
        )
    return from_dict(Recipe, read_mapping(bundled[name]), str(bundled[name]))
