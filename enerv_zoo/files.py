"""Write files so that nothing is ever half-written: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import difflib
import errno
import json
import math
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import chain, count
from pathlib import Path
from typing import Any

from enerv_zoo.errors import ConfigError, EnervZooError

Check = Callable[[Path], None]
"""Raises an error for a path that must not be written to."""

_checks: ContextVar[tuple[Check, ...]] = ContextVar("checks", default=())


@contextmanager
def checked_targets(check: Check) -> Iterator[None]:
    """While the block runs, ask `check` before any file or folder is replaced or removed."""
    token = _checks.set((*_checks.get(), check))
    try:
        yield
    finally:
        _checks.reset(token)


def check_target(path: Path) -> None:
    """Ask whoever protects files whether one may be replaced or removed.

    Raises:
        EnervZooError: it may not.
    """
    for check in _checks.get():
        check(path)


@contextmanager
def replacing(path: str | Path, error: type[EnervZooError] = EnervZooError) -> Iterator[Path]:
    """A name beside `path` to write a file or a folder to, with the same suffix.

    It takes the target's place when the block ends well, and is gone when it does not; the target is then as it was.

    Args:
        path: the target; missing folders above it are made.
        error: what to raise where the target cannot be written or put in place. What else the block raises passes as it
            is.
    """
    target = usable_path(path, error).resolve()  # write through a link, and know the name of "."
    check_target(target)
    token, ending = secrets.token_hex(4), target.name[-KEPT_CHARACTERS:]
    temporary = target.with_name(f".{token}.{ending}")
    with _explained(path, error):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _explained(path, error, temporary):
            yield temporary
        with _explained(path, error):
            if target.is_dir() and not temporary.is_dir():
                raise error(f"{path}: is a folder; give the name of a file")
            if target.is_dir():
                _swap_folder(temporary, target, target.with_name(f".{token}.old.{ending}"))
            else:
                _put(temporary, target)
    finally:
        with suppress(OSError):  # what went wrong before is what counts
            _remove(temporary)


WAITS = (0.05, 0.2, 0.5, 1.0)
"""Seconds before a file is renamed once more."""


def _put(source: Path, target: Path) -> None:
    """Rename a file. On Windows, nobody may have the target open: a virus scanner or a backup soon has not."""
    for pause in WAITS if sys.platform == "win32" else ():
        try:
            source.replace(target)
            return
        except PermissionError:
            time.sleep(pause)
    source.replace(target)


SHOWN_CHARACTERS = 80
"""Characters of a path that a message shows, where that is what is wrong."""

KEPT_CHARACTERS = 50
"""Characters of a target's name at the end of a temporary one: that of a long name would be too long."""


