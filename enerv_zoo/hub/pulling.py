"""A repository -> a plain folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

from enerv_zoo.errors import HubError
from enerv_zoo.files import listing, replacing, usable_path
from enerv_zoo.hub.bundled import bundled_networks
from enerv_zoo.hub.client import Access, AccessOptions, no_repository_id
from enerv_zoo.hub.download import PUBLISHED, fetch, is_published
from enerv_zoo.hub.source import repository
from enerv_zoo.storage.run import open_run


def pull(repo_id: str, folder: str | Path, *, overwrite: bool = False, **access: Unpack[AccessOptions]) -> Path:
    """Copy a fit from the Hub into a plain folder, which appears whole or not at all.

    Args:
        repo_id: such as `"user/bunny-enerv"`, or a name that this version knows.
        folder: where to; it must be empty or not exist.
        overwrite: replace a folder that holds nothing but a fit that was pulled.
        access: `revision`, `cache_dir`, `local_files_only`, `token`, as `enerv_zoo.load` takes them.

    Returns:
        The folder.

    Raises:
        HubError: the repository cannot be had, or the folder is not free.
        ConfigError: what it holds is damaged or not loaded; or it is a name that this version does not know.
    """
    target = usable_path(folder, HubError)
    _check_free(target, overwrite)
    if (file := bundled_networks().get(repo_id)) is not None:
        raise HubError(f"{repo_id}: is no repository, it came with enerv_zoo; load it by its name, or copy {file}")
    repo = repository(repo_id, Access(**access))
    if repo is None:
        raise no_repository_id(repo_id)
    source = fetch(*repo, PUBLISHED).folder
    open_run(source).check()
    with replacing(target, HubError) as temporary:
        for name in filter(is_published, _files(source)):
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, temporary / name)
    return target


def _files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _check_free(target: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise HubError(f"{target}: is a file; give a folder")
    if not target.is_dir() or not listing(target, HubError):
        return
    if not overwrite:
        raise HubError(f"{target}: is not empty; choose another folder, or give overwrite (--overwrite)")
    if others := sorted(name for name in _files(target) if not is_published(name)):
        raise HubError(f"{target}: holds {others[0]!r:.60}, which no pull wrote; choose another folder")
