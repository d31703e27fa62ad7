"""Parts that are registered for a while, as tests want it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from enerv_zoo.registry import COMPONENTS, Registry, imported_files, models


@contextmanager
def temporary_parts(*registries: Registry) -> Iterator[None]:
    """A context at whose end the parts, of all kinds by default, that were registered within it are forgotten."""
    files = set(imported_files())
    with ExitStack() as stack:
        for registry in registries or (models, *COMPONENTS.values()):
            registry._load_builtins()
            state = {"_parts": dict(registry._parts), "_plugins_loaded": registry._plugins_loaded}
            stack.enter_context(mock.patch.multiple(registry, **state))
        yield
    for file in {*imported_files()} - files:
        for name in [name for name, module in sys.modules.items() if getattr(module, "__file__", None) == file]:
            del sys.modules[name]
