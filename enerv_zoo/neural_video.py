"""`NeuralVideo`: a network as the video that it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError
from enerv_zoo.frame_access import FrameAccess
from enerv_zoo.hub.client import Access
from enerv_zoo.hub.source import locate
from enerv_zoo.hub.upload import push_fit
from enerv_zoo.network import Network
from enerv_zoo.storage.compressed import is_compressed, read_network, read_whole
from enerv_zoo.storage.folder import CONFIG, WEIGHTS, read_folder, save
from enerv_zoo.storage.segments import is_segmented


class NeuralVideo(Network, FrameAccess):
    """A video whose frames a network decodes.

    As a `Network` (an `nn.Module`) it maps frame indices (B,), integer or fractional, to frames (B, 3, H, W), float in
    [0, 1]. As a video it has a length, frames by index (uint8, as decoders give them), timestamps and a frame rate.

    Args:
        config: the composition.
        info: the video it is for.

    Raises:
        ConfigError: parts that do not exist, do not fit together, or decode less than the frame.
    """

    @torch.inference_mode()
    def decode_float(self, indices: Sequence[float] | None = None, batch_size: int | None = None) -> Iterator[Tensor]:
        """As `decode`, but float in [0, 1], on the network's device."""
        wanted = torch.as_tensor(range(len(self)) if indices is None else indices, dtype=torch.float64)
        batch_size = self._batch_size(batch_size)
        fixed = self._kept
        for index in wanted.split(batch_size) if len(wanted) else ():
            missing = batch_size - len(index) if self._compiled else 0  # what is compiled wants equal batches
            padded = torch.cat((index, index[-1:].expand(missing))) if missing else index
            with self._evaluating():
                fixed = self.fixed_embeddings() if fixed is None else fixed
                frames = self.outputs(padded, fixed)[-1]
            yield self._crop(frames[: len(index)])

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the network of a fit's folder or of a compressed file.

        Raises:
            EnervZooError: as `enerv_zoo.load` does, or it holds a video in segments.
        """
        if is_segmented(path) or (is_compressed(path) and read_whole(path) is not None):
            raise ConfigError(f"{path}: holds a video in segments; enerv_zoo.load reads it")
        return read_network(path, 0, cls) if is_compressed(path) else read_folder(path, cls)

    @classmethod
    def from_pretrained(
        cls,
        id_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        device: str = "cpu",
    ) -> Self:
        """Load a fitted network from a folder or from the Hub; arguments and errors are those of `enerv_zoo.load`."""
        access = Access(revision, cache_dir, local_files_only, token)
        return cls.read(locate(id_or_path, access, (CONFIG, WEIGHTS))).to(device)

    def save_pretrained(self, path: str | Path) -> Path:
        """Write the network to a folder that `enerv_zoo.load` reads: `config.json` and `model.safetensors`."""
        return save(self, path)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        license: str | None = None,
        token: str | bool | None = None,
    ) -> str:
        """Push the network to the Hub and return the commit's address.

        Arguments and errors are those of `enerv_zoo.push`, which pushes a fit's folder, with its scores and recipe.
        """
        with TemporaryDirectory() as folder:
            return push_fit(
                save(self, folder),
                lambda: self,
                repo_id,
                private=private,
                revision=revision,
                commit_message=commit_message,
                create_pr=create_pr,
                license=license,
                token=token,
            )
