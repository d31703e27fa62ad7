"""What a user's string means: a folder here, a repository on the Hub, or a name of the shipped index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.hub.client import Access
from enerv_zoo.hub.description import CONFIG, Description, read_description
from enerv_zoo.hub.download import fetch
from enerv_zoo.hub.folder import WEIGHTS, read_folder
from enerv_zoo.hub.index import INDEX, REPO_ID, read_index
from enerv_zoo.hub.outline import outline
from enerv_zoo.hub.record import RECORD
from enerv_zoo.hub.segments import is_segmented, read_segmented
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.segmented import SegmentedVideo

_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def load(
    id_or_path: str | Path,
    device: str = "cpu",
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> NeuralVideo | SegmentedVideo:
    """Load a fitted network from a folder or from the Hub; or the networks of a video in segments, from its folder.

    Nothing in a repository is trusted: no code runs, and nothing is allocated before config and weights agree.

    Args:
        id_or_path: a folder that holds `config.json` and `model.safetensors`; else a repository on the Hub such as
            `"user/bunny-enerv"`, or a name that this version knows (`enerv_zoo.list_pretrained`).
        device: where to put the weights.
        revision: branch, tag or commit of the repository.
        cache_dir: where downloads are kept; by default where `huggingface_hub` keeps them.
        local_files_only: use what was downloaded before, and never the network; as `HF_HUB_OFFLINE=1` does.
        token: for private and gated repositories; by default the user who is logged in.

    Raises:
        EnervZooError: no fit is there, it cannot be downloaded, or its files are damaged, do not match or ask for too
            much.
    """
    access = Access(revision, cache_dir, local_files_only, token)
    folder = locate(id_or_path, access, (CONFIG, WEIGHTS))
    return read_segmented(folder, device) if is_segmented(folder) else read_folder(folder, device)


def locate(id_or_path: str | Path, access: Access, names: Sequence[str] = (CONFIG, WEIGHTS, RECORD)) -> Path:
    """The folder that holds a fit's files, downloaded where need be.

    Raises:
        EnervZooError: as `load` does.
    """
    repo = _unless_folder(id_or_path, access)
    if repo is None:
        return Path(id_or_path)
    return fetch(*repo, names).folder


@dataclass(frozen=True)
class Summary:
    """What is known of a fit without its weights.

    Attributes:
        description: what its config says.
        network: the network, without its stored numbers.
        weights_bytes: of the weights' file; `None` where it is not there or its size is not known.
    """

    description: Description
    network: NeuralVideo
    weights_bytes: int | None


def describe(id_or_path: str | Path, access: Access | None = None) -> Summary:
    """Read a fit's config, from the Hub without downloading its weights.

    Raises:
        EnervZooError: as `load` does.
    """
    access = access or Access()
    repo = _unless_folder(id_or_path, access)
    if repo is None:
        folder, weights = Path(id_or_path), Path(id_or_path) / WEIGHTS
        size = weights.stat().st_size if weights.is_file() else None
    else:
        snapshot = fetch(*repo, [CONFIG])
        folder, size = snapshot.folder, snapshot.sizes.get(WEIGHTS)
    description = read_description(folder)
    network = outline(description.model, description.video, f"{id_or_path}: {CONFIG}")
    return Summary(description, network, size)


def _unless_folder(id_or_path: str | Path, access: Access) -> tuple[str, Access] | None:
    """The repository that a string means, unless it means a folder: one that is here, or can be nothing else."""
    if isinstance(id_or_path, Path) or Path(id_or_path).exists():
        return None
    return repository(id_or_path, access)


def repository(name: str, access: Access) -> tuple[str, Access] | None:
    """The repository that a string means and how to reach it, or `None` where it can mean none.

    Raises:
        ConfigError: it could be a name of the index, and is none.
    """
    known = read_index(INDEX)
    if name in known:
        repo_id, _, revision = known[name].partition("@")
        return repo_id, replace(access, revision=access.revision or revision or None)
    if REPO_ID.fullmatch(name):
        return name, access
    if known and _NAME.fullmatch(name):
        raise ConfigError(
            f"{name}: no fit is there, and no published one has this name.{did_you_mean(name, known)} "
            f"There are: {', '.join(sorted(known))}"
        )
    return None
