"""Recipes, manifests and tables of any content are read, or refused by one line; nothing else happens.

`tests/fixtures/corpus` has files of every kind, valid and hostile ones; what a run finds is added there.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fuzzing import damaged, mutated
from hypothesis import given, settings
from hypothesis import strategies as st

from enerv_zoo.batch.manifest import Manifest, read_manifest
from enerv_zoo.config import from_dict, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.parsing import parse_yaml, to_yaml
from enerv_zoo.recipes import read_recipe

CORPUS = sorted((Path(__file__).parent / "fixtures" / "corpus").iterdir())
READ = {"manifest.yaml", "recipe.yaml", "table.csv", "nul.csv", "time.yaml"}
"""Entries of the last two are refused when their fits are listed."""
RECIPE, MANIFEST = (parse_yaml(path.read_text()) for path in CORPUS if path.name in ("recipe.yaml", "manifest.yaml"))
READERS = (read_manifest, read_recipe)
FUZZ = settings(max_examples=40)
NUMBER_LIKE = st.text("0123456789.eExXo+-_:nultrfys~", max_size=6)


def check(reader, path: Path) -> bool:
    """Return whether it is read; else one line says why it is not, and not the whole file with it."""
    message = ""
    try:
        reader(path)
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 2000
    return not message


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus_is_read_or_refused(path):
    assert any([check(reader, path) for reader in READERS]) == (path.name in READ)


@FUZZ
@given(st.sampled_from(CORPUS).flatmap(lambda path: st.tuples(st.just(path.suffix), damaged(path.read_bytes()))))
def test_any_bytes(case):
    suffix, data = case
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(data)
        for reader in READERS:
            check(reader, path)
        assert list(Path(folder).iterdir()) == [path]


@FUZZ
@given(mutated(RECIPE))
def test_any_recipe_comes_back_from_its_plain_form(data):
    with suppress(ConfigError):
        recipe = read_recipe(data)
        assert read_recipe(to_dict(recipe)) == recipe


@FUZZ
@given(st.dictionaries(NUMBER_LIKE, NUMBER_LIKE | st.integers() | st.floats(allow_nan=False) | st.none()))
def test_what_is_written_as_yaml_is_read_as_it_was(data):
    assert parse_yaml(to_yaml(data)) == data


@FUZZ
@given(mutated(MANIFEST))
def test_any_manifest(data):
    with suppress(ConfigError):
        manifest = from_dict(Manifest, data, "manifest")
        assert from_dict(Manifest, to_dict(manifest), "manifest") == manifest
