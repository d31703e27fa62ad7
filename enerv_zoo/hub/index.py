"""Short names of published fits: a YAML file of `name: user/name@revision`."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

from enerv_zoo.errors import ConfigError
from enerv_zoo.files import write_text
from enerv_zoo.parsing import read_mapping, to_yaml

INDEX = Path(__file__).with_name("index.yaml")
"""The names that come with this version."""
REPO_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


def read_index(file: Path) -> dict[str, str]:
    """The published fits that a file knows by a short name: name -> `user/name` or `user/name@revision`.

    Raises:
        ConfigError: the file is damaged.
    """
    names = read_mapping(file)
    for name, repo in names.items():
        if not isinstance(repo, str) or not REPO_ID.fullmatch(repo.partition("@")[0]):
            raise ConfigError(f"{file}: {name!r} means {repo!r}; expected a repository such as 'user/name@revision'")
    return names


def add_to_index(file: Path, name: str, repo: str) -> None:
    """Make a name mean a repository; other names and the comment at the top stay, and the file is made if need be.

    Raises:
        EnervZooError: the file is damaged or cannot be written.
    """
    names = read_index(file) if file.exists() else {}
    if names.get(name) == repo:
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    comment = "".join(takewhile(lambda line: line.startswith("#"), lines))
    write_text(file, comment + to_yaml(dict(sorted({**names, name: repo}.items()))))
