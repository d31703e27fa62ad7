"""A video in one file, `.nvz`: configs and numbers of its network, or of its segments' networks, entropy-coded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.compatibility import FORMAT, current_names, upgrade
from enerv_zoo.config import read_mapping
from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.metrics.columns import names_in
from enerv_zoo.network import Network
from enerv_zoo.nvz import EncodedNetwork, NetworkEntry, NvzFile, QuantizedTensor, Sizes, open_nvz, write_nvz
from enerv_zoo.storage.description import CONFIG, Description, FitRecord, N, check_license, from_json, to_json
from enerv_zoo.storage.folder import described_origin
from enerv_zoo.storage.record import PARTS, RECORD, check_selection
from enerv_zoo.storage.segments import SegmentsDescription, segments_from_json
from enerv_zoo.storage.tensors import check_numbers, check_tensors
from enerv_zoo.storage.untrusted import build_on_meta
from enerv_zoo.video.origin import Origin
from enerv_zoo.video.samples import samples

SUFFIX = ".nvz"
VIDEO = f"video{SUFFIX}"
"""The name of a compressed file in a repository, and in a folder that was pulled from one."""

_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "I32": torch.int32,
    None: torch.float32,
}  # fmt: skip


def is_compressed(path: str | Path) -> bool:
    """Whether a path means a compressed file and no fit's folder."""
    path = Path(path)
    return not path.is_dir() and (path.suffix == SUFFIX or path.is_file())


def file_or_folder(path: Path) -> Path:
    """The compressed file that a folder holds in place of a network; else the path as it is."""
    return path / VIDEO if (path / VIDEO).is_file() and not (path / CONFIG).exists() else path


def to_network(
    video: Network,
    tensors: Mapping[str, QuantizedTensor],
    *,
    fit: FitRecord | None = None,
    license: str | None = None,
) -> EncodedNetwork:
    """What a file says of a network.

    Args:
        video: the network.
        tensors: coded numbers, by the names of `video.weights()`; those of other names are stored as they are.
        fit: how it was fitted, for the record.
        license: of the weights, by its identifier on the Hub.

    Raises:
        ConfigError: a coded tensor is not one of the network's, or has another shape or type.
    """
    weights = video.weights()
    for name, tensor in tensors.items():
        ours = weights.get(name)
        if ours is None:
            raise ConfigError(f"the network has no tensor {name!r}.{did_you_mean(name, weights)}")
        if tuple(ours.shape) != tensor.levels.shape or not ours.is_floating_point():
            raise ConfigError(
                f"{name} is {ours.dtype} {tuple(ours.shape)}, it cannot be coded as {tensor.levels.shape}"
            )
    description = to_json(Description(video.config, video.info, fit, check_license(license)))
    return EncodedNetwork(description, {name: tensors.get(name, ours.numpy()) for name, ours in weights.items()})


def write_compressed(
    video: Network,
    tensors: Mapping[str, QuantizedTensor],
    path: str | Path,
    *,
    fit: FitRecord | None = None,
    license: str | None = None,
) -> Sizes:
    """Write a network as one file; arguments and errors are those of `to_network`.

    Returns:
        Bytes of every part of the file.

    Raises:
        EnervZooError: the file cannot be written.
    """
    if Path(path).suffix != SUFFIX:
        raise ConfigError(f"{path}: a compressed fit is a file that ends in {SUFFIX}; choose such a name")
    return write_nvz(path, [to_network(video, tensors, fit=fit, license=license)])


def read_whole(path: str | Path) -> SegmentsDescription | None:
    """Return the segments whose networks a file holds; `None` where it holds one network of the whole video.

    Raises:
        ConfigError: no such file is there, or it is damaged.
    """
    return _whole(open_nvz(path), str(path))


def read_file_origin(path: str | Path) -> Origin:
    """Return what a file says of the video that was fitted."""
    return described_origin(from_json(open_nvz(path).networks[0].description, str(path)))


def _whole(file: NvzFile, where: str) -> SegmentsDescription | None:
    if file.whole is not None:
        return segments_of(file, where)
    if len(file) != 1:
        raise ConfigError(f"{where}: holds {len(file)} networks and does not say of which segments; it is damaged")
    return None


def read_network(path: str | Path, number: int, build: type[N]) -> N:
    """Read a network; nothing is allocated before its config and tensors agree.

    Of the file's bytes, a network's own (`file_bytes`) are its tensors', and the first one's the head, too.

    Args:
        path: the file.
        number: of the network.
        build: the class of the network.

    Raises:
        ConfigError: no such file is there, or it is damaged, does not match itself or asks for too much.
    """
    file, where = open_nvz(path), str(path)
    description, _ = check_entry(file.networks[number], where)
    network = decoded(file.read(number), where, build)
    network.origin = described_origin(description)
    network.file_bytes = sum(file.sizes.tensors[number].values()) + (file.sizes.head if number == 0 else 0)
    return network


