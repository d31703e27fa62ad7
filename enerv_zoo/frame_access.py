"""A video by index and by time: frames, and when each is shown.

The names and meanings are those of torchcodec's `VideoDecoder`, so that what was written for one takes the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from enerv_zoo.config import DEFAULT_FPS, VideoInfo
from enerv_zoo.errors import FrameError
from enerv_zoo.pixels import as_bytes
from enerv_zoo.threads import usable_threads

Indices = Sequence[int] | Sequence[bool] | Tensor | np.ndarray
Seconds = Sequence[float] | Tensor | np.ndarray


class Frame(NamedTuple):
    """One frame and when it is shown.

    Attributes:
        data: (3, H, W), uint8.
        pts_seconds: when it appears.
        duration_seconds: for how long.
    """

    data: Tensor
    pts_seconds: float
    duration_seconds: float

    @classmethod
    def only(cls, batch: FrameBatch) -> Frame:
        """Return the frame of a batch of one."""
        return cls(batch.data[0], batch.pts_seconds.item(), batch.duration_seconds.item())


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Frames and when each is shown. It has a length, and its items are batches of what the tensors' items are.

    Attributes:
        data: (N, 3, H, W), uint8.
        pts_seconds: when each appears, (N,) float64.
        duration_seconds: for how long, (N,) float64.
    """

    data: Tensor
    pts_seconds: Tensor
    duration_seconds: Tensor

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: Any) -> FrameBatch:
        return FrameBatch(self.data[key], self.pts_seconds[key], self.duration_seconds[key])

    def __iter__(self) -> Iterator[FrameBatch]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"FrameBatch(data of {tuple(self.data.shape)}, pts_seconds={self.pts_seconds.tolist()})"


