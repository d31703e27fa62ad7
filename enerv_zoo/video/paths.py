"""Paths of sources: what a `file:` address names, and that a file can be read more than once."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from enerv_zoo.errors import VideoError

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def without_file_scheme(source: str | Path) -> str | Path:
    """Return the path that a `file:` address names; any other source as it is.

    `%20` and the like are characters of the name, unless there is a file that is called so.

    Raises:
        VideoError: the address is of another machine.
    """
    if not isinstance(source, str) or not source.lower().startswith("file://"):
        return source
    parts = urlsplit(source, allow_fragments=False)
    if parts.netloc not in ("", "localhost"):
        raise VideoError(
            f"{source}: names the machine {parts.netloc!r}; give a path, or file:///PATH with three slashes"
        )
    plain = source[len("file://") + len(parts.netloc) :]
    return Path(plain) if Path(plain).exists() else Path(url2pathname(plain))


def check_is_file(path: Path) -> None:
    """Refuse what can be read only once, or has no end.

    A file is read several times: its start before the rest, its frames after its timestamps.

    Raises:
        VideoError: the path is a pipe, a socket or a device, or cannot be looked up.
    """
    try:
        kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror})") from error
    if kind is not None:
        raise VideoError(
            f"{path}: is {kind}, which can be read only once; write it to a file first (cat > clip.mp4) and give that"
        )


def readable(name: str) -> str:
    """A name as text that every file can hold: bytes that are not UTF-8 become U+FFFD."""
    return name.encode(errors="surrogateescape").decode(errors="replace")
