"""Repositories -> files: only those that a fit has, checked against what the Hub lists, from one commit."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enerv_zoo.errors import HubError
from enerv_zoo.hub.client import TIMEOUT, Access, Unreachable, explained, hub_api, is_offline, patiently
from enerv_zoo.storage.compressed import VIDEO, file_or_folder
from enerv_zoo.storage.description import CONFIG, MAX_JSON_BYTES, read_description
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.record import RECORD, check_record
from enerv_zoo.storage.tensors import DTYPES, MAX_HEADER_BYTES
from enerv_zoo.storage.untrusted import build_on_meta, check_forward_on_meta

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

logger = logging.getLogger(__name__)

CARD = "README.md"
PREVIEW = "preview.png"
CLIP = "preview.mp4"
LARGEST = {
    CONFIG: MAX_JSON_BYTES, RECORD: 1 << 20, CARD: 1 << 20, PREVIEW: 64 << 20, CLIP: 256 << 20, VIDEO: 16 << 30,
}  # fmt: skip
"""Bytes above which a file is not what its name says. The bound of the weights follows from the config."""
LARGEST_NUMBER = max(dtype.itemsize for dtype in DTYPES.values())
PUBLISHED = (CONFIG, WEIGHTS, RECORD, CARD, PREVIEW, CLIP, VIDEO)
"""Every file that a repository of ours may hold; no other is ever asked for."""


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository, as far as it was downloaded.

    Attributes:
        folder: where the files are, in the cache.
        sizes: bytes of every file that the Hub lists; empty where it was not asked.
    """

    folder: Path
    sizes: dict[str, int | None]

    @property
    def path(self) -> Path:
        """What `enerv_zoo.load` takes: the folder, or the compressed file in it."""
        return file_or_folder(self.folder)


def fetch(repo_id: str, access: Access, names: Sequence[str]) -> Snapshot:
    """Download a fit into the cache, or find it there. `config.json` must be there; other files may be missing.

    In its place a repository may hold a compressed file, which is downloaded whatever `names` says. Where the Hub
    cannot be reached, what was downloaded before is used.

    Raises:
        HubError: the repository or the revision cannot be had, is no fit of ours, or is not what the Hub lists.
        ConfigError: its config asks for what is not loaded.
    """
    if access.local_files_only or is_offline():
        return _cached(repo_id, access, names)
    try:
        listing = _Listing(repo_id, access)
    except Unreachable as unreachable:
        try:
            found = _cached(repo_id, access, names)
        except HubError:
            raise unreachable from None
        logger.warning("%s; what was downloaded before is used", unreachable)
        return found
    folder = listing.download(listing.first).parent
    wanted = [name for name in names if name not in (CONFIG, VIDEO) and name in listing.files]
    if listing.first == VIDEO:
        wanted = [name for name in wanted if name in LARGEST]  # weights, which no config bounds, are of no use here
    elif WEIGHTS in names:
        _check_size(listing, _check_network(folder, repo_id))
    for name in wanted:
        listing.download(name)
    check_record(folder)
    return Snapshot(folder, {name: file.size for name, file in listing.files.items()})


def _cached(repo_id: str, access: Access, names: Sequence[str]) -> Snapshot:
    def find(name: str) -> Path:
        with explained(repo_id, access.revision):
            path = hub_api(access.token).hf_hub_download(
                repo_id, name, revision=access.revision, cache_dir=access.cache_dir, local_files_only=True
            )
            return Path(path)

    try:
        folder = find(CONFIG).parent
    except HubError as error:
        try:
            return Snapshot(find(VIDEO).parent, {})
        except HubError:
            raise error from None
    if WEIGHTS in names:
        _check_network(folder, repo_id)
        find(WEIGHTS)
    check_record(folder)
    return Snapshot(folder, {})


def _check_network(folder: Path, repo_id: str) -> int:
    """Refuse a config whose network could not be loaded or draw; gives the bytes that its weights take at most."""
    description = read_description(folder)
    where = f"{repo_id}: {CONFIG}"
    network = build_on_meta(description.model, description.video, where)
    most = sum(tensor.numel() * LARGEST_NUMBER for tensor in network.state_dict().values()) + MAX_HEADER_BYTES
    check_forward_on_meta(network, where)
    return most


def _check_size(listing: _Listing, most: int) -> None:
    if WEIGHTS not in listing.files:
        raise HubError(f"{listing.repo_id}: holds no {WEIGHTS}; nothing was pushed there but a config")
    if listing.size(WEIGHTS) > most:
        size = listing.size(WEIGHTS)
        raise HubError(f"{listing.repo_id}: {WEIGHTS} has {size:,} bytes, its network at most {most:,}")


class _Listing:
    """What the Hub says a revision holds, and the way to get it."""

    def __init__(self, repo_id: str, access: Access) -> None:
        self.repo_id, self.access, self.api = repo_id, access, hub_api(access.token)
        with explained(repo_id, access.revision):
            info = patiently(
                self.api.model_info, repo_id, revision=access.revision, files_metadata=True, timeout=TIMEOUT
            )
            self.commit = info.sha
            self.files = {file.rfilename: file for file in info.siblings or () if file.rfilename in PUBLISHED}
        self.first = CONFIG if CONFIG in self.files else VIDEO
        if self.first not in self.files:
            raise HubError(f"{repo_id}: holds no fit of enerv-zoo (neither {CONFIG} nor {VIDEO})")

    def size(self, name: str) -> int:
        """Bytes of a file, as far as the Hub says."""
        return self.files[name].size or 0

    def download(self, name: str) -> Path:
        """A file's place in the cache; its bytes are those that the Hub lists.

        Raises:
            HubError: it is too large, or damaged on its way or on the Hub.
        """
        file = self.files[name]
        if name in LARGEST and self.size(name) > LARGEST[name]:
            raise HubError(f"{self.repo_id}: {name} has {self.size(name):,} bytes; expected at most {LARGEST[name]:,}")
        for again in (False, True):
            path = self._get(name, force=again)
            if _is_as_listed(path, file):
                return path
        for damaged in {path.resolve(), path}:  # or the cache would serve it for ever
            damaged.unlink(missing_ok=True)
        raise HubError(f"{self.repo_id}: {name} is not the file that the Hub lists (size or hash); it was not kept")

    def _get(self, name: str, force: bool) -> Path:
        # the first file is asked for by the revision's name, which the cache then remembers for later without a
        # network; everything else by the commit, so that all files are of one push.
        revision = self.access.revision if name == self.first else self.commit
        with explained(self.repo_id, self.access.revision):
            path = patiently(
                self.api.hf_hub_download,
                self.repo_id,
                name,
                revision=revision,
                cache_dir=self.access.cache_dir,
                force_download=force,
            )
        if Path(path).parent.name != self.commit:
            raise HubError(f"{self.repo_id}: was pushed to while it was read; try again")
        return Path(path)


def _is_as_listed(path: Path, file: RepoSibling) -> bool:
    if file.size is not None and path.stat().st_size != file.size:
        return False
    if file.lfs is not None:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.lfs.sha256
    if file.blob_id is None:
        return True
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest() == file.blob_id  # as git names it
