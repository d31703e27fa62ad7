"""Place of a fit's frames, and their way to the device."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from enerv_zoo.content import frames_around
from enerv_zoo.errors import FitError

logger = logging.getLogger(__name__)

PLACES = ("auto", "device", "host", "disk")
MAX_DEVICE_SHARE = 0.8
"""`"auto"` puts frames on a GPU when they and the fit take at most this part of its free memory."""

BATCHES_AHEAD = 2
"""Batches that are on their way while a step computes."""


def host_place(place: str) -> str:
    """Return the memory in which `enerv_zoo.open_video` keeps frames that a fit asks for in `place`.

    Raises:
        FitError: there is no such place.
    """
    if place not in PLACES:
        raise FitError(f"a fit keeps its frames in one of {', '.join(PLACES)}, got {place!r}")
    return "auto" if place == "device" else place


class FrameLoader:
    """Frames (N, C, H, W), uint8, that come to the device a batch at a time.

    From the device itself, or from memory to a CPU, they are gathered at once. From disk, or from the host to a GPU, a
    thread gathers batches ahead; they go through pinned memory and a stream of their own, and no step waits.

    Args:
        frames: as `enerv_zoo.open_video` gives them, in memory or mapped from disk; or with the weights of their pixels
            as a fourth channel (`enerv_zoo.video.seen.seen_frames`).
        device: `"cpu"` or `"cuda"`.
        place: `"device"`; `"host"` and `"disk"` leave frames where they are; `"auto"` puts them on the device if they
            fit.
        need: bytes that the fit takes on the device beside the frames.
        on_disk: whether the frames are mapped from disk.
        fitted: the frames that are fitted; by default all. Only these count as its length.

    Attributes:
        frames: (N, 3, H, W), without weights.
        fitted: indices of the frames that are fitted, (F,).
        is_streamed: whether they are gathered ahead.
    """

    def __init__(
        self,
        frames: Tensor,
        device: str = "cpu",
        *,
        place: str = "auto",
        need: int = 0,
        on_disk: bool = False,
        fitted: Sequence[int] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.fitted = torch.arange(len(frames)) if fitted is None else torch.tensor(fitted)
        size = frames.nbytes
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
            if place == "device" or (place == "auto" and size + need <= MAX_DEVICE_SHARE * free):
                frames = frames.to(self.device)
        self._stored, self.frames = frames, frames[:, :3]
        at_hand = self.frames.device.type == self.device.type
        self.is_streamed = not at_hand or (on_disk and frames.device.type == "cpu")
        where = "on the GPU" if self.frames.is_cuda else "on disk" if on_disk else "in memory"
        self.description = f"{size / 1e6:,.0f} MB {where}" + ("" if at_hand else ", sent to the GPU while it computes")

    def __len__(self) -> int:
        return len(self.fitted)

    @property
    def has_unseen(self) -> bool:
        """Return whether frames are held out."""
        return len(self.fitted) < len(self.frames)

    def sample(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return frames (B, 3, H, W) at indices (B,), where they lie, and the weights of their pixels (B, 1, H, W)."""
        return self.frames[index], self._stored[index, 3:] if self._stored.shape[1] > 3 else None

    def batches(self, indices: Iterable[Tensor], neighbours: Sequence[int] = ()) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each index (B,) with its frames (B, C, H, W), uint8, on the device.

        With neighbours, relative to a frame, they are (B, 1 + A, C, H, W): the frames, then those around them.
        """
        if not self.is_streamed:
            for index in indices:
                yield index, self._gathered(index, neighbours)
            return
        stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        coming: deque[Future[tuple[Tensor, Tensor]]] = deque()
        with ThreadPoolExecutor(1, "frames") as pool:
            for index in indices:
                coming.append(pool.submit(self._load, index, neighbours, stream))
                if len(coming) > BATCHES_AHEAD:
                    yield self._arrived(coming.popleft(), stream)
            while coming:
                yield self._arrived(coming.popleft(), stream)

    def _gathered(self, index: Tensor, neighbours: Sequence[int]) -> Tensor:
        if neighbours:
            return frames_around(self._stored, index, (0, *neighbours))
        pixels = self._stored.permute(0, 2, 3, 1)  # the batch is in memory as they are: channels last
        return pixels.index_select(0, index).permute(0, 3, 1, 2)

    def _load(
        self, index: Tensor, neighbours: Sequence[int], stream: torch.cuda.Stream | None
    ) -> tuple[Tensor, Tensor]:
        batch = self._gathered(index, neighbours)
        if stream is None:
            return index, batch.to(self.device)
        with torch.cuda.stream(stream):  # the index as well: a captured step takes nothing from the host
            index, batch = (each.pin_memory().to(self.device, non_blocking=True) for each in (index, batch))
            return index, batch

    def _arrived(self, batch: Future[tuple[Tensor, Tensor]], stream: torch.cuda.Stream | None) -> tuple[Tensor, Tensor]:
        index, frames = batch.result()
        if stream is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(stream)
            for each in (index, frames):
                each.record_stream(current)
        return index, frames
