"""Metadata of config fields, of which the command line generates its options (`enerv_zoo.cli.generated`)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Parser = Callable[[str], Any]


@dataclass(frozen=True)
class Option:
    """Details of a command-line option, in a field's `Annotated`; its name, type and description say the rest.

    Attributes:
        help: a sentence after that of the field's description, for the command line alone.
        example: of a value as text, for the help and for messages.
        parse: text to value, raises ValueError; by default as the field's type says (`enerv_zoo.cli.generated`).
        metavar: stands for the value in the help; by default as the field's type says.
        flags: of a switch, `--on/--off`; by default `--name/--no-name`.
        default: text for the default in the help.
        kind: of the registered parts whose names are offered for completion.
    """

    help: str = ""
    example: str = ""
    parse: Parser | None = None
    metavar: str | None = None
    flags: str | None = None
    default: str | None = None
    kind: str | None = None


def parse_seconds(text: str) -> float:
    """Return a duration such as `"120s"`, `"10m"`, `"1.5h"` or `"90"` in seconds.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smh]?)\s*", text)
    if match is None:
        raise ValueError(f"expected a time such as 120s, 10m or 1.5h, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def field_descriptions(kind: type) -> dict[str, str]:
    """Return the description of each field, in one line, from the docstrings of a config and of its bases."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        _, _, section = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("\nAttributes:\n")
        entries = re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8,}.*)*)", re.split(r"\n(?=\S)", section)[0], re.MULTILINE)
        texts |= {name.strip(): " ".join(text.split()) for names, text in entries for name in names.split(",")}
    return texts
