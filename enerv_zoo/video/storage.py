"""Where frames are kept as they come in: in memory, or in a file that is mapped into it."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.errors import VideoError
from enerv_zoo.machine import available_memory

logger = logging.getLogger(__name__)

PLACES = ("auto", "host", "disk")
MAX_MEMORY_SHARE = 0.5
"""`"auto"` keeps frames in memory up to this part of what is available, and on disk beyond. Processes that share a fit
share that part too (`shared_by`)."""

_sharers: ContextVar[int] = ContextVar("sharers", default=1)


@contextmanager
def shared_by(processes: int) -> Iterator[None]:
    """A context in which so many processes on this machine, each with frames of its own, share its memory."""
    token = _sharers.set(processes)
    try:
        yield
    finally:
        _sharers.reset(token)


class FrameStore:
    """Takes frames one at a time and gives them back as one tensor.

    Args:
        expected: how many will come, as far as known; more or fewer may.
        place: `"host"` (memory), `"disk"`, or `"auto"`.

    Raises:
        VideoError: there is no such place.
    """

    def __init__(self, expected: int | None, place: str = "auto") -> None:
        if place not in PLACES:
            raise VideoError(f"frames are kept in one of {', '.join(PLACES)}, got {place!r}")
        self.expected = expected or 0
        self.place = place
        self._kept: _Kept | None = None
        self._room = float("inf")

    def add(self, frame: Tensor) -> None:
        """Keep a frame (H, W, 3), uint8."""
        if self._kept is None:
            self._kept = self._begin(frame)
        elif len(self._kept) >= max(self.expected, 1) and (len(self._kept) + 1) * frame.numel() > self._room:
            self._kept = self._moved_to_disk()
        self._kept.add(frame)

    def frames(self) -> Tensor:
        """All frames, (N, 3, H, W), channels-last in memory."""
        assert self._kept is not None, "sources refuse to yield nothing"
        return self._kept.frames().permute(0, 3, 1, 2)

    @property
    def on_disk(self) -> bool:
        """Whether the frames are in a file."""
        return isinstance(self._kept, _OnDisk)

    def _begin(self, frame: Tensor) -> _Kept:
        if self.place == "auto":
            self._room = MAX_MEMORY_SHARE * (available_memory() or float("inf")) / _sharers.get()
        needed = max(self.expected, 1) * frame.numel()
        if self.place == "disk" or needed > self._room:
            return _OnDisk(frame.shape)
        return _InMemory(self.expected, frame.shape)

    def _moved_to_disk(self) -> _Kept:
        assert self._kept is not None
        kept = self._kept.frames()
        moved = _OnDisk(kept.shape[1:])
        for frame in kept:
            moved.add(frame)
        self._room = float("inf")
        return moved


class _Kept(Protocol):
    def add(self, frame: Tensor) -> None: ...
    def frames(self) -> Tensor: ...
    def __len__(self) -> int: ...


class _InMemory:
    """Frames go straight into their final place, as far as their number was known."""

    def __init__(self, expected: int, shape: torch.Size) -> None:
        self._buffer = torch.empty((expected, *shape), dtype=torch.uint8)
        self._count = 0
        self._more: list[Tensor] = []

    def __len__(self) -> int:
        return self._count + len(self._more)

    def add(self, frame: Tensor) -> None:
        if self._count < len(self._buffer):
            self._buffer[self._count] = frame
            self._count += 1
        else:
            self._more.append(frame.contiguous())

    def frames(self) -> Tensor:
        result = self._buffer[: self._count]
        if self._more:
            result = torch.empty((len(self), *self._buffer.shape[1:]), dtype=torch.uint8)
            result[: self._count] = self._buffer[: self._count]
            self._more.reverse()
            for index in range(self._count, len(result)):
                result[index] = self._more.pop()  # frees each frame once it is copied
        return result


class _OnDisk:
    """Frames go to a file without a name, which the system deletes with the last use of it, whatever happens."""

    def __init__(self, shape: torch.Size) -> None:
        self._shape = tuple(shape)
        self._count = 0
        folder = cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # as long as the frames live
        except OSError as error:
            raise self._failed(error) from error
        logger.info("frames are kept in a file in %s", folder)

    def __len__(self) -> int:
        return self._count

    def add(self, frame: Tensor) -> None:
        try:
            self._file.write(frame.contiguous().numpy().tobytes())
        except OSError as error:
            raise self._failed(error) from error
        self._count += 1

    def frames(self) -> Tensor:
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error
        mapped = np.memmap(self._file, dtype=np.uint8, mode="r+", shape=(self._count, *self._shape))
        return torch.from_numpy(mapped)

    def _failed(self, error: OSError) -> VideoError:
        return VideoError(
            f"{cache_folder()}: frames cannot be kept there ({error.strerror}) after {self._count} of them; free some "
            "space, name another folder in ENERV_ZOO_CACHE, or take fewer or smaller frames (frames, resize)"
        )


def cache_folder() -> Path:
    """Where files of frames are kept: `ENERV_ZOO_CACHE`, else `enerv-zoo` in the user's cache folder."""
    own = os.environ.get("ENERV_ZOO_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enerv-zoo"
