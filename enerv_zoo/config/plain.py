"""Configs as plain data and back, validated."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from enerv_zoo.config.colour import HD
from enerv_zoo.config.video import SQUARE
from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.files import python_numbers

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as plain data (dicts, lists, numbers, strings) that JSON and YAML can hold.

    Fields that its class names in `LATER` are left out where they have their defaults: records from before they existed
    then say the same, and so do the ids of fits.
    """
    plain = json.loads(json.dumps(dataclasses.asdict(config, dict_factory=_plain)))
    later = getattr(config, "LATER", ())
    unused = {f.name for f in dataclasses.fields(config) if f.name in later and getattr(config, f.name) == _default(f)}
    return {name: value for name, value in plain.items() if name not in unused}


def _default(item: dataclasses.Field[Any]) -> Any:
    return item.default if item.default_factory is dataclasses.MISSING else item.default_factory()


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON has them, without those that older records do not know and are unset.

    Of a colour, what differs from HD video is mentioned.
    """
    plain = dict(items)
    for name, absent in (("others", None), ("tags", None), ("title", None), ("created", None), ("chapters", ())):
        if name in plain and plain[name] == absent:
            del plain[name]
    if isinstance(aspect := plain.get("pixel_aspect"), Fraction):
        del plain["pixel_aspect"]
        if aspect != SQUARE:
            plain["pixel_aspect"] = f"{aspect.numerator}:{aspect.denominator}"
    if (colour := plain.get("colour")) is not None:
        plain["colour"] = {name: value for name, value in colour.items() if value != getattr(HD, name)}
        if not plain["colour"]:
            del plain["colour"]
    return plain


def from_dict(kind: type[Config], data: Any, where: str = "") -> Config:
    """Return plain data as a config.

    Args:
        kind: the config's class.
        data: what `to_dict` gives.
        where: where the data come from, for messages.

    Raises:
        ConfigError: an unknown key, a missing one, a wrong type or a value out of range.
    """
    prefix = f"{where}: " if where else ""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{prefix}expected a mapping of {kind.__name__} options, got {type(data).__name__}")
    with suppress(RecursionError):  # whatever nests without end is refused below
        data = python_numbers(dict(data))
    try:
        return _adapter(kind).validate_python(dict(data))  # type: ignore[arg-type]  # classes are hashable
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = next((p for p in problems if p["type"] == "unexpected_keyword_argument"), problems[0])
        place = ".".join(str(step) for step in first["loc"])
        if first["type"] == "value_error":
            raise ConfigError(f"{prefix}{first['ctx']['error']}") from None
        if first["type"] == "unexpected_keyword_argument":
            legal = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
            key = str(first["loc"][-1])
            raise ConfigError(
                f"{prefix}{kind.__name__} has no option {place!r}.{did_you_mean(key, legal)} "
                f"Its options: {', '.join(legal)}"
            ) from None
        message = first["msg"][:1].lower() + first["msg"][1:]
        option = f"{prefix or f'{kind.__name__} '}option {place!r}"
        raise ConfigError(f"{option}: {message}, got {first['input']!r:.80}") from None


@functools.cache
def _adapter(kind: type[Config]) -> TypeAdapter[Config]:
    """Return the validator of a config's fields; to derive it from the class takes milliseconds."""
    return TypeAdapter(kind)
