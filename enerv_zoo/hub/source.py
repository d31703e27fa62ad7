"""Meaning of a user's string: a folder or a file here, a repository on the Hub, or a bundled name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from enerv_zoo import storage
from enerv_zoo.errors import ConfigError, HubError, did_you_mean
from enerv_zoo.files import nearest, usable_path
from enerv_zoo.hub.bundled import bundled_networks
from enerv_zoo.hub.client import Access, Unreachable
from enerv_zoo.hub.download import Snapshot, fetch
from enerv_zoo.hub.index import INDEX, REPO_ID, read_index
from enerv_zoo.hub.naming import HUB, looks_like_path, no_such_path
from enerv_zoo.storage.description import CONFIG
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.record import RECORD
from enerv_zoo.storage.run import Run
from enerv_zoo.storage.sound import SOUND

_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def open_run(
    id_or_path: str | Path, access: Access | None = None, names: Sequence[str] = (CONFIG, WEIGHTS, RECORD, SOUND)
) -> Run:
    """Open the fit that a string means, downloaded where need be.

    Args:
        id_or_path: as `enerv_zoo.load` takes it.
        access: how a repository is reached.
        names: files of each network to download.

    Raises:
        EnervZooError: as `enerv_zoo.load` does.
    """
    source = _here_or_repository(id_or_path, access or Access())
    if isinstance(source, Path):
        return storage.open_run(source.absolute())
    snapshot = _fetched(id_or_path, source, names)
    return storage.open_run(snapshot.folder, snapshot.sizes)


def describe(id_or_path: str | Path, access: Access | None = None) -> Run:
    """Open a fit to see what it is: from the Hub without downloading its weights, unless it is a compressed file there.

    Configs are checked, and the networks that they ask for are known (`Run.meta_networks`).

    Raises:
        EnervZooError: as `enerv_zoo.load` does.
    """
    run = open_run(id_or_path, access, (CONFIG,))
    _ = run.meta_networks
    return run


def _fetched(text: str | Path, repository: tuple[str, Access], names: Sequence[str]) -> Snapshot:
    """Return what `fetch` gives; where it fails, the error also names the path here that is nearest."""
    try:
        return fetch(*repository, names)
    except HubError as error:
        if isinstance(text, Path) or text.startswith(HUB):
            raise
        near = nearest(Path(text))
        if near is not None and len(near.parts) > 1:
            raise type(error)(f"{error}; did you mean the folder {near} here?") from error
        if isinstance(error, Unreachable):
            raise Unreachable(f"{error}, or the name: there is no folder {text} here") from error
        raise


def _here_or_repository(id_or_path: str | Path, access: Access) -> Path | tuple[str, Access]:
    """The path that a string means (it is here, comes with this version, or can be nothing else), or the repository.

    Raises:
        ConfigError: it looks like a path, and nothing is there.
    """
    if isinstance(id_or_path, str) and id_or_path.startswith(HUB) and (listed := repository(id_or_path, access)):
        return listed
    path = usable_path(id_or_path, expand=True)
    if isinstance(id_or_path, Path) or path.exists():
        if access.revision is not None:
            raise ConfigError(f"{id_or_path}: is here, and revisions are a repository's; leave out the revision")
        return path
    if (file := bundled_networks().get(id_or_path)) is not None:
        return file
    if looks_like_path(id_or_path) or (listed := repository(id_or_path, access)) is None:
        raise no_such_path(id_or_path)
    return listed


def repository(name: str, access: Access) -> tuple[str, Access] | None:
    """The repository that a string means and how to reach it, or `None` where it can mean none.

    Raises:
        ConfigError: it could be a name that this version knows, and is none; or begins with `hf:`, and goes on wrongly.
    """
    if name.startswith(HUB):
        if not REPO_ID.fullmatch(name.removeprefix(HUB)):
            raise ConfigError(
                f"{name}: expected a user or an organisation and a name after {HUB}, such as {HUB}user/name"
            )
        return name.removeprefix(HUB), access
    index = read_index(INDEX)
    if name in index:
        repo_id, _, revision = index[name].partition("@")
        return repo_id, replace(access, revision=access.revision or revision or None)
    if REPO_ID.fullmatch(name):
        return name, access
    names = {*index, *bundled_networks()}
    if names and _NAME.fullmatch(name):
        raise ConfigError(
            f"{name:.100}: no fit is there, and no published one has this name.{_near(name, names)} "
            f"There are: {', '.join(sorted(names))}"
        )
    return None


def _near(name: str, names: Iterable[str]) -> str:
    path = nearest(Path(name))
    return did_you_mean(name, names) or ("" if path is None else f" Did you mean the folder {str(path)!r} here?")
