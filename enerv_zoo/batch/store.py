"""A folder that all machines of a fleet see: on a shared disk, in S3-like storage or on the Hub, by its address."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from enerv_zoo.errors import EnervZooError, FitError
from enerv_zoo.files import check_target, finite, usable_path
from enerv_zoo.locking import locked
from enerv_zoo.video.remote import file_system, is_address


class Store:
    """Files by key (`"name/model.safetensors"`), each put in place whole or not at all.

    Args:
        root: a path or an address such as `s3://bucket/fits` or `hf://datasets/user/fits`; a relative path is made
            absolute, as other machines work in other folders.

    Attributes:
        root: the same, absolute.
        is_local: whether it is a path rather than an address.

    Raises:
        EnervZooError: what reaches the address is not installed.
    """

    def __init__(self, root: str | Path) -> None:
        self.is_local = not is_address(str(root))
        self.root = str(usable_path(root, expand=True).resolve()) if self.is_local else str(root).rstrip("/")
        self._fs, self._path = file_system(self.root)

    def check(self) -> None:
        """Refuse a place that holds no files, before anything is done for it.

        Raises:
            FitError: it is a file, or the storage does not answer.
        """
        if self.is_local and Path(self.root).exists() and not Path(self.root).is_dir():
            raise FitError(f"{self.root}: is a file; a fleet needs a folder")
        self.names("")

    @contextmanager
    def locked(self, name: str = "", wait: float = 0.0) -> Iterator[None]:
        """Keep others from writing to a folder here while the block runs; addresses have no locks.

        Raises:
            FitError: another process holds it for longer than `wait` seconds.
        """
        if not self.is_local:
            yield
            return
        with locked(Path(self.root) / name, wait):
            yield

    def names(self, folder: str) -> set[str]:
        """Return the names of the files in a folder; none if it is not there."""
        with self._explained(folder):
            self._fs.invalidate_cache()  # others write here, too
            try:
                paths = self._fs.ls(self._at(folder), detail=False)
            except FileNotFoundError:
                return set()
            return {str(path).rstrip("/").rpartition("/")[2] for path in paths}

    def get(self, key: str, path: Path) -> None:
        """Copy a file from here to a path.

        Raises:
            FitError: it is not there, or the storage fails.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained(key):
            self._fs.get_file(self._at(key), str(path))

    def put(self, path: Path, key: str) -> None:
        """Copy a file from a path to here; readers see the one before until all of it is there.

        Raises:
            FitError: the storage fails.
        """
        target = self._at(key)
        with self._explained(key):
            if not self.is_local:  # an object appears when it is whole
                self._fs.put_file(str(path), target)
                return
            check_target(Path(target))
            folder, _, name = target.rpartition("/")
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 (the storage's paths are texts)
            aside = f"{folder}/.{secrets.token_hex(4)}.{name}"
            try:
                self._fs.put_file(str(path), aside)
                os.replace(aside, target)  # noqa: PTH105
            finally:
                Path(aside).unlink(missing_ok=True)

    def remove(self, key: str) -> None:
        """Delete a file, if it is there."""
        if key.rpartition("/")[2] not in self.names(key.rpartition("/")[0]):
            return  # asked first, as each storage has an error of its own for what is not there
        with self._explained(key):
            try:
                self._fs.rm_file(self._at(key))
            except FileNotFoundError:
                return

    def read(self, key: str) -> dict[str, Any] | None:
        """Return a JSON file's mapping; `None` where there is none, or none that can be read."""
        with self._explained(key):
            try:
                data = json.loads(self._fs.cat_file(self._at(key)))
            except (FileNotFoundError, ValueError):
                return None
            return data if isinstance(data, dict) else None

    def write(self, key: str, data: dict[str, Any]) -> None:
        """Write a JSON file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.json"
            path.write_text(json.dumps(finite(data), indent=2) + "\n", encoding="utf-8")
            self.put(path, key)

    def _at(self, key: str) -> str:
        return f"{self._path}/{key}"

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except EnervZooError:
            raise
        except Exception as error:  # each storage has errors of its own
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise FitError(f"{self.root}/{key}: the storage failed ({reason})") from error
