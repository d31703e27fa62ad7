"""The video that a fit was made from: recognised wherever it lies, and never written to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from enerv_zoo.errors import VideoError
from enerv_zoo.files import checked_targets, usable_path
from enerv_zoo.video.folders import SUFFIXES, ImageFolder
from enerv_zoo.video.identity import digest, size_of
from enerv_zoo.video.remote import file_system, is_address, local_path

_FOLDERS = re.compile(r"""(?<![\w:/\\.~])(?:~|[A-Za-z]:)?[/\\](?:[^/\\:'"\s()]+[/\\])+""")

SHORT = 16
"""Digits of a digest by which a file that was made from a fit knows the fit's video again."""


@dataclass(frozen=True)
class Origin:
    """A source of frames, as far as it is known.

    Attributes:
        source: a path, an address or a sample's name; `None` where nobody knows.
        digest: the first hex digits, or all, of the SHA-256 of its contents.
        bytes: its size; `None` for what is at an address.
    """

    source: str | None = None
    digest: str | None = None
    bytes: int | None = None

    @classmethod
    def of(cls, source: Any) -> Origin:
        """Return the origin of what `enerv_zoo.open_video` takes, by its name alone."""
        return cls(str(source) if isinstance(source, str | Path) and str(source) else None)

    @classmethod
    def read(cls, source: Any) -> Origin:
        """Look at what `enerv_zoo.open_video` takes, and read its contents once.

        Raises:
            VideoError: there is no such file, folder or sample, or it cannot be read.
        """
        name = str(source) if isinstance(source, str | Path) else None
        path = None if name is None or is_address(name) else usable_path(name, VideoError, expand=True)
        if path is not None and path.exists() and not (path.is_file() or path.is_dir()):
            return cls(name)  # what is read once, such as a pipe, is left to the fit
        return cls(name, digest(source), size_of(source))

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Origin:
        """Read the origin from `fit.json`; from damaged or older ones, less."""
        contents, source = record.get("source_contents"), record.get("source")
        contents = contents if isinstance(contents, Mapping) else {}
        text, size = contents.get("sha256"), contents.get("bytes")
        return cls(
            source if isinstance(source, str) else None,
            text if isinstance(text, str) and text else None,
            size if type(size) is int else None,
        )

    @cached_property
    def path(self) -> Path | None:
        """The file or folder on this machine, if it is there."""
        try:
            if self.source is None:
                return None
            if is_address(self.source):
                if urlsplit(self.source).scheme.lower() not in ("file", "local"):
                    return None  # and nobody is asked: some connect as soon as they are named
                system, path = file_system(self.source)
                return Path(path) if "file" in system.protocol and Path(path).exists() else None
            return local_path(self.source)
        except (VideoError, OSError, RuntimeError, ValueError):
            return None

    @cached_property
    def _files(self) -> set[tuple[int, int]]:
        """The files that hold its frames, and its folder, whatever they are called."""
        if self.path is None:
            return set()
        listed = [self.path]
        if self.path.is_dir():
            with suppress(VideoError):
                listed += ImageFolder(self.path).images
        return {place for path in listed if (place := _place(path)) is not None}

    def refuse_folder(self, folder: Path) -> None:
        """Refuse to write a fit's files into the folder of images that it is made from: they would become frames.

        Raises:
            VideoError: it is that folder.
        """
        if self.path is not None and self.path.is_dir() and _place(folder) == _place(self.path):
            raise VideoError(f"{folder}: is the folder of images that is fitted; choose another --out")

    def refuse(self, target: Path) -> None:
        """Refuse a target whose replacement would change these frames, or that is a copy of them.

        Raises:
            VideoError: it is one.
        """
        place = _place(target)
        if self._is_changed_by(target, place) or (place is not None and self._has_contents_of(target)):
            raise VideoError(f"{target}: is the video that was fitted, or a part of it, and is not written to; "
                             "choose another name")  # fmt: skip

    def _is_changed_by(self, target: Path, place: tuple[int, int] | None) -> bool:
        if self.path is None:
            return False
        if place in self._files:
            return True
        source = self.path.resolve()
        if target.is_dir() and target.resolve() in source.parents:
            return True
        return source.is_dir() and target.suffix.lower() in SUFFIXES and target.parent.resolve() == source

    def _has_contents_of(self, target: Path) -> bool:
        if not self.digest or self.bytes is None:
            return False
        try:
            return size_of(target) == self.bytes and digest(target).startswith(self.digest)
        except VideoError:  # it is no video
            return False


def _place(path: Path) -> tuple[int, int] | None:
    """The file system's own name for what a path leads to; `None` where nothing is."""
    try:
        state = os.stat(path)  # noqa: PTH116 (follows links, hard ones too)
    except (OSError, ValueError):
        return None
    return state.st_dev, state.st_ino


def name_alone(source: Any) -> str | None:
    """The last part of a path or an address, which says nothing of where it lies; `None` for what has no name."""
    if not isinstance(source, str | Path) or not str(source):
        return None
    text = urlsplit(str(source)).path if is_address(source) else str(source)
    return PurePath(text).name or "video"


def without_folders(text: str, *sources: Any) -> str:
    """A message in which paths are names alone: those of `sources`, and whatever else begins at a root."""
    for source in sources:
        if isinstance(source, str | Path) and (name := name_alone(source)):
            text = text.replace(str(source), name)
    return _FOLDERS.sub("", text)


@contextmanager
def protected(*sources: Origin | Any) -> Iterator[None]:
    """While the block runs, refuse to write to the videos that fits were made from, or to a copy of one.

    Args:
        sources: origins; or what `enerv_zoo.open_video` takes, of which paths are protected.

    Raises:
        VideoError: a file in the block was going to be one of them.
    """
    with ExitStack() as stack:
        for source in sources:
            origin = source if isinstance(source, Origin) else Origin.of(source)
            stack.enter_context(checked_targets(origin.refuse))
        yield
