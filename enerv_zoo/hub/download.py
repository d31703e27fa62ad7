"""Repositories -> files: only those that a fit has, checked against what the Hub lists, from one commit."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enerv_zoo.errors import HubError
from enerv_zoo.hub.client import TIMEOUT, Access, Unreachable, explained, hub_api, patiently
from enerv_zoo.storage.compressed import VIDEO
from enerv_zoo.storage.description import CONFIG, MAX_JSON_BYTES, read_description
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.record import RECORD, check_record
from enerv_zoo.storage.run import open_run
from enerv_zoo.storage.segments import SEGMENTS, is_segmented, read_segments, segment_folder
from enerv_zoo.storage.sound import SOUND
from enerv_zoo.storage.tensors import DTYPES, MAX_HEADER_BYTES
from enerv_zoo.storage.untrusted import build_on_meta, check_forward_on_meta

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

logger = logging.getLogger(__name__)

CARD = "README.md"
PREVIEW = "preview.png"
CLIP = "preview.mp4"
PLAYER = "player.html"
"""A page that a repository of ours may hold, too. It is a program, so it is never downloaded."""
LARGEST = {
    CONFIG: MAX_JSON_BYTES, SEGMENTS: MAX_JSON_BYTES, RECORD: 1 << 20, CARD: 1 << 20, PREVIEW: 64 << 20,
    CLIP: 256 << 20, SOUND: 1 << 30, VIDEO: 16 << 30,
}  # fmt: skip
"""Bytes above which a file is not what its name says. The bound of the weights follows from the config."""
LARGEST_TOGETHER = 512 << 20
"""Bytes above which the configs and records of segments are not taken, all together."""
LARGEST_NUMBER = max(dtype.itemsize for dtype in DTYPES.values())
OF_A_NETWORK = (CONFIG, WEIGHTS, RECORD)
PUBLISHED = (*OF_A_NETWORK, SOUND, CARD, PREVIEW, CLIP, VIDEO, SEGMENTS)
"""Every file that a repository of ours may hold, beside those of segments; no other one is ever asked for."""
DOWNLOADS = 8
"""Files of segments that are downloaded at a time."""

_OF_A_SEGMENT = re.compile(rf"segment-[0-9]{{5}}/({'|'.join(map(re.escape, OF_A_NETWORK))})")


def is_published(name: str) -> bool:
    """Return whether a repository of ours may hold a file, by its path in the repository."""
    return name in (*PUBLISHED, PLAYER) or _OF_A_SEGMENT.fullmatch(name) is not None


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository, as far as it was downloaded.

    Attributes:
        folder: where the files are, in the cache.
        sizes: bytes of every file that the Hub lists; empty where it was not asked.
    """

    folder: Path
    sizes: dict[str, int | None]


def fetch(repo_id: str, access: Access, names: Sequence[str]) -> Snapshot:
    """Download a fit into the cache, or find it there.

    A repository holds `config.json`, or `segments.json` and a folder per segment; other files of `names` may be
    missing. In their place it may hold a compressed file, which is downloaded whatever `names` says. Where the Hub
    cannot be reached, what was downloaded before is used.

    Raises:
        HubError: the repository or the revision cannot be had, is no fit of ours, or is not what the Hub lists.
        ConfigError: a config asks for what is not loaded.
    """
    from huggingface_hub import constants

    if access.local_files_only or constants.HF_HUB_OFFLINE:
        return _cached(repo_id, access, names)
    try:
        listing = _Listing(repo_id, access)
    except Unreachable as unreachable:
        try:
            snapshot = _cached(repo_id, access, names)
        except HubError:
            raise unreachable from None
        logger.warning("%s; what was downloaded before is used", unreachable)
        return snapshot
    folder = listing.download(listing.first).parent
    parts = [] if listing.first == VIDEO else _parts(folder)  # of weights beside it, which no config bounds, none
    _check_listed(listing, parts)
    if listing.first == VIDEO:
        _check_file(folder, repo_id)
    listing.download_all(part + CONFIG for part in parts)
    if WEIGHTS in names:
        for part in parts:
            _check_size(listing, part + WEIGHTS, _check_network(folder / part, f"{repo_id}: {part}{CONFIG}"))
    largest = [name for name in names if name in LARGEST and name not in (CONFIG, VIDEO, SEGMENTS)]
    largest += [part + name for part in parts for name in names if name in (WEIGHTS, RECORD)]
    listing.download_all(name for name in dict.fromkeys(largest) if name in listing.files)
    for part in {"", *parts}:
        check_record(folder / part)
    return Snapshot(folder, {name: file.size for name, file in listing.files.items()})


