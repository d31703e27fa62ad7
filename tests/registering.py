"""Parts that are registered for a while, as tests want it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from enerv_zoo.registry import COMPONENTS, Registry, _imported, models


@contextmanager
def temporary_parts(*registries: Registry) -> Iterator[None]:
    """A context at whose end the parts, of all kinds by default, that were registered within it are forgotten."""
    files, states = dict(_imported), []
    for registry in registries or (models, *COMPONENTS.values()):
        registry._load_builtins()
        states.append((registry, registry._parts, registry._plugins_loaded))
        registry._parts = dict(registry._parts)
    try:
        yield
    finally:
        for registry, parts, loaded in states:
            registry._parts, registry._plugins_loaded = parts, loaded
        for name in _imported.keys() - files.keys():
            del sys.modules[name], _imported[name]