@dataclass(frozen=True)
class Metadata:
    """Metadata of a video for players.

    Attributes:
        num_frames, height, width: its size.
        average_fps: frames per second.
        begin_stream_seconds, end_stream_seconds: when the first frame appears and the last one goes.
    """

    num_frames: int
    height: int
    width: int
    average_fps: float
    begin_stream_seconds: float
    end_stream_seconds: float

    @property
    def duration_seconds(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.end_stream_seconds - self.begin_stream_seconds


class Timeline:
    """Times of a video's frames, in seconds; at 25 frames per second where the video has no rate.

    Attributes:
        starts: when each frame appears, (N,) float64.
        ends: when it goes, (N,): as the next one appears, and the last one after a frame's usual time.
    """

    def __init__(self, info: VideoInfo) -> None:
        self.info = info
        self.fps = info.fps or DEFAULT_FPS
        self.starts = np.array(info.timestamps or np.arange(info.frames) / self.fps, dtype=np.float64)
        end = self.starts[-1] + 1 / self.fps if info.timestamps else info.frames / self.fps
        self.ends = np.append(self.starts[1:], end)

    @property
    def metadata(self) -> Metadata:
        """The video's size and times."""
        info, begin, end = self.info, float(self.starts[0]), float(self.ends[-1])
        rate = info.frames / (end - begin) if info.timestamps else self.fps
        return Metadata(info.frames, info.height, info.width, rate, begin, end)

    def played_at(self, seconds: Seconds) -> list[int]:
        """Return the frames on display at some times.

        Raises:
            FrameError: a time before the first frame or after the end of the last, or none at all.
        """
        times = _numbers(seconds, "times in seconds")
        begin, end = self.starts[0], self.ends[-1]
        if not ((times >= begin) & (times < end)).all():
            raise FrameError(f"the video plays from {begin:g} s to {end:.3f} s, got {times.tolist()!s:.80}")
        return (np.searchsorted(self.starts, times, side="right") - 1).tolist()

    def played_between(self, start: float, stop: float) -> range:
        """Return the frames on display from `start` until just before `stop`.

        Raises:
            FrameError: the times are in the wrong order or outside the video.
        """
        begin, end = self.starts[0], self.ends[-1]
        if not (begin <= start <= stop <= end and start < end):
            raise FrameError(f"the video plays from {begin:g} s to {end:.3f} s, got a range from {start} s to {stop} s")
        if start == stop:
            return range(0)
        return range(int(np.searchsorted(self.ends, start, "right")), int(np.searchsorted(self.starts, stop, "left")))

    def resampled(self, rate: float, speed: float = 1.0, frames: range | None = None) -> list[float]:
        """Return the indices, integer or fractional, at moments 1 / rate seconds apart.

        Between two frames, time goes on evenly from one to the next, whatever their distance; the last one stands until
        its end.

        Args:
            rate: moments per second.
            speed: seconds of the video that pass in each.
            frames: from the first of which until the end of the last; by default all.
        """
        part = range(len(self.starts)) if frames is None else frames
        begin, end = self.starts[part[0]], self.ends[part[-1]]
        moments = begin + np.arange(max(round((end - begin) / speed * rate), 1)) * (speed / rate)
        return np.interp(moments, self.starts[part.start : part.stop], part).round(6).tolist()

    def batch(self, frames: Tensor, indices: Sequence[int]) -> FrameBatch:
        """Return frames (N, 3, H, W) at integer indices with their times."""
        starts = self.starts[list(indices)]
        durations = self.ends[list(indices)] - starts
        return FrameBatch(frames, torch.from_numpy(starts), torch.from_numpy(durations))


class FrameAccess(Dataset[Tensor], ABC):
    """A video by index and by time, for whatever decodes its frames: one network, or several in turn.

    It is a map-style dataset of frames (3, H, W), uint8, as `torch.utils.data.DataLoader` takes it.

    Attributes:
        info: the video's size and times.
        read_sound: reads the video's sound from where the fit lies; `None` where there is none.
    """

    info: VideoInfo
    read_sound: Callable[[], bytes | None] | None

    @abstractmethod
    def decode_float(self, indices: Sequence[float] | None = None, batch_size: int | None = None) -> Iterator[Tensor]:
        """Decode frames (b, 3, H, W), float in [0, 1], in the order of `indices`; all frames by default."""

    def __len__(self) -> int:
        return self.info.frames

    @property
    def sound(self) -> bytes | None:
        """Sound of the video as an MP4 file of its compressed stream; `None` where there is none."""
        return None if self.read_sound is None else self.read_sound()

    def __getitem__(self, key: int | slice | Indices) -> Tensor:
        """Return frames as uint8: (3, H, W) for an integer, (N, 3, H, W) for anything else.

        Args:
            key: an integer, a slice, integers in a list, tensor or array (negative ones count from the end), or a mask:
                a boolean for every frame.

        Raises:
            FrameError: an `IndexError`; the key means no frames of this video.
        """
        if isinstance(key, tuple):
            raise FrameError(f"a video is indexed by frames alone, got {key!r:.60}; give them as a list: video[[3, 7]]")
        frames = self._frames(frame_indices(key, len(self)))
        return frames if isinstance(key, slice) or np.ndim(key) else frames[0]

    def __getitems__(self, indices: list[int]) -> list[Tensor]:
        """Return a batch for a `DataLoader`, decoded as one: a list of frames (3, H, W), uint8."""
        return list(self[indices])

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.decode():
            yield from batch

    @cached_property
    def timeline(self) -> Timeline:
        """Times of the frames."""
        return Timeline(self.info)

    @property
    def timestamps(self) -> tuple[float, ...]:
        """Seconds at which each frame is shown; at 25 frames per second where the video has no rate."""
        return tuple(self.timeline.starts.tolist())

    @property
    def metadata(self) -> Metadata:
        """Length, size, rate and times, by the names that torchcodec's `VideoDecoder.metadata` has for them."""
        return self.timeline.metadata

    def get_frame_at(self, index: int) -> Frame:
        """Return the frame at an integer index, with its times; errors are those of `video[index]`."""
        return Frame.only(self.get_frames_at([index]))

    def get_frames_at(self, indices: Indices) -> FrameBatch:
        """Return the frames at integer indices, with their times; errors are those of `video[indices]`."""
        whole = frame_indices(indices, len(self))
        return self.timeline.batch(self._frames(whole), whole)

    def get_frames_in_range(self, start: int, stop: int, step: int = 1) -> FrameBatch:
        """Return the frames of `video[start:stop:step]`, with their times; errors are those of that."""
        return self.get_frames_at(frame_indices(slice(start, stop, step), len(self)))

    def get_frame_played_at(self, seconds: float) -> Frame:
        """Return the frame on display at a time, in seconds; errors are those of `get_frames_played_at`."""
        return Frame.only(self.get_frames_played_at([seconds]))

    def get_frames_played_at(self, seconds: Seconds) -> FrameBatch:
        """Return the frames on display at times in seconds, with their own times.

        Raises:
            FrameError: an `IndexError`; a time before the first frame or after the end of the last.
        """
        return self.get_frames_at(self.timeline.played_at(seconds))

    def get_frames_played_in_range(self, start_seconds: float, stop_seconds: float) -> FrameBatch:
        """Return the frames on display from `start_seconds` until just before `stop_seconds`.

        Raises:
            FrameError: an `IndexError`; times in the wrong order, or outside the video.
        """
        return self.get_frames_at(self.timeline.played_between(start_seconds, stop_seconds))

    @usable_threads()
    def _frames(self, indices: Sequence[int]) -> Tensor:
        """Return frames (N, 3, H, W), uint8, at integer indices from 0."""
        shape = (len(indices), 3, self.info.height, self.info.width)
        frames = torch.empty(shape, dtype=torch.uint8, device="cpu")
        done = 0
        for batch in self.decode(indices):
            frames[done : done + len(batch)] = batch
            done += len(batch)
        return frames

    def decode(
        self, indices: Sequence[float] | None = None, batch_size: int | None = None, dtype: torch.dtype = torch.uint8
    ) -> Iterator[Tensor]:
        """Decode frames as batches (b, 3, H, W) on the CPU, in order, without gradients.

        They are ordinary tensors, which another network may be fitted to; those of `decode_float` are made in
        PyTorch's inference mode.

        Args:
            indices: integer or fractional, from 0 on; all frames by default. Beyond the last one, time goes on.
            batch_size: frames per batch; by default as many as suit the device.
            dtype: uint8, or a float type for values in [0, 1].

        Raises:
            FrameError: indices that are no list of finite numbers from 0 on.
        """
        batches = self.decode_float(indices, batch_size)
        yield from _sent(_converted(batch, dtype) for batch in batches)


@usable_threads()
@torch.inference_mode(False)
@torch.no_grad()
def _converted(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """Return frames as ordinary tensors, though those of inference mode come in."""
    return frames.clamp(0, 1).to(dtype) if dtype.is_floating_point else as_bytes(frames)


def _sent(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """Copy batches to the CPU; of a GPU's, each is on its way while the next one is decoded."""
    coming: deque[tuple[Tensor, torch.cuda.Event]] = deque()
    for batch in batches:
        if not batch.is_cuda:
            yield batch.cpu()
            continue
        copy = torch.empty(batch.shape, dtype=batch.dtype, pin_memory=True).copy_(batch, non_blocking=True)
        coming.append((copy, torch.cuda.current_stream(batch.device).record_event()))
        if len(coming) > 1:
            yield _arrived(*coming.popleft())
    while coming:
        yield _arrived(*coming.popleft())


def _arrived(batch: Tensor, event: torch.cuda.Event) -> Tensor:
    event.synchronize()
    return batch


def check_called(index: Any) -> None:
    """Refuse what a video cannot be called with: it takes a batch of indices, as a network does.

    Raises:
        FrameError: the index is no tensor of one dimension.
    """
    if not isinstance(index, Tensor) or index.ndim != 1:
        text = f"one of shape {tuple(index.shape)}" if isinstance(index, Tensor) else repr(index)
        raise FrameError(f"a video is called with a tensor of indices (B,), got {text:.60}; video[3] is a frame")


def decoded_places(indices: Sequence[float] | None, count: int) -> Tensor:
    """Return the indices (N,) at which frames are decoded, float64; all of a video by default.

    Raises:
        FrameError: they are no list of finite numbers from 0 on.
    """
    places = torch.as_tensor(range(count) if indices is None else indices, dtype=torch.float64)
    if places.ndim != 1:
        raise FrameError(f"decode takes a list of indices, got {indices!r:.80}")
    if (wrong := places[~(places.isfinite() & (places >= 0))]).numel():
        raise FrameError(
            f"an index to decode is a number from 0 on, got {wrong[0].item():g}; video[-1] is the last one"
        )
    return places


def distinct(indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices that occur, and the place of each of those given among them.

    All of them are kept where values are unknown (on the meta device), or equal ones have derivatives of their own.
    """
    if indices.is_meta or indices.requires_grad:
        return indices.flatten(), torch.arange(indices.numel(), device=indices.device).view_as(indices)
    unique, places = indices.unique(return_inverse=True)
    return unique, places


def frame_indices(key: int | slice | Indices, count: int) -> list[int]:
    """Return the integer indices from 0 of a key in a video of `count` frames.

    Args:
        key: an integer, a slice, or integers in a list, tensor or array; negative ones count from the end. Or a mask:
            a boolean for every frame.
        count: of the video's frames.

    Raises:
        FrameError: it is none of these, or outside the video.
    """
    if isinstance(key, slice):
        try:
            return list(range(count)[key])
        except (TypeError, ValueError) as error:
            raise FrameError(f"{key}: {error}") from error
    indices = _numbers(key, "frame indices")
    if indices.dtype == bool:
        if indices.shape != (count,):
            raise FrameError(f"a mask holds a boolean for each of the {count} frames, got one of shape {indices.shape}")
        return np.flatnonzero(indices).tolist()
    indices = np.atleast_1d(indices)
    if (broken := indices[indices != np.floor(indices)]).size:
        raise FrameError(f"frame index {broken[0]} is no integer; call the video for frames between frames")
    if (outside := indices[(indices < -count) | (indices >= count)]).size:
        raise FrameError(f"frame {outside[0]:.0f} is outside the video, which has {count} frames")
    return [int(index) % count for index in indices]


def _numbers(values: Any, noun: str) -> np.ndarray:
    """A number, or a list, tensor or array of them, as an array of at most one dimension."""
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except (TypeError, ValueError, RuntimeError):  # lists of lists of different lengths, numbers that NumPy lacks
        array = np.asarray(None)
    if array.dtype.kind not in "biuf" or array.ndim > 1:
        raise FrameError(f"expected {noun}, one or a list of them, got {type(values).__name__} {values!r:.60}")
    return array
