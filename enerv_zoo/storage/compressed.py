"""A video in one file, `.nvz`: configs and entropy-coded weights of its network, or of its segments' networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from enerv_zoo.compatibility import FORMAT, current_names
from enerv_zoo.errors import ConfigError, VideoError, did_you_mean
from enerv_zoo.network import Network
from enerv_zoo.nvz import EncodedNetwork, NvzFile, QuantizedTensor
from enerv_zoo.storage.description import (
    Description,
    FitRecord,
    N,
    SourceContents,
    check_license,
    from_json,
    to_json,
)
from enerv_zoo.storage.folder import described_origin
from enerv_zoo.storage.record import PARTS, check_selection
from enerv_zoo.storage.tensors import build_network, check_tensors
from enerv_zoo.storage.untrusted import build_on_meta
from enerv_zoo.video.identity import digest
from enerv_zoo.video.origin import Origin
from enerv_zoo.video.samples import samples

SUFFIX = ".nvz"
VIDEO = f"video{SUFFIX}"
"""The name of a compressed file in a repository, and in a folder that was pulled from one."""

_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "I32": torch.int32,
    None: torch.float32,
}  # fmt: skip


def to_network(
    video: Network, tensors: Mapping[str, QuantizedTensor], *, fit: FitRecord | None = None, license: str | None = None
) -> EncodedNetwork:
    """Return a network as a file holds it.

    Args:
        video: the network.
        tensors: coded tensors, by the names of `video.weights()`; those of other names are stored as they are.
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


@dataclass(frozen=True)
class FileNetwork:
    """A network that is stored in a file, whose head was read.

    Attributes:
        file: that holds it.
        number: of the network in the file.
        path: of the file.
    """

    file: NvzFile
    number: int
    path: Path

    is_fitted = True

    @property
    def bytes(self) -> int:
        """The file's bytes that are this network's: its tensors', and of the first one the head, too."""
        sizes = self.file.sizes
        return sum(sizes.tensors[self.number].values()) + (sizes.head if self.number == 0 else 0)

    @cached_property
    def description(self) -> Description:
        """Description of the network in the file's head.

        Raises:
            ConfigError: it is damaged or of a newer format.
        """
        return from_json(self.file.networks[self.number].description, str(self.path))

    @property
    def fit(self) -> FitRecord | None:
        """Record of the fit."""
        return self.description.fit

    @cached_property
    def record(self) -> dict[str, Any]:
        """Contents that `fit.json` would have: the sample that the file names, and how that was cut.

        Raises:
            ConfigError: it is damaged, or asks to open anything but a sample.
        """
        fit, name = self.description.fit, self.description.video.name
        recipe, contents = (fit.recipe, fit.source) if fit else (None, None)
        facts = {"source_contents": {"sha256": contents.digest, "bytes": contents.bytes}} if contents else {}
        parts = {part: dict(getattr(recipe, part)) if recipe else {} for part in PARTS}
        source = name if name in samples() and (contents is None or _holds(name, contents)) else None
        record = {"format": FORMAT, "source": source, **facts, **parts}
        check_selection(record, str(self.path))
        return record

    @property
    def origin(self) -> Origin:
        """Video that was fitted, as far as it is known."""
        return described_origin(self.description)

    def on_meta(self) -> Network:
        """Return the network without its weights, once its tensors are known to be its own, by names and sizes.

        Raises:
            ConfigError: they do not agree, or ask for too much.
        """
        where, model = str(self.path), self.description.model
        network = build_on_meta(model, self.description.video, where)
        tensors = self.file.networks[self.number].tensors
        for tensor in tensors:
            if tensor.dtype not in _TYPES:
                raise ConfigError(
                    f"{where}: {tensor.name:.80} holds values of type {tensor.dtype}, which no network has"
                )
        claimed = {t.name: torch.empty(t.shape, dtype=_TYPES[t.dtype], device="meta") for t in tensors}
        check_tensors(network, current_names(model, claimed), where)
        return network

    check = on_meta

    def read(self, build: type[N]) -> N:
        """Read the network; nothing is allocated before its config and tensors agree.

        Args:
            build: the class of the network.

        Raises:
            ConfigError: the file is damaged, does not match itself or asks for too much.
        """
        self.on_meta()
        arrays = {
            name: tensor.values() if isinstance(tensor, QuantizedTensor) else tensor
            for name, tensor in self.file.read(self.number).tensors.items()
        }
        state = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        network = build_network(build, self.description, state, str(self.path))
        network.origin, network.file_bytes = self.origin, self.bytes
        return network


def _holds(sample: str, contents: SourceContents) -> bool:
    """Return whether a sample's name leads to contents: a film of one's own may have the name, too."""
    try:
        return digest(sample).startswith(contents.digest)
    except VideoError:  # something else of that name lies here
        return False
