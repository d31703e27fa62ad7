"""Identity of a video, whatever it is called and wherever it lies: a hash of its contents."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from enerv_zoo.errors import VideoError
from enerv_zoo.video.folders import ImageFolder
from enerv_zoo.video.reading import Readable
from enerv_zoo.video.remote import is_address, local_path, stamp
from enerv_zoo.video.source import Video


def digest(source: Readable) -> str:
    """Return the SHA-256 of a source's contents, as hex digits.

    Of a file that is its bytes, of a folder those of its images in their order, of an array its type, shape and
    values; of an address, the properties that its storage gives. Nothing is decoded. A file is read once,
    and again only after it has changed.

    Args:
        source: what `enerv_zoo.open_video` takes.

    Raises:
        VideoError: there is no such file, folder or sample, or it cannot be read.
    """
    if isinstance(source, Video):
        return _of_array(source.frames)
    if isinstance(source, np.ndarray | torch.Tensor):
        return _of_array(source)
    if is_address(source):
        return stamp(str(source))
    path = local_path(source)
    if path.is_dir():
        return hashlib.sha256("".join(map(_of_file, ImageFolder(path).images)).encode()).hexdigest()
    return _of_file(path)


def size_of(source: Readable) -> int | None:
    """Return the bytes that `digest` reads: of a file, of all images of a folder, of an array; `None` for an address.

    Raises:
        VideoError: as `digest` does.
    """
    if isinstance(source, Video):
        return source.frames.nbytes
    if isinstance(source, np.ndarray | torch.Tensor):
        return source.nbytes
    if is_address(source):
        return None
    path = local_path(source)
    files = ImageFolder(path).images if path.is_dir() else [path]
    try:
        return sum(file.stat().st_size for file in files)
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror})") from error


def _of_file(path: Path) -> str:
    try:
        return _read(path.resolve(), _stamp(path))
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror})") from error


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


@functools.lru_cache(maxsize=4096)
def _read(path: Path, stamp: tuple[int, int]) -> str:
    """`stamp` is part of the cache's key: a file that has changed is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_array(array: Any) -> str:
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.dtype is torch.bfloat16 else array).numpy()  # NumPy has none
    hashed = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    for frame in array:  # one at a time: frames may lie in another order in memory, or on disk
        hashed.update(np.ascontiguousarray(frame).tobytes())
    return hashed.hexdigest()