def _parts(folder: Path) -> list[str]:
    """Return where the networks of a repository are: what their files' paths in it begin with."""
    if not is_segmented(folder):
        return [""]
    return [f"{segment_folder(Path(), number)}/" for number in range(len(read_segments(folder).segments))]


def _cached(repo_id: str, access: Access, names: Sequence[str]) -> Snapshot:
    def find(name: str) -> Path:
        with explained(repo_id, access.revision):
            path = hub_api(access.token).hf_hub_download(
                repo_id, name, revision=access.revision, cache_dir=access.cache_dir, local_files_only=True
            )
            return Path(path)

    def find_first() -> Path:
        try:
            return find(CONFIG)
        except HubError as error:
            for name in (SEGMENTS, VIDEO):
                with suppress(HubError):
                    return find(name)
            raise error from None

    first = find_first()
    folder = first.parent
    if first.name == VIDEO:
        _check_file(folder, repo_id)
    for part in [] if first.name == VIDEO else _parts(folder):
        find(part + CONFIG)
        if WEIGHTS in names:
            _check_network(folder / part, f"{repo_id}: {part}{CONFIG}")
            find(part + WEIGHTS)
        check_record(folder / part)
    check_record(folder)
    return Snapshot(folder, {})


def _check_listed(listing: _Listing, parts: Sequence[str]) -> None:
    """Refuse segments that are not all there, or whose configs and records are too large all together.

    Raises:
        HubError: says which.
    """
    missing = [part for part in parts if part + CONFIG not in listing.files]
    if missing:
        raise HubError(
            f"{listing.repo_id}: holds {len(parts) - len(missing)} of {len(parts)} segments, {missing[0]}{CONFIG} is "
            "not there; push the video again"
        )
    total = sum(
        listing.size(part + name) for part in parts for name in (CONFIG, RECORD) if part + name in listing.files
    )
    if total > LARGEST_TOGETHER:
        raise HubError(
            f"{listing.repo_id}: configs and records of segments have {total:,} bytes; expected at most "
            f"{LARGEST_TOGETHER:,}"
        )


def _check_network(folder: Path, where: str) -> int:
    """Refuse a config whose network could not be loaded or decode; return the bytes that its weights take at most."""
    description = read_description(folder)
    network = build_on_meta(description.model, description.video, where)
    most = sum(tensor.numel() * LARGEST_NUMBER for tensor in network.state_dict().values()) + MAX_HEADER_BYTES
    check_forward_on_meta(network, where)
    return most


def _check_file(folder: Path, repo_id: str) -> None:
    """Refuse a compressed file whose networks could not decode."""
    for network in open_run(folder).meta_networks:
        check_forward_on_meta(network, f"{repo_id}: {VIDEO}")


def _check_size(listing: _Listing, name: str, most: int) -> None:
    if name not in listing.files:
        raise HubError(f"{listing.repo_id}: holds no {name}; nothing was pushed there but a config")
    if listing.size(name) > most:
        raise HubError(f"{listing.repo_id}: {name} has {listing.size(name):,} bytes, its network at most {most:,}")


class _Listing:
    """Contents of a revision as the Hub lists them, and the way to get it."""

    def __init__(self, repo_id: str, access: Access) -> None:
        self.repo_id, self.access, self.api = repo_id, access, hub_api(access.token)
        with explained(repo_id, access.revision):
            info = patiently(
                self.api.model_info, repo_id, revision=access.revision, files_metadata=True, timeout=TIMEOUT
            )
            self.commit = info.sha
            self.files = {file.rfilename: file for file in info.siblings or () if is_published(file.rfilename)}
        self.first = next((name for name in (SEGMENTS, CONFIG, VIDEO) if name in self.files), "")
        if not self.first:
            raise HubError(f"{repo_id}: holds no fit of enerv-zoo (neither {CONFIG}, {SEGMENTS} nor {VIDEO})")

    def size(self, name: str) -> int:
        """Bytes of a file, as far as the Hub says."""
        return self.files[name].size or 0

    def download_all(self, names: Iterable[str]) -> None:
        """Download files, a few at a time; errors are those of `download`."""
        with ThreadPoolExecutor(DOWNLOADS, "download") as pool:
            for _ in pool.map(self.download, names):
                pass

    def download(self, name: str) -> Path:
        """A file's place in the cache; its bytes are those that the Hub lists.

        Raises:
            HubError: it is too large, or damaged on its way or on the Hub.
        """
        file = self.files[name]
        most = LARGEST.get(name.rsplit("/", 1)[-1])
        if most is not None and self.size(name) > most:
            raise HubError(f"{self.repo_id}: {name} has {self.size(name):,} bytes; expected at most {most:,}")
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
        if Path(path).parents[name.count("/")].name != self.commit:
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
