"""One writer for each folder: a lock that the operating system lets go of when its process ends, however it ends."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from enerv_zoo.errors import FitError
from enerv_zoo.files import usable_path
from enerv_zoo.shell import printable

logger = logging.getLogger(__name__)

LOCK = ".enerv-zoo.lock"
"""In a folder that is written to: which process does so."""

_POLL = 0.2
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system says that has no locks."""
_LOCKED_BYTE = 1 << 20
"""On Windows a locked byte cannot be read by others: one behind the text."""


@contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Make a folder this block's own: no other block, in this process or another one, holds it at the same time.

    Missing folders are made, and those that stay empty are removed in the end. What a process leaves that was killed
    holds nothing: the next one takes over. Where a file system has no locks, a warning says so.

    Args:
        folder: where files are going to be written.
        wait: seconds to wait for another holder.

    Raises:
        FitError: another process holds it, or it cannot be written.
    """
    if usable_path(folder, FitError).exists() and not folder.is_dir():
        raise FitError(f"{folder}: is a file; --out takes a folder")
    created: set[Path] = set()
    try:
        try:
            file = _acquire(folder, wait, created)
        except OSError as error:
            raise FitError(f"{folder}: cannot be written ({error.strerror or error}); choose another --out") from error
        try:
            yield
        finally:
            _release(folder / LOCK, file)
    finally:
        with suppress(OSError):  # a folder that holds something stays
            for path in sorted(created, reverse=True):
                path.rmdir()


def _acquire(folder: Path, wait: float, created: set[Path]) -> int:
    """The descriptor of the lock's file, locked. Adds the folders that it makes to `made`."""
    path, until = folder / LOCK, time.monotonic() + wait
    while True:
        created.update(path for path in (folder, *folder.parents) if not path.exists())
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except FileNotFoundError:  # its last holder has removed the folder, which was empty
            continue
        try:
            if _try_lock(file, folder):
                if _is_at(file, path):
                    os.truncate(file, 0)
                    os.write(file, f"{os.getpid()} {socket.gethostname()}".encode())
                    return file
            elif time.monotonic() >= until:
                raise FitError(f"{folder}: {holder(path)} is writing to it; wait for its end, or choose another --out")
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # held by another one, or removed by the one before since it was opened
        time.sleep(_POLL if time.monotonic() < until else 0)


def _try_lock(file: int, folder: Path) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        if error.errno not in _UNSUPPORTED:
            raise
        logger.warning(
            "%s: its file system has no locks; see to it that nothing else writes there", printable(str(folder))
        )
    return True


def _is_at(file: int, path: Path) -> bool:
    """Return whether a path still names the file that was opened."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def holder(path: Path) -> str:
    """Return who holds the lock in a file, as far as it says."""
    try:
        number, _, host = path.read_text(encoding="utf-8", errors="replace").partition(" ")
    except OSError:
        return "another process"
    if not number.isdecimal() or not host.isprintable():
        return "another process"
    if (int(number), host) == (os.getpid(), socket.gethostname()):
        return "this process itself"
    return f"process {number} on {host}"


def _release(path: Path, file: int) -> None:
    """Remove the file while it is locked, where the system allows that, so that nobody locks one without a name."""
    if sys.platform == "win32":
        os.close(file)
        with suppress(OSError):  # the next holder has it open
            path.unlink()
        return
    try:
        with suppress(OSError):
            path.unlink()
    finally:
        os.close(file)
