"""A network in a folder: `config.json` (what it is) and `model.safetensors` (its weights)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from enerv_zoo.compatibility import current_names
from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.files import replacing
from enerv_zoo.network import Network
from enerv_zoo.storage.description import (
    CONFIG,
    RECORD,
    Description,
    FitRecord,
    N,
    read_description,
    read_json,
    write_description,
)
from enerv_zoo.storage.record import METRICS, fit_record, present_record
from enerv_zoo.storage.sound import write_sound
from enerv_zoo.storage.tensors import build_network, check_tensors, read_header
from enerv_zoo.storage.untrusted import build_on_meta
from enerv_zoo.video.origin import Origin, protected

__all__ = ["CONFIG", "WEIGHTS", "FolderNetwork", "described_origin", "save"]

WEIGHTS = "model.safetensors"


def save(video: Network, path: str | Path, *, fit: FitRecord | None = None, license: str | None = None) -> Path:
    """Write a network and its sound to a folder, replacing those there; each file appears whole or not at all.

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
            write_sound(None if video.read_sound is None else video.read_sound(), folder)
            write_description(Description(video.config, video.info, fit, license), folder)
    except SafetensorError as error:
        raise EnervZooError(f"{folder}: cannot be written ({error}); choose another folder") from error
    return folder


@dataclass(frozen=True)
class FolderNetwork:
    """A network that is stored in a folder; each of its files is read once, when it is needed.

    Attributes:
        folder: that holds `config.json` and `model.safetensors`.
        listed_bytes: bytes of the weights in a repository, where they were not downloaded; else `None`.
    """

    folder: Path
    listed_bytes: int | None = None

    @property
    def is_fitted(self) -> bool:
        """Return whether a fit that ended wrote the folder."""
        return (self.folder / CONFIG).is_file()

    @property
    def bytes(self) -> int | None:
        """Bytes of the weights' file; `None` where it is not there and nobody knows."""
        weights = self.folder / WEIGHTS
        return weights.stat().st_size if weights.is_file() else self.listed_bytes

    @cached_property
    def description(self) -> Description:
        """Contents of `config.json`.

        Raises:
            EnervZooError: no fit is there, or the file is damaged or of a newer format.
        """
        return read_description(self.folder)

    @cached_property
    def _stored_record(self) -> dict[str, Any]:
        file = self.folder / RECORD
        return read_json(file) if file.is_file() else {}

    @cached_property
    def record(self) -> dict[str, Any]:
        """Contents of `fit.json` in the present format; empty where there is none.

        Raises:
            ConfigError: it is damaged.
        """
        return present_record(self._stored_record, str(self.folder / RECORD))

    @cached_property
    def fit(self) -> FitRecord | None:
        """Record of the fit, by `fit.json` and `metrics.json`, else by `config.json`.

        Raises:
            ConfigError: one of them is damaged.
        """
        described = self.description.fit if self.is_fitted else None
        metrics = self.folder / METRICS
        measured = read_json(metrics) if metrics.is_file() else {}
        if not self._stored_record and not measured:
            return described
        fit = fit_record(self._stored_record or None, measured, str(self.folder))
        if described is None:
            return fit
        return FitRecord(
            fit.recipe or described.recipe, fit.metrics or described.metrics, fit.source or described.source
        )

    @property
    def origin(self) -> Origin:
        """Video that was fitted, as far as it is known; a damaged record says nothing."""
        try:
            record = self._stored_record
        except ConfigError:
            record = {}
        origin = Origin.of_record(record)
        return origin if origin.digest or not self.is_fitted else described_origin(self.description, origin.source)

    def on_meta(self) -> Network:
        """Return the network without its weights (see `build_on_meta`).

        Raises:
            EnervZooError: as `description` does; or the config asks for what is not loaded.
        """
        return build_on_meta(self.description.model, self.description.video, str(self.folder / CONFIG))

    def check(self) -> Network:
        """Return the network without its weights, once the file's are known to be its own, by names and sizes.

        Raises:
            EnervZooError: as `on_meta` does; or the weights are missing, damaged or do not match.
        """
        description, weights = self.description, self.folder / WEIGHTS
        if not weights.is_file():
            raise ConfigError(
                f"{self.folder}: holds no {WEIGHTS}; a fit that did not end leaves none, go on with fit --resume"
            )
        network = self.on_meta()
        check_tensors(network, current_names(description.model, read_header(weights)), str(weights))
        return network

    def read(self, build: type[N]) -> N:
        """Read the network; nothing is allocated before config and weights agree.

        Args:
            build: the class of the network.

        Raises:
            EnervZooError: as `check` does, or the weights are not finite.
        """
        self.check()
        weights = self.folder / WEIGHTS
        try:
            state = from_bytes(weights.read_bytes())  # its own reader takes no path that is not UTF-8
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{weights}: damaged or no safetensors file ({error})") from error
        network = build_network(build, self.description, state, str(weights))
        network.origin = self.origin
        return network


def described_origin(description: Description, source: str | None = None) -> Origin:
    """Return the origin of the fitted video, by `config.json` or a compressed file."""
    contents = description.fit.source if description.fit else None
    return Origin(source, contents.digest, contents.bytes) if contents else Origin(source)
