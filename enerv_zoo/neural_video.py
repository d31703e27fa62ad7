"""`NeuralVideo`: a network as the video that it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self, Unpack

import torch
from torch import Tensor

from enerv_zoo.display import table, video_rows
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import usable_path
from enerv_zoo.frame_access import FrameAccess, check_called, decoded_places
from enerv_zoo.hub.client import Access, AccessOptions
from enerv_zoo.hub.source import open_run
from enerv_zoo.hub.upload import PushOptions, push_video
from enerv_zoo.machine import choose_device
from enerv_zoo.network import Network
from enerv_zoo.storage.folder import CONFIG, WEIGHTS, save
from enerv_zoo.storage.record import METRICS
from enerv_zoo.storage.segments import Segment, is_segmented
from enerv_zoo.storage.sound import SOUND


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
        """Decode frames as `decode` does, but float in [0, 1], on the network's device."""
        places = decoded_places(indices, len(self))
        batch_size = min(self._batch_size(batch_size), len(self))
        fixed = self._fixed
        for index in places.split(batch_size) if len(places) else ():
            missing = batch_size - len(index) if self.compiled else 0  # what is compiled wants equal batches
            padded = torch.cat((index, index[-1:].expand(missing))) if missing else index
            with self.evaluating():
                fixed = self.fixed_embeddings() if fixed is None else fixed
                frames = self.outputs(padded, fixed)[-1]
            yield self._crop(frames[: len(index)])

    def features(self, index: Tensor) -> dict[str, Tensor]:
        """Return the maps within the network for indices (B,), differentiable, by the names of its parts, in order.

        They are `embeddings.NAME`, `join`, and `stages.0`, `stages.1`, ..., as `named_modules` has them: each (B, ...),
        or (1, ...) for what is the same in every frame. What a head makes of neighbouring frames is not in them.

        Raises:
            FrameError: the index is no tensor of one dimension.
        """
        check_called(index)
        names = [*(f"embeddings.{name}" for name in self.embeddings), "join"]
        names += [f"stages.{number}" for number in range(len(self.stages))]
        maps: dict[str, Tensor] = {}
        with ExitStack() as stack:
            for name in names:
                hook = partial(lambda name, module, inputs, output: maps.__setitem__(name, output), name)
                stack.callback(self.get_submodule(name).register_forward_hook(hook).remove)
            self.head_outputs(self._here(index), self.fixed_embeddings())
        return {name: maps[name] for name in names}

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The frames of each network: all of them, of this one."""
        return (Segment(0, self.info.frames),)

    def segment_of(self, index: float) -> int:
        """Return the number of the segment that decodes a frame index, which is 0."""
        return 0

    def network(self, number: int = 0) -> Self:
        """Return the network of a segment, which is this one."""
        return self

    def networks(self) -> Iterator[Self]:
        """Iterate over the networks of all segments."""
        yield self

    def __repr__(self) -> str:
        size = f"{len(self)} frames of {self.info.size_text}"
        return f"NeuralVideo({self.config.family}, {size}, {self.stored_numbers:,} parameters)"

    def _repr_html_(self) -> str:
        rows = [("model", self.config.family), *video_rows(self.info), ("parameters", self.stored_numbers)]
        return table(self.info.name or "NeuralVideo", rows, None if self.is_fitting else self[0])

    @classmethod
    def from_pretrained(cls, id_or_path: str | Path, *, device: str = "cpu", **access: Unpack[AccessOptions]) -> Self:
        """Load a fitted network from a folder or from the Hub; arguments and errors are those of `enerv_zoo.load`."""
        run = open_run(id_or_path, Access(**access), (CONFIG, WEIGHTS, SOUND))
        run.only()  # refuses a video in segments
        return run.network(0, cls).to(choose_device(device) if isinstance(device, str) else device)

    def save_pretrained(self, path: str | Path) -> Path:
        """Write the network to a folder that `enerv_zoo.load` reads: `config.json` and `model.safetensors`.

        Raises:
            ConfigError: the folder holds a video in segments, which would be loaded in its place, or a fit whose scores
                would be taken for this network's.
        """
        folder = usable_path(path)
        if is_segmented(folder):
            raise ConfigError(f"{path}: holds a video in segments; choose another folder, or delete it")
        if (folder / METRICS).exists():
            raise ConfigError(f"{path}: holds a fit, with its scores; choose another folder")
        return save(self, path)

    def push_to_hub(self, repo_id: str, **options: Unpack[PushOptions]) -> str:
        """Push the network to the Hub and return the commit's address.

        Options and errors are those of `enerv_zoo.push`, which pushes a fit's folder, with its scores and recipe.
        """
        return push_video(self, repo_id, **options)
