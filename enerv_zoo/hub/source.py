"""What a user's string means: a folder or a file here, a repository on the Hub, or a name that this version knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from enerv_zoo.errors import ConfigError, HubError, did_you_mean
from enerv_zoo.hub.bundled import bundled_networks
from enerv_zoo.hub.client import Access
from enerv_zoo.hub.download import Snapshot, fetch
from enerv_zoo.hub.index import INDEX, REPO_ID, read_index
from enerv_zoo.hub.naming import HUB, looks_like_path, nearest, no_such_path
from enerv_zoo.network import Network
from enerv_zoo.nvz import Sizes, open_nvz
from enerv_zoo.storage.compressed import (
    check_entry,
    file_or_folder,
    is_compressed,
    open_compressed,
    segments_of,
)
from enerv_zoo.storage.description import CONFIG, Description, read_description
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.record import RECORD
from enerv_zoo.storage.segments import (
    SegmentsDescription,
    is_segmented,
    read_segments,
    segment_folder,
)
from enerv_zoo.storage.untrusted import build_on_meta

_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def locate(id_or_path: str | Path, access: Access, names: Sequence[str] = (CONFIG, WEIGHTS, RECORD)) -> Path:
    """The folder that holds a fit's files, downloaded where need be; or the compressed file.

    Raises:
        EnervZooError: as `enerv_zoo.load` does.
    """
    found = _here_or_repository(id_or_path, access)
    return found if isinstance(found, Path) else _fetched(id_or_path, found, names).path


def _fetched(text: str | Path, repository: tuple[str, Access], names: Sequence[str]) -> Snapshot:
    """What `fetch` gives; where it fails, the error also names the path here that is nearest."""
    try:
        return fetch(*repository, names)
    except HubError as error:
        near = None if isinstance(text, Path) or text.startswith(HUB) else nearest(Path(text))
        if near is None or len(near.parts) < 2:
            raise
        raise type(error)(f"{error}; did you mean the folder {near} here?") from error


@dataclass(frozen=True)
class Summary:
    """What is known of a fit without its weights.

    Attributes:
        description: what its config says.
        network: the network, without its stored numbers.
        weights_bytes: of the weights' file; `None` where it is not there or its size is not known.
        sizes: of a compressed file's parts, or `None`.
    """

    description: Description
    network: Network
    weights_bytes: int | None
    sizes: Sizes | None = None


def describe(id_or_path: str | Path, access: Access | None = None) -> Summary:
    """Read a fit's config, from the Hub without downloading its weights, unless it is a compressed file there.

    Raises:
        EnervZooError: as `enerv_zoo.load` does.
    """
    return _summary(id_or_path, *_sized(id_or_path, access or Access()))


def _sized(id_or_path: str | Path, access: Access) -> tuple[Path, int | None]:
    """Where a fit's config or its compressed file is, downloaded where need be, and the bytes of its weights."""
    found = _here_or_repository(id_or_path, access)
    if isinstance(found, Path):
        return found, (found / WEIGHTS).stat().st_size if (found / WEIGHTS).is_file() else None
    snapshot = _fetched(id_or_path, found, [CONFIG])
    return snapshot.path, snapshot.sizes.get(WEIGHTS)


def _summary(named: str | Path, path: Path, weights_bytes: int | None) -> Summary:
    if is_compressed(path):
        file, description, network = open_compressed(path)
        return Summary(description, network, file.sizes.total, file.sizes)
    description = read_description(path)
    network = build_on_meta(description.model, description.video, f"{named}: {CONFIG}")
    return Summary(description, network, weights_bytes)


@dataclass(frozen=True)
class SegmentsSummary:
    """What is known of a video in segments without its weights.

    Attributes:
        description: the whole and its segments.
        fitted: of the segments that are there, in order.
        sizes: of a compressed file's parts, or `None`.
    """

    description: SegmentsDescription
    fitted: tuple[Summary, ...]
    sizes: Sizes | None = None

    @property
    def stored_numbers(self) -> int:
        """Of all networks that are there."""
        return sum(part.network.stored_numbers for part in self.fitted)

    @property
    def weights_bytes(self) -> int:
        """Of the weights' files, or of the compressed file."""
        return self.sizes.total if self.sizes else sum(part.weights_bytes or 0 for part in self.fitted)


def describe_any(id_or_path: str | Path, access: Access | None = None) -> Summary | SegmentsSummary:
    """As `describe`, but of a video in segments, too; a repository is asked once.

    Raises:
        EnervZooError: as `enerv_zoo.load` does.
    """
    path, weights_bytes = _sized(id_or_path, access or Access())
    return _segments_summary(path) or _summary(id_or_path, path, weights_bytes)


def _segments_summary(path: Path) -> SegmentsSummary | None:
    """What a folder or a compressed file says of a video in segments; `None` if it holds none."""
    if is_segmented(path):
        description = read_segments(path)
        folders = [segment_folder(path, number) for number in range(len(description.segments))]
        return SegmentsSummary(description, tuple(describe(f) for f in folders if (f / WEIGHTS).is_file()))
    if not is_compressed(path) or (file := open_nvz(path)).whole is None:
        return None
    entries = [check_entry(entry, str(path)) for entry in file.networks]
    parts = (Summary(*known, sum(sizes.values())) for known, sizes in zip(entries, file.sizes.tensors, strict=True))
    return SegmentsSummary(segments_of(file, str(path)), tuple(parts), file.sizes)


def _here_or_repository(id_or_path: str | Path, access: Access) -> Path | tuple[str, Access]:
    """The path that a string means (it is here, comes with this version, or can be nothing else), or the repository.

    Raises:
        ConfigError: it looks like a path, and nothing is there.
    """
    if isinstance(id_or_path, str) and id_or_path.startswith(HUB):
        return _on_the_hub(id_or_path, access)
    path = file_or_folder(Path(id_or_path).expanduser())
    if isinstance(id_or_path, Path) or path.exists():
        if access.revision is not None:
            raise ConfigError(f"{id_or_path}: is here, and revisions are a repository's; leave out the revision")
        return path
    if (file := bundled_networks().get(id_or_path)) is not None:
        return file
    if looks_like_path(id_or_path) or (found := repository(id_or_path, access)) is None:
        raise no_such_path(id_or_path)
    return found


def _on_the_hub(text: str, access: Access) -> tuple[str, Access]:
    """The repository of a text such as `hf:user/name`.

    Raises:
        ConfigError: it can be none.
    """
    name = text.removeprefix(HUB)
    if not REPO_ID.fullmatch(name):
        raise ConfigError(f"{text}: expected a user or an organisation and a name after {HUB}, such as {HUB}user/name")
    return name, access


def repository(name: str, access: Access) -> tuple[str, Access] | None:
    """The repository that a string means and how to reach it, or `None` where it can mean none.

    Raises:
        ConfigError: it could be a name that this version knows, and is none.
    """
    if name.startswith(HUB):
        return _on_the_hub(name, access)
    index = read_index(INDEX)
    if name in index:
        repo_id, _, revision = index[name].partition("@")
        return repo_id, replace(access, revision=access.revision or revision or None)
    if REPO_ID.fullmatch(name):
        return name, access
    known = {*index, *bundled_networks()}
    if known and _NAME.fullmatch(name):
        raise ConfigError(
            f"{name}: no fit is there, and no published one has this name.{_near(name, known)} "
            f"There are: {', '.join(sorted(known))}"
        )
    return None


def _near(name: str, known: Iterable[str]) -> str:
    path = nearest(Path(name))
    return did_you_mean(name, known) or ("" if path is None else f" Did you mean the folder {str(path)!r} here?")
