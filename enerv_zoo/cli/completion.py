"""Shell completion: parts, recipes, videos and fits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from enerv_zoo import registry
from enerv_zoo.recipes import list_recipes


def parts(registered: registry.Registry) -> Callable[[str], list[str]]:
    """Return the completion of names of registered parts; of names separated by commas, of the last one."""

    def names(incomplete: str) -> list[str]:
        done, comma, begun = incomplete.rpartition(",")
        return [f"{done}{comma}{name}" for name in registered.names() if name.startswith(begun)]

    return names


families = parts(registry.models)


def recipes(incomplete: str) -> list[str]:
    """Names of bundled recipes."""
    return [name for name in list_recipes() if name.startswith(incomplete)]


def videos(incomplete: str) -> list[str]:
    """Samples, files and folders."""
    from enerv_zoo.video.samples import samples

    return [name for name in samples() if name.startswith(incomplete)] + _paths(incomplete)


def fits(incomplete: str) -> list[str]:
    """Folders, marked by a slash unless they are fits, and .nvz files."""
    return [path for path in _paths(incomplete) if path.endswith((".nvz", "/")) or _is_fit(path)]


def _is_fit(path: str) -> bool:
    return os.path.isfile(Path(path).expanduser() / "config.json")  # noqa: PTH113 (a Path fails in a closed folder)


def _paths(incomplete: str) -> list[str]:
    """List the folder that a path names so far; hidden files only where a dot was typed."""
    head, slash, begun = incomplete.rpartition("/")
    folder = Path(head + slash).expanduser()
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    names = [entry for entry in entries if entry.name.startswith(begun) and (begun or not entry.name.startswith("."))]
    folders = {entry for entry in names if os.path.isdir(entry) and not _is_fit(str(entry))}  # noqa: PTH112
    return [f"{head}{slash}{entry.name}" + "/" * (entry in folders) for entry in names]
