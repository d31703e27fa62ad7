"""`SegmentedVideo`: a long video, one network per segment."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import VideoInfo
from enerv_zoo.display import table, video_rows
from enerv_zoo.frame_access import FrameAccess, check_called, decoded_places
from enerv_zoo.hub.upload import PushOptions, push_video
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.precision import wide
from enerv_zoo.storage.segments import Segment, SegmentsDescription, check_cover, save_segments
from enerv_zoo.threads import usable_threads

if TYPE_CHECKING:
    from enerv_zoo.video.origin import Origin

CACHED_NETWORKS = 2
"""Networks that stay loaded: the one that decodes, and the one before."""


class SegmentedVideo(FrameAccess):
    """A video whose frames several networks decode, one after the other.

    It is indexed, timed, decoded and called as a `NeuralVideo` is. Networks are loaded when they are needed, and the
    last few stay: memory holds these, however long the video is.

    Args:
        info: of the whole video.
        segments: in order, without a gap.
        load: the network of a segment, by its number; with a module-level function or object the video can be pickled.
        max_loaded: number of networks that stay loaded.

    Attributes:
        device: that networks decode on.
        loaded: the networks that are loaded, by the number of their segment.
        origin: the video that they were fitted to, as far as that is known, or `None`.

    Raises:
        ConfigError: the segments are not the video's frames, each once and in order.
    """

    def __init__(
        self,
        info: VideoInfo,
        segments: Sequence[Segment],
        load: Callable[[int], NeuralVideo],
        max_loaded: int = CACHED_NETWORKS,
    ) -> None:
        self.info = info
        self.segments = tuple(segments)
        self.device = torch.device("cpu")
        self.origin: Origin | None = None
        self.read_sound = None
        self._load, self._cached = load, max(max_loaded, 1)
        self.loaded: OrderedDict[int, NeuralVideo] = OrderedDict()
        self._loading = threading.RLock()
        self._way: tuple[str, bool | None] | None = None  # how to compile
        self._firsts = np.array([segment.first for segment in self.segments])
        check_cover(self.segments, info)

    def network(self, number: int) -> NeuralVideo:
        """Return the network of a segment, loaded if need be.

        Raises:
            ConfigError: it decodes something else than the segment.
        """
        with self._loading:  # by one thread at a time, for all that use the video
            if number in self.loaded:
                self.loaded.move_to_end(number)
                return self.loaded[number]
            while len(self.loaded) >= self._cached:
                self.loaded.popitem(last=False)  # before the next one takes memory
            with usable_threads(), torch.inference_mode(False):  # whoever decodes now, others may want gradients
                network = self._load(number).to(self.device).eval()
            self.segments[number].check(number, network.info, self.info)
            self.loaded[number] = network.optimize(*self._way) if self._way else network
            return network

    def networks(self) -> Iterator[NeuralVideo]:
        """Iterate over the networks of all segments in order, of which a few are in memory."""
        return (self.network(number) for number in range(len(self.segments)))

    def segment_of(self, index: float) -> int:
        """Return the number of the segment that decodes a frame index, integer or fractional."""
        return int(np.clip(np.searchsorted(self._firsts, index, side="right") - 1, 0, len(self.segments) - 1))

    @property
    def config(self) -> ModelConfig:
        """The composition of the first segment's network; the others are of the same family."""
        return self.network(0).config

    @property
    def stored_numbers(self) -> int:
        """Parameters and statistics that a decoder needs, of all segments."""
        return sum(network.stored_numbers for network in self.networks())

    # ------------------------------------------------------------------ decoding

    def __call__(self, index: Tensor) -> Tensor:
        """Return frames (B, 3, H, W), float in [0, 1], differentiable, at indices (B,), integer or fractional.

        Between the last frame of a segment and the first of the next is a cut and nothing else: the last frame stands.
        """
        check_called(index)
        rows: list[Tensor | None] = [None] * len(index)
        numbers = [self.segment_of(i) for i in index.tolist()]
        for number in sorted(set(numbers)):
            places = [place for place, other in enumerate(numbers) if other == number]
            frames = self.network(number)(self._local(number, index[places]))
            for place, frame in zip(places, frames, strict=True):
                rows[place] = frame
        shape = (0, 3, self.info.height, self.info.width)
        decoded = [row for row in rows if row is not None]
        return torch.stack(decoded) if decoded else torch.empty(shape, device=self.device)

    def decode_float(self, indices: Sequence[float] | None = None, batch_size: int | None = None) -> Iterator[Tensor]:
        """Decode frames as `decode` does, but float in [0, 1], on the networks' device."""
        places = decoded_places(indices, len(self))
        for number, run in groupby(places.tolist(), key=self.segment_of):
            local = self._local(number, torch.tensor(list(run), dtype=torch.float64))
            yield from self.network(number).decode_float(local.tolist(), batch_size)

    def _local(self, number: int, index: Tensor) -> Tensor:
        segment = self.segments[number]
        last = segment.frames - 1 if number + 1 < len(self.segments) else float("inf")  # as a whole video's end is
        return (wide(index) - segment.first).clamp(max=last)

    # ------------------------------------------------------------------ as a network

    def to(self, device: str | torch.device) -> SegmentedVideo:
        """Decode on a device from here on."""
        self.device = torch.device(device)
        with self._loading:
            for network in self.loaded.values():
                network.to(self.device)
        return self

    def eval(self) -> SegmentedVideo:
        """Return the video; segments are fitted one by one, elsewhere."""
        return self

    def optimize(self, precision: str = "auto", inductor: bool | None = None) -> SegmentedVideo:
        """Take the fastest way to decode that the device has; see `NeuralVideo.optimize`."""
        self._way = (precision, inductor)
        with self._loading:
            for network in self.loaded.values():
                network.optimize(precision, inductor)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the networks: another process loads its own."""
        return {**self.__dict__, "loaded": OrderedDict(), "_loading": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, with a lock of its own."""
        self.__dict__ |= {**state, "_loading": threading.RLock()}

    def save_pretrained(self, path: str | Path) -> Path:
        """Write all segments to a folder that `enerv_zoo.load` reads."""
        description = SegmentsDescription(self.info, self.segments)
        return save_segments(description, self.networks(), path, self.sound)

    def push_to_hub(self, repo_id: str, **options: Unpack[PushOptions]) -> str:
        """Push all segments to the Hub and return the commit's address; options and errors are those of `push`."""
        return push_video(self, repo_id, **options)

    def __repr__(self) -> str:
        size = f"{len(self)} frames of {self.info.size_text}"
        return f"SegmentedVideo({size} in {len(self.segments)} segments)"

    def _repr_html_(self) -> str:
        rows = [("model", self.config.family), *video_rows(self.info), ("segments", len(self.segments))]
        return table(self.info.name or "SegmentedVideo", rows, self[0])
