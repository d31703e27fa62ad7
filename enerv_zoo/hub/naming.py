"""Tell paths from repositories: the possible meanings of a text that names nothing here."""

from __future__ import annotations

from pathlib import Path

from enerv_zoo.errors import ConfigError
from enerv_zoo.files import nearest
from enerv_zoo.hub.index import REPO_ID
from enerv_zoo.storage.compressed import SUFFIX

HUB = "hf:"
"""What a text begins with that always means a repository on the Hub."""

FILES = (
    SUFFIX, ".mp4", ".mkv", ".mov", ".webm", ".gif", ".avi", ".png", ".html", ".json", ".yaml", ".safetensors", ".pt",
    ".pth",
)  # fmt: skip
"""Suffixes of files; no repository is taken to end in one, unless it is written with `hf:`."""


def looks_like_path(text: str) -> bool:
    """Return whether a text means a file or a folder although nothing is there: by its form, or by its first folder."""
    if text.startswith(("/", "./", "../", "~")) or text in (".", "..") or text.endswith("/") or "\\" in text:
        return True
    first, _, rest = text.partition("/")
    return text.count("/") > 1 or Path(text).suffix.lower() in FILES or (bool(rest) and Path(first).is_dir())


def no_such_path(text: str) -> ConfigError:
    """The error for a path at which nothing is: with the nearest name that is there, and how to write a repository."""
    thing = "file" if Path(text).suffix.lower() in FILES else "folder"
    near = nearest(Path(text.replace("\\", "/")).expanduser())
    hub = f"For a repository on the Hub write {HUB}{text}" if REPO_ID.fullmatch(text) else ""
    if near is not None:
        return ConfigError(f"{text}: no such {thing}; did you mean {near}? {hub}".rstrip())
    expected = hub or "Expected the folder of a fit, a .nvz file, or a repository on the Hub such as user/name"
    return ConfigError(f"{text}: no such {thing}. {expected}")
