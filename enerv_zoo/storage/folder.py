"""A network in a folder: `config.json` (what it is) and `model.safetensors` (its weights)."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from enerv_zoo.compatibility import current_names
from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.files import replacing
from enerv_zoo.network import Network
from enerv_zoo.storage.description import (
    CONFIG,
    FORMAT,
    RECORD,
    Description,
    FitRecord,
    N,
    read_description,
    read_json,
    write_description,
)
from enerv_zoo.storage.tensors import check_numbers, check_tensors, read_header
from enerv_zoo.storage.untrusted import build_on_meta
from enerv_zoo.video.origin import Origin, protected

__all__ = ["CONFIG", "FORMAT", "WEIGHTS", "check_folder", "read_config", "read_folder", "save"]

WEIGHTS = "model.safetensors"


def save(video: Network, path: str | Path, *, fit: FitRecord | None = None, license: str | None = None) -> Path:
    """Write a network to a folder, replacing one that is there; each file appears whole or not at all.

    Args:
        video: the network.
        path: the folder.
        fit: how it was fitted, for the record.
        license: of the weights, by its identifier on the Hub.

    Raises:
        EnervZooError: the folder cannot be written.
    """
    folder = Path(path)
    try:
        with protected(video.origin):
            with replacing(folder / WEIGHTS) as temporary:
                temporary.write_bytes(to_bytes(video.weights()))
            write_description(Description(video.config, video.info, fit, license), folder)
    except SafetensorError as error:
        raise EnervZooError(f"{folder}: cannot be written ({error}); choose another folder") from error
    return folder


def read_folder(path: str | Path, build: type[N]) -> N:
    """Read a fitted network from its folder; nothing is allocated before config and weights agree.

    Args:
        path: the folder.
        build: the class of the network.

    Raises:
        EnervZooError: no fit is there, or its files are damaged, do not match or ask for too much.
    """
    description = check_folder(path)
    weights = Path(path) / WEIGHTS
    try:
        state = from_bytes(weights.read_bytes())  # its own reader takes no path that is not UTF-8
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{weights}: damaged or no safetensors file ({error})") from error
    check_numbers(state, str(weights))
    video = build.seeded(description.model, description.video, seed=0)  # for weights that are replaced
    video.load_state_dict(current_names(description.model, state))
    video.origin = read_origin(Path(path), description)
    return video.eval()


def read_origin(folder: Path, description: Description | None = None) -> Origin:
    """What a fit's folder says of the video that was fitted; what is damaged says nothing."""
    try:
        record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    except ConfigError:
        record = {}
    origin = Origin.of_record(record)
    return origin if origin.digest or description is None else described_origin(description, origin.source)


def described_origin(description: Description, source: str | None = None) -> Origin:
    """What `config.json`, or a compressed file, says of the video that was fitted."""
    contents = description.fit.source if description.fit else None
    return Origin(source, contents.digest, contents.bytes) if contents else Origin(source)


def check_folder(path: str | Path) -> Description:
    """What a folder's config says, once its weights are known to be those of that network, by names and sizes.

    Raises:
        EnervZooError: no fit is there, or its files are damaged, do not match or ask for too much.
    """
    description = read_description(path)
    weights = Path(path) / WEIGHTS
    if not weights.is_file():
        raise ConfigError(f"{path}: holds no {WEIGHTS}; a fit that did not end leaves none, go on with fit --resume")
    network = build_on_meta(description.model, description.video, str(Path(path) / CONFIG))
    check_tensors(network, current_names(description.model, read_header(weights)), str(weights))
    return description


def read_config(path: str | Path) -> tuple[ModelConfig, VideoInfo]:
    """The composition and the video that a fit's folder describes, without its weights.

    Raises:
        EnervZooError: there is no fit, or its config is damaged or of a newer format.
    """
    description = read_description(path)
    return description.model, description.video
