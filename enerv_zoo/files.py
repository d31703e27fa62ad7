"""Writing files so that nothing is ever half-written: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write a file or a folder to, with the same suffix.

    It takes the target's place when the block ends well, and is gone when it does not; the target is then as it was.
    """
    target = Path(path).resolve()  # write through a link, and know the name of "."
    token = secrets.token_hex(4)
    temporary = target.with_name(f".{token}.{target.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        if target.is_dir():
            _swap_folder(temporary, target, target.with_name(f".{token}.old.{target.name}"))
        else:
            temporary.replace(target)
    finally:
        _remove(temporary)


def _swap_folder(new: Path, target: Path, old: Path) -> None:
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file at once."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, data: Any) -> None:
    """Write a JSON file at once; numbers that JSON lacks (infinity, NaN) become null."""
    write_text(path, json.dumps(finite(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite(data: Any) -> Any:
    """The same plain data with infinite and NaN numbers replaced by `None`."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
