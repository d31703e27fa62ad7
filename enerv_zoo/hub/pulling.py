"""A repository -> a plain folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from enerv_zoo.errors import HubError
from enerv_zoo.files import replacing
from enerv_zoo.hub.bundled import bundled_networks
from enerv_zoo.hub.client import Access
from enerv_zoo.hub.download import PUBLISHED, fetch
from enerv_zoo.hub.source import repository
from enerv_zoo.storage.compressed import check_compressed, is_compressed
from enerv_zoo.storage.folder import check_folder


def pull(
    repo_id: str,
    folder: str | Path,
    *,
    overwrite: bool = False,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """Copy a fit from the Hub into a plain folder, which appears whole or not at all.

    Args:
        repo_id: such as `"user/bunny-enerv"`, or a name that this version knows.
        folder: where to; it must be empty or not exist.
        overwrite: replace a folder that holds nothing but a fit that was pulled.
        revision, cache_dir, local_files_only, token: as `enerv_zoo.load` takes them.

    Returns:
        The folder.

    Raises:
        HubError: the repository cannot be had, or the folder is not free.
        ConfigError: what it holds is damaged or not loaded.
    """
    target = Path(folder)
    _check_free(target, overwrite)
    if (file := bundled_networks().get(repo_id)) is not None:
        raise HubError(f"{repo_id}: is no repository, it came with enerv_zoo; load it by its name, or copy {file}")
    repo = repository(repo_id, Access(revision, cache_dir, local_files_only, token))
    if repo is None:
        raise HubError(f"{repo_id!r} is no repository id; expected one such as 'user/bunny-enerv'")
    found = fetch(*repo, PUBLISHED)
    check_compressed(found.path) if is_compressed(found.path) else check_folder(found.path)
    with replacing(target, HubError) as temporary:
        temporary.mkdir()
        for name in PUBLISHED:
            if (found.folder / name).is_file():
                shutil.copyfile(found.folder / name, temporary / name)
    return target


def _check_free(target: Path, overwrite: bool) -> None:
    there = sorted(path.name for path in target.iterdir()) if target.is_dir() else []
    if target.exists() and not target.is_dir():
        raise HubError(f"{target}: is a file; give a folder")
    if there and not overwrite:
        raise HubError(f"{target}: is not empty; choose another folder or add --overwrite")
    others = [name for name in there if name not in PUBLISHED]
    if others:
        raise HubError(f"{target}: holds {others[0]!r:.60}, which no pull wrote; choose another folder")
