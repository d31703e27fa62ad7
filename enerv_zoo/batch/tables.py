"""Manifests as tables: one row per fit, in a `.csv` or a `.parquet` file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from enerv_zoo.errors import ConfigError
from enerv_zoo.files import usable_path
from enerv_zoo.parsing import parse_yaml

TEXTS = ("frames", "resize", "crop", "yuv", "segments", "name", "license", "mask", "reference")
"""Columns whose cells are texts, whatever they look like."""


def read_table(path: Path, is_text: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the rows of a table, without their empty cells.

    Args:
        path: a `.csv` or a `.parquet` file.
        is_text: whether the cells of a column are texts, whatever they look like; those of others are read as YAML has
            numbers and lists, from CSV.

    Raises:
        ConfigError: it is no table, or cannot be read.
    """
    if path.suffix not in READERS:
        raise ConfigError(f"{path}: a table is a file that ends in {' or '.join(READERS)}")
    usable_path(path)
    try:
        rows = READERS[path.suffix](path, is_text)
    except (OSError, ValueError, ImportError, csv.Error) as error:  # a UnicodeDecodeError is a ValueError
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from error
    return [{key: value for key, value in row.items() if key and value not in (None, "")} for row in rows]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a manifest's table, without their empty cells.

    Raises:
        ConfigError: it cannot be read, or a row has no video.
    """
    filled = read_table(path, {"video", "model", "size", "recipe", *TEXTS}.__contains__)
    missing = [number for number, row in enumerate(filled, 1) if "video" not in row]
    if missing or not filled:
        where = f"row {missing[0]} has none" if missing else "it has no rows"
        there = f", but {', '.join(map(str, filled[missing[0] - 1])) or 'nothing'}" if missing else ""
        raise ConfigError(f"{path}: a manifest's table needs a column 'video' that says what to fit; {where}{there}")
    return filled


def _read_csv(path: Path, is_text: Callable[[str], bool]) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, strict=True)
        _check_columns(table.fieldnames or ())
        rows = list(table)
    longer = [number for number, row in enumerate(rows, 1) if None in row]
    if longer:
        raise ValueError(f"row {longer[0]} has more cells than the header has columns; quote what holds a comma")

    def cell(column: str, text: str | None) -> Any:
        return parse_yaml(text) if text and not is_text(column) else text

    return [{column: cell(column, text) for column, text in row.items()} for row in rows]


def _read_parquet(path: Path, is_text: Callable[[str], bool]) -> list[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow; pip install 'enerv-zoo[cluster]'") from error
    _check_columns(parquet.read_schema(path).names)
    return parquet.read_table(path).to_pylist()


def _check_columns(names: Sequence[str]) -> None:
    """Refuse a column that is there twice: in a row, the last one would silently count."""
    for name, count in Counter(names).items():
        if name and count > 1:
            raise ValueError(f"the column {name!r} is given {count} times; keep one")


READERS = {".csv": _read_csv, ".parquet": _read_parquet}
