"""Store of the frames that are read: in memory, or in a file that is mapped into it."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.errors import VideoError
from enerv_zoo.machine import available_memory
from enerv_zoo.pixels import as_bytes, as_float
from enerv_zoo.shell import printable

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
    """Takes frames one at a time and gives them back as one tensor: of uint8, or of float16 if the first is of floats.

    On disk they are in a file without a name, which the system deletes with the last use of it, whatever happens.

    Args:
        expected: how many will come, as far as known; more or fewer may.
        place: `"host"` (memory), `"disk"`, or `"auto"`.

    Raises:
        VideoError: there is no such place.
    """

    def __init__(self, expected: int | None, place: str = "auto") -> None:
        if place not in PLACES:
            raise VideoError(f"frames are kept in one of {', '.join(PLACES)}, got {place!r}")
        self._expected = expected or 0
        self._count = 0
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self.file: IO[bytes] | None = None
        self._room = 0.0 if place == "disk" else float("inf")  # bytes of memory
        if place == "auto":
            free = available_memory()
            self._room = MAX_MEMORY_SHARE * (float("inf") if free is None else free) / _sharers.get()

    @property
    def on_disk(self) -> bool:
        """Return whether the frames are in a file."""
        return self.file is not None

    def add(self, frame: Tensor) -> None:
        """Keep a frame (H, W, 3), uint8 or float in [0, 1]."""
        self._shape = tuple(frame.shape)
        if not self._count and frame.is_floating_point():
            self._buffer = torch.empty(0, dtype=torch.float16)
        frame = as_float(frame).half() if self._buffer.is_floating_point() else as_bytes(frame)
        if self.file is None and max(self._expected, self._count + 1) * frame.nbytes > self._room:
            self._move_to_disk()
        if self.file is not None:
            self._write(frame)
        else:
            if self._count == len(self._buffer):
                self._buffer.resize_((max(self._expected, self._count * 3 // 2 + 1), *self._shape))
            self._buffer[self._count] = frame
        self._count += 1

    def frames(self) -> Tensor:
        """Return all frames, (N, 3, H, W), channels-last in memory."""
        frames = self._buffer[: self._count]
        if self.file is not None:
            with self._explained():
                self.file.flush()
            shape = (self._count, *self._shape)
            dtype = np.float16 if frames.is_floating_point() else np.uint8
            frames = torch.from_numpy(np.memmap(self.file, dtype=dtype, mode="r+", shape=shape))
        return frames.permute(0, 3, 1, 2)

    def _move_to_disk(self) -> None:
        folder = cache_folder()
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # as long as the frames live
        logger.info("frames are kept in a file in %s", printable(str(folder)))
        for frame in self._buffer[: self._count]:
            self._write(frame)
        self._buffer = self._buffer.new_empty(0)

    def _write(self, frame: Tensor) -> None:
        assert self.file is not None
        with self._explained():
            self.file.write(frame.contiguous().numpy().tobytes())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise VideoError(
                f"{cache_folder()}: frames cannot be kept there ({error.strerror}) after {self._count} of them; free "
                "some space, name another folder in ENERV_ZOO_CACHE, or take fewer or smaller frames (frames, resize)"
            ) from error


def cache_folder() -> Path:
    """Return the folder for files of frames: `ENERV_ZOO_CACHE`, else `enerv-zoo` in the user's cache folder."""
    own = os.environ.get("ENERV_ZOO_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enerv-zoo"
