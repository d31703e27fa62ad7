"""Every public name has a docstring and a place in the API page."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

import pytest

import enerv_zoo as ez

from .reader import ROOT

ENTRY = re.compile(r"^::: ([\w.]+)(?:\n +options: \{members: \[([^\]]*)\]\})?$", re.MULTILINE)
PUBLIC = sorted(set(ez.__all__) - {"__version__"})


def shown():
    """Return the objects that pages ask mkdocstrings for."""
    objects = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        for path, members in ENTRY.findall(page.read_text()):
            names = [f"{path}.{member}" for member in members.split(", ")] if members else [path]
            objects += [getattr(import_module(module), name) for module, _, name in (n.rpartition(".") for n in names)]
    return objects


SHOWN = shown()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_described(name):
    thing = getattr(ez, name)
    assert any(thing is other for other in SHOWN), f"docs/api.md does not show ez.{name}"
    text = inspect.getdoc(thing)
    assert text
    if inspect.isfunction(thing):
        parameters = inspect.signature(thing).parameters
        assert ("Args:" in text) == bool(parameters), f"ez.{name} describes its arguments under Args:"
