"""Every public name has a docstring and a place in a page of the API; every command has a page with its options."""

from __future__ import annotations

import inspect
import re
import runpy
from importlib import import_module

import pytest

import enerv_zoo as ez

from .reader import ROOT
from .test_names import COMMANDS

ENTRY = re.compile(r"^::: ([\w.]+)(?:\n +options: \{members: \[([^\]]*)\]\})?$", re.MULTILINE)
PUBLIC = sorted(set(ez.__all__) - {"__version__"})


def shown():
    """Return the objects that pages ask mkdocstrings for."""
    objects = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for path, members in ENTRY.findall(page.read_text()):
            names = [f"{path}.{member}" for member in members.split(", ")] if members else [path]
            objects += [getattr(import_module(module), name) for module, _, name in (n.rpartition(".") for n in names)]
    return objects


SHOWN = shown()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_described(name):
    thing = getattr(ez, name)
    assert any(thing is other for other in SHOWN), f"no page of docs/api shows ez.{name}"
    text = inspect.getdoc(thing)
    assert text
    if inspect.isfunction(thing):
        parameters = inspect.signature(thing).parameters
        assert ("Args:" in text) == bool(parameters), f"ez.{name} describes its arguments under Args:"


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(getattr(ez, name))])
def test_what_public_functions_return_is_described(name):
    thing = getattr(ez, name)
    own = vars(import_module(thing.__module__))
    returned = re.findall(r"\w+", str(inspect.signature(thing).return_annotation))
    classes = [own[word] for word in returned if inspect.isclass(own.get(word))]
    ours = [each for each in classes if each.__module__.startswith("enerv_zoo.")]
    assert [each.__name__ for each in ours if each not in SHOWN] == []


def test_every_option_has_a_place_in_the_page_of_its_command():
    page_of = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["command_page"]
    for name, command in COMMANDS.items():
        page = page_of(name, command)
        options = {option for each in command.params for option in (*each.opts, *each.secondary_opts) if "--" in option}
        assert [option for option in options if option not in page] == [], name
        assert f"enerv-zoo {name} " in page