def segments_of(file: NvzFile, where: str) -> SegmentsDescription:
    """The segments whose networks a file holds.

    Raises:
        ConfigError: it holds one network and no segments, or does not hold a network for each.
    """
    if file.whole is None:
        raise ConfigError(f"{where}: holds one network, and no video in segments")
    description = segments_from_json(file.whole, where)
    if len(description.segments) != len(file):
        raise ConfigError(f"{where}: has {len(file)} networks for {len(description.segments)} segments; it is damaged")
    return description


def open_compressed(path: str | Path) -> tuple[NvzFile, Description, Network]:
    """A file of one network, what it says of it, and the network without its numbers (see `build_on_meta`).

    Raises:
        ConfigError: as `read_network` does, or the file holds a video in segments.
    """
    file = open_nvz(path)
    if len(file) != 1 or file.whole is not None:
        raise ConfigError(f"{path}: holds {len(file)} segments; expected the file of a single network")
    description, network = check_entry(file.networks[0], str(path))
    return file, description, network


def check_compressed(path: str | Path) -> Description:
    """What a file says of the whole video, once every network's config and tensors are known to agree.

    Of a video in segments, the network and the recipe are those of the first one, and the numbers are of the whole.

    Raises:
        ConfigError: as `read_network` does.
    """
    file = open_nvz(path)
    whole = _whole(file, str(path))
    parts = [check_entry(entry, str(path)) for entry in file.networks]
    first = parts[0][0]
    video = first.video if whole is None else whole.video
    told = [(described.fit.metrics if described.fit else {}, described.video.frames) for described, _ in parts]
    metrics: dict[str, Any] = {name: _mean(name, told) for name in names_in(told[0][0])}
    metrics["bpp"] = 8 * file.sizes.total / video.pixels
    metrics["stored_numbers"] = sum(network.stored_numbers for _, network in parts)
    recipe = first.fit.recipe if first.fit else None
    if recipe is not None and len(parts) > 1:
        recipe = replace(recipe, video={key: value for key, value in recipe.video.items() if key != "frames"})
    source = first.fit.source if first.fit else None
    return Description(first.model, video, FitRecord(recipe, metrics, source), first.license)


def _mean(name: str, told: Sequence[tuple[Mapping[str, Any], int]]) -> float | None:
    """The mean over all frames of a number that networks tell, or `None` where one does not."""
    values = [(metrics.get(name), frames) for metrics, frames in told]
    if not all(isinstance(value, (int, float)) for value, _ in values):
        return None
    return sum(float(value) * frames for value, frames in values if value is not None) / sum(n for _, n in values)


def check_entry(entry: NetworkEntry, where: str) -> tuple[Description, Network]:
    """What a head says of a network, once its tensors are known to be that network's, by names, shapes and types.

    Raises:
        ConfigError: they do not agree, or ask for too much.
    """
    description = from_json(entry.description, where)
    network = build_on_meta(description.model, description.video, where)
    for tensor in entry.tensors:
        if tensor.dtype not in _TYPES:
            raise ConfigError(f"{where}: {tensor.name:.80} holds numbers of type {tensor.dtype}, which no network has")
    claimed = {t.name: torch.empty(t.shape, dtype=_TYPES[t.dtype], device="meta") for t in entry.tensors}
    check_tensors(network, current_names(description.model, claimed), where)
    return description, network


def decoded(network: EncodedNetwork, where: str, build: type[N]) -> N:
    """Return the network whose entry `check_entry` let pass.

    Raises:
        ConfigError: its numbers are not finite.
    """
    state = {name: _tensor(tensor) for name, tensor in network.tensors.items()}
    check_numbers(state, where)
    description = from_json(network.description, where)
    video = build.seeded(description.model, description.video, seed=0)  # for weights that are replaced
    video.load_state_dict(current_names(description.model, state))
    return video.eval()


def _tensor(tensor: QuantizedTensor | np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(tensor.values() if isinstance(tensor, QuantizedTensor) else tensor))


def record_of(path: str | Path, number: int = 0) -> dict[str, Any]:
    """What `fit.json` says in a fit's folder, nothing where there is none.

    Of a network in a compressed file, it is what `fit.json` would say: the sample that it names, and how that was cut.

    Raises:
        ConfigError: as `read_network` does, or there is no such network, or `fit.json` is damaged.
    """
    if not is_compressed(path):
        file = Path(path) / RECORD
        record = read_mapping(file) if file.is_file() else {}
        for part in PARTS:
            if not isinstance(record.get(part) or {}, dict):
                raise ConfigError(f"{file}: {part!r} is {record[part]!r:.60}, expected a mapping; the file is damaged")
        return upgrade(record, str(file), fitted=True) if record else {}
    opened = open_nvz(path)
    if not 0 <= number < len(opened):
        raise ConfigError(f"{path}: has {len(opened)} networks, number {number} is not one of them")
    description = from_json(opened.networks[number].description, str(path))
    recipe = description.fit.recipe if description.fit else None
    name = description.video.name
    parts = {part: dict(getattr(recipe, part)) if recipe else {} for part in PARTS}
    contents = description.fit.source if description.fit else None
    known = {"source_contents": {"sha256": contents.digest, "bytes": contents.bytes}} if contents else {}
    told = {"format": FORMAT, "source": name if name in samples() else None, **known, **parts}
    check_selection(told, str(path))
    return told
