"""Plain data from YAML and JSON that nobody has checked yet."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from enerv_zoo.errors import ConfigError
from enerv_zoo.files import usable_path

MAX_VALUES = 10_000_000
"""Values of a file, each counted as often as aliases name it."""


_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Safe YAML with the numbers of YAML 1.2 and JSON: 1e-8 is a number, 0:53 is none. A key is given once."""

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names, as long as that repeats no more keys than memory takes."""
        for value in [value for key, value in node.value if key.tag == _MERGE]:
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    self.flatten_mapping(source)
                    self._merged += len(source.value)
                if self._merged > MAX_VALUES:
                    raise ConfigError("its merges (<<) repeat parts too often; write them out")
        super().flatten_mapping(node)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a second value of a key, which would silently replace the first."""
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    where = f"in lines {lines[name]} and {line}" if lines[name] != line else f"in line {line}"
                    raise ConfigError(f"the key {key.value!r} is given twice, {where}; keep one")
                lines[name] = line
        return node


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(_NUMBERS[0], lambda loader, node: int(node.value))  # 010 is 10
_Loader.add_implicit_resolver(_NUMBERS[0], re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _NUMBERS[1],
    re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN))$"),
    list("-+.0123456789"),
)


class _Dumper(yaml.SafeDumper):
    """Safe YAML that quotes each text which YAML 1.1 or `_Loader` takes for something else: 0o7, 08, 1e5."""


_Dumper.yaml_implicit_resolvers = {
    first: [each for loader in (yaml.SafeDumper, _Loader) for each in loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def to_yaml(data: Any, **options: Any) -> str:
    """Return plain data as YAML, which `parse_yaml` makes the same data of; with options of `yaml.dump`."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **options))


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict: `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: a key is given twice.
    """
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r:.80} is given twice")
    return mapping


def _written_out(data: Any, counts: dict[int, float]) -> float:
    """Return how many values plain data have without aliases; infinitely many where a part holds itself."""
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, (list, tuple)) else ()
    if parts and id(data) not in counts:
        counts[id(data)] = math.inf
        counts[id(data)] = 1 + sum(_written_out(part, counts) for part in parts)
    return counts.get(id(data), 1) if parts else 1


def parse_yaml(text: str) -> Any:
    """Plain data from YAML (or JSON) text.

    Raises:
        ConfigError: the text is neither, gives a key of a mapping twice, or has aliases that hold themselves or repeat
            its parts more often than memory takes.
    """
    try:
        data = yaml.load(text, _Loader)  # a safe loader
        if _written_out(data, {}) > MAX_VALUES:
            raise ConfigError("its aliases (*name) repeat parts too often; write them out")
        return data
    except ConfigError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"neither JSON nor YAML: {' '.join(str(error).split())[:200]}") from error


def read_mapping(path: str | Path) -> dict[str, Any]:
    """Read a JSON or YAML file that holds a mapping.

    Raises:
        ConfigError: the file is missing, is no text, does not parse or holds something else.
    """
    path = usable_path(path)
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text"
        raise ConfigError(f"{path}: cannot be read ({reason})") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of options, got {type(data).__name__}")
    return data
