"""Type checkers in their strict modes accept what users write, and refuse mistakes.

pyright runs here; mypy checks the same two files where it checks the package.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import enerv_zoo
from enerv_zoo.config import CompressConfig, FitConfig, LossSpec, MetricSpec, PartSpec, Recipe, Spec, VideoSelection
from enerv_zoo.hub.client import Access, AccessOptions
from enerv_zoo.keywords import CompareOptions, CompressOptions, FitOptions, SelectionOptions
from enerv_zoo.losses import Loss

FOLDER = Path(__file__).parent
CHECKOUT = Path(enerv_zoo.__file__).parent.parent
NAMES = {
    "LossSpec": LossSpec,
    "MetricSpec": MetricSpec,
    "PartSpec": PartSpec,
    "Recipe": Recipe,
    "Spec": Spec,
    "Loss": Loss,
}


def lines_with_errors(output: str, file: str) -> set[int]:
    return {int(line) for line in re.findall(rf"{file}:(\d+):\d+ - error", output)}


def pyright(folder: Path) -> str:
    pytest.importorskip("pyright")
    root = os.path.relpath(FOLDER, folder)
    settings = {"include": [root], "extraPaths": [str(CHECKOUT)], "typeCheckingMode": "strict"}
    settings |= {
        "exclude": [f"{root}/test_types.py"],
        "reportMissingTypeStubs": False,
        "enableTypeIgnoreComments": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "-p", str(folder), "--pythonpath", sys.executable]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


def test_a_users_example_is_accepted_and_every_mistake_is_found(tmp_path):
    output = pyright(tmp_path)
    assert lines_with_errors(output, "user_example.py") == set(), output
    lines = (FOLDER / "mistakes.py").read_text().splitlines()
    mistakes = {number for number, line in enumerate(lines, 1) if "# mistake" in line}
    assert len(mistakes) > 10
    assert lines_with_errors(output, "mistakes.py") == mistakes, output


@pytest.mark.parametrize(
    ("options", "config"),
    [
        (SelectionOptions, VideoSelection),
        (FitOptions, FitConfig),
        (CompressOptions, CompressConfig),
        (AccessOptions, Access),
    ],
)
def test_keywords_are_the_fields_of_the_config(options, config):
    keywords = get_type_hints(options, localns=NAMES)
    if options is FitOptions:
        keywords = {name: hint for name, hint in keywords.items() if name not in get_type_hints(SelectionOptions)}
    hints = get_type_hints(config)
    fields: dict[str, Any] = {field.name: hints[field.name] for field in dataclasses.fields(config)}
    if config is FitConfig:
        fields["loss"] = fields["loss"] | Loss
    assert keywords == fields
    assert list(keywords) == list(fields)
    if options in (SelectionOptions, FitOptions):
        assert get_type_hints(options, localns=NAMES).items() <= get_type_hints(CompareOptions, localns=NAMES).items()


def test_public_names_are_listed_literally():
    """Type checkers and editors read the list, and run nothing."""
    tree = ast.parse(Path(enerv_zoo.__file__).read_text())
    (listed,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    imported = {
        alias.name: f"{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("enerv_zoo.")
        for alias in node.names
    }
    assert sorted(listed) == sorted(["__version__", *imported])
    assert imported == {name: f"enerv_zoo.{module}" for name, module in enerv_zoo._MODULES.items()}