def usable_path(path: str | Path, error: type[EnervZooError] = ConfigError, expand: bool = False) -> Path:
    """Return a path of a user's that can be looked up, whether or not something is there.

    Args:
        path: as it was given.
        error: what to raise.
        expand: whether `~` is a home folder.

    Raises:
        EnervZooError: it is too long, holds a NUL byte, leads to itself by links, is or lies in a folder that may not
            be searched, or there is no such home folder.
    """
    try:
        usable = Path(path).expanduser() if expand else Path(path)
        with suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISDIR(usable.stat().st_mode) and not os.access(usable, os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return usable
    except (OSError, RuntimeError, TypeError, ValueError) as reason:
        text = str(path) if len(str(path)) <= SHOWN_CHARACTERS else f"{str(path)[:SHOWN_CHARACTERS]}..."
        why = reason.strerror if isinstance(reason, OSError) else reason
        raise error(f"{text!r} cannot be looked up ({why}); give another path") from reason


REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a disk says that takes no more, or nothing at all."""


@contextmanager
def _explained(path: str | Path, error: type[EnervZooError], of: Path | None = None) -> Iterator[None]:
    """Say that `path` cannot be written, whatever went wrong; or if it went wrong with `of`, where that is given."""
    try:
        yield
    except OSError as reason:
        if of is not None and reason.errno not in REFUSED and str(of) not in str(reason.filename):
            raise
        raise error(f"{path}: cannot be written ({reason.strerror or reason}); choose another place") from reason


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Delete what `replacing` left beside files of these names when its process was killed."""
    for name in names:
        for leftover in folder.glob(f".{'[0-9a-f]' * 8}.{name}"):
            _remove(leftover)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there.

    Raises:
        EnervZooError: it is protected.
        OSError: it cannot be deleted.
    """
    check_target(path)
    _remove(path)


def _swap_folder(new: Path, target: Path, old: Path) -> None:
    """Put a folder in another one's place; into the current one and into an empty one, which others may be in or have
    mounted, go the contents."""
    moves = [(target, old), (new, target)]
    with suppress(OSError):  # there may be no current folder
        if not any(target.iterdir()) or target.samefile(Path.cwd()):
            moves = [(path, old / path.name) for path in target.iterdir()]
            moves += [(path, target / path.name) for path in new.iterdir()]
            old.mkdir()
    done: list[tuple[Path, Path]] = []
    try:
        for move in moves:
            move[0].rename(move[1])
            done.append(move)
    except BaseException:
        for before, after in reversed(done):
            after.rename(before)
        with suppress(OSError):
            old.rmdir()
        raise
    _remove(old)


def listing(folder: Path, error: type[EnervZooError] = EnervZooError) -> list[Path]:
    """Return what is in a folder that is to be written to.

    Raises:
        EnervZooError: of the type `error`: it cannot be listed.
    """
    try:
        return list(folder.iterdir())
    except OSError as reason:
        raise error(f"{folder}: cannot be listed ({reason.strerror or reason}); choose another folder") from reason


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Refuse a file that cannot be written, before what goes into it takes hours.

    Raises:
        EnervZooError: it is a folder, or its folder is not there to be written to and cannot be made.
    """
    target = usable_path(path, EnervZooError).resolve()
    above = next(folder for folder in target.parents if folder.exists())
    if target.is_dir() or not above.is_dir() or not _takes_files(above):
        raise EnervZooError(f"{path}: no file can be written there; choose another place")


def _takes_files(folder: Path) -> bool:
    """Return whether files can be made in a folder; Windows only says so when one is made."""
    if os.name != "nt":
        return os.access(folder, os.W_OK | os.X_OK)
    trial = folder / f".{secrets.token_hex(4)}"
    try:
        trial.touch(exist_ok=False)
    except OSError:
        return False
    trial.unlink()
    return True


def free_name(path: str | Path, word: str = "decoded") -> Path:
    """A name for a file that is not there: the path itself, or with `-decoded`, `-decoded-2`, ... before its suffix."""
    path = Path(path)
    endings = chain(("", f"-{word}"), (f"-{word}-{number}" for number in count(2)))
    names = (path.with_name(f"{path.stem}{ending}{path.suffix}") for ending in endings)
    return next(name for name in names if not (name.exists() or name.is_symlink()))


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8 at once; what UTF-8 lacks (bytes of a file's name) as JSON's escape `\\udcff`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, data: Any) -> None:
    """Write a JSON file at once; numbers that JSON lacks (infinity, NaN) become null, NumPy's are as Python's."""
    write_text(path, json.dumps(finite(python_numbers(data)), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite(data: Any) -> Any:
    """The same plain data with infinite and NaN numbers replaced by `None`."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def python_numbers(data: Any) -> Any:
    """The same plain data with Python's numbers in place of NumPy's, which JSON does not hold."""
    if isinstance(data, dict):
        return {key: python_numbers(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(map(python_numbers, data))
    return data.item() if type(data).__module__ == "numpy" and data.shape == () else data


def nearest(path: Path) -> Path | None:
    """The path here whose parts are nearest to those of one at which nothing is; `None` where a part has none near."""
    existing = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        try:
            if (existing / part).exists():
                existing = existing / part
                continue
            siblings = [entry.name for entry in existing.iterdir() if not entry.name.startswith(".")]
        except (OSError, ValueError):
            return None
        near = difflib.get_close_matches(part, siblings, n=1, cutoff=0.6)
        if not near:
            return None
        existing = existing / near[0]
    return existing
