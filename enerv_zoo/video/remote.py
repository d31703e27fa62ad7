"""Videos by their address: `s3://`, `hf://`, `https://` and what else fsspec reaches, kept once they were fetched."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from enerv_zoo.errors import VideoError
from enerv_zoo.files import KEPT_CHARACTERS, replacing, usable_path
from enerv_zoo.video.paths import check_is_file, without_file_scheme
from enerv_zoo.video.samples import sample
from enerv_zoo.video.storage import cache_folder

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.+")
_CHANGES_WITH_CONTENTS = (
    "ETag", "etag", "md5", "sha256", "checksum", "blob_id", "oid", "mtime", "LastModified", "created",
)  # fmt: skip


def is_address(source: object) -> bool:
    """Return whether a source is a URL rather than a path or a name; `file:` addresses are paths."""
    if not isinstance(source, str) or source.lower().startswith("file:"):
        return False
    return _ADDRESS.fullmatch(source) is not None


def file_system(address: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system that reaches an address, and the path in it.

    Raises:
        VideoError: the protocol is unknown, or what speaks it is not installed.
    """
    import fsspec

    try:
        return fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise VideoError(f"{address}: cannot be reached ({' '.join(str(error).split())})") from error


def stamp(address: str) -> str:
    """Return a hash of the properties of a file that change with its contents, as hex digits. Nothing is fetched.

    Raises:
        VideoError: there is no such file, or the storage does not answer.
    """
    fs, path = file_system(address)
    try:
        info = fs.info(path)
    except Exception as error:  # each storage has errors of its own
        raise _explained(address, error) from error
    if info.get("type") == "directory":
        raise VideoError(f"{address}: is a folder; give the address of a file")
    version = next((f"{key}={info[key]}" for key in _CHANGES_WITH_CONTENTS if info.get(key)), "")
    return hashlib.sha256(json.dumps([address, info.get("size"), version]).encode()).hexdigest()


def local_copy(address: str) -> Path:
    """Return a copy of a file at an address, in the cache folder; fetched where there is none of its present state.

    Raises:
        VideoError: it cannot be had.
    """
    fs, path = file_system(address)
    own = urlsplit(path).path if address.startswith(("http://", "https://")) else path  # others have no queries
    name = re.sub(r"[^\w.-]+", "-", Path(own).name)[-KEPT_CHARACTERS:] or "video"
    target = cache_folder() / "videos" / stamp(address)[:32] / name
    if not target.exists():
        with replacing(target, VideoError) as temporary:
            try:
                with fs.open(path, "rb") as source, temporary.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
            except Exception as error:  # each storage has errors of its own
                raise _explained(address, error) from error
    return target


def local_path(source: str | Path) -> Path:
    """Return the file or folder that a source means: itself, the sample's, or the copy of what is at an address.

    Raises:
        VideoError: it is neither there nor a sample, or cannot be fetched.
    """
    source = without_file_scheme(source)
    if is_address(source):
        return local_copy(str(source))
    path = usable_path(source, VideoError, expand=True)
    if not path.exists():
        return sample(source).path
    check_is_file(path)
    return path


def _explained(address: str, error: Exception) -> VideoError:
    return VideoError(f"{address}: cannot be fetched ({_reason(error)[:200]})")


def _reason(error: BaseException) -> str:
    """Return the reason of an error. fsspec calls every failure over HTTP a missing file, and names its cause."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if isinstance(error, FileNotFoundError) and cause is not None and getattr(cause, "status", None) not in (404, 410):
        return _reason(cause)
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(error).split()) or repr(error)
