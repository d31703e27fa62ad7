"""Commands, options, files and keywords that documentation, help and messages name are there."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main

import enerv_zoo as ez
from enerv_zoo.batch import comparison, curves, publish
from enerv_zoo.cli.app import EPILOG, app
from enerv_zoo.cli.start import STEPS
from enerv_zoo.config import SELECTION, CompressConfig, FitConfig
from enerv_zoo.fitting.folder import OURS
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.hub import download
from enerv_zoo.recipes import bundled_files

from .reader import ROOT, blocks, commands

PACKAGE = Path(ez.__file__).parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
APP = typer.main.get_command(app)
COMMANDS = APP.commands
USAGE_ERROR = typer.BadParameter.__base__
FIT = {"fit", "compare", "rd", "batch"}
RAISED_BY = {
    "batch/publish.py": {"batch"},
    "batch/run.py": {"batch"},
    "batch": FIT,
    "cluster": FIT,
    "compression": {"compress", "rd"},
    "evaluation": {"eval"},
    "fitting": FIT,
    "hub/pulling.py": {"pull"},
    "interop": {"import"},
    "locking.py": {*FIT, "import"},
}
"""Modules, and the commands out of which their messages come: an option they name is one of each of these. What other
modules name is an option of some command. `fit --resume` and `eval has --frames` say whose option it is."""

OPTION = re.compile(
    r"(?<![\w/.-])(?:(?P<command>[a-z]+) (?:needs |has |with )?)?"
    r"(?<![\w-])(?P<option>--[a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?![\w{-])"
)
CALL = re.compile(r"enerv-zoo (?P<command>[a-z][a-z-]*)")
OTHERS = {
    "--abbrev", "--always", "--check", "--dirty", "--exclude", "--extra", "--head", "--help", "--nnodes", "--no-sync",
    "--nproc-per-node", "--older", "--rdzv-endpoint", "--torch-backend", "--upgrade",
    *(option for parameter in APP.params for option in parameter.opts),
}  # fmt: skip
"""Options of other programs, and of the command line itself."""
PROSE = {"is", "and", "help", "on", "to", "of", "has", "one", "needs", "fits", "does", "can", "as", "with", "shows"}
"""Words that follow the project's name in sentences about it."""


@cache
def options_of(command: str) -> frozenset[str]:
    return frozenset(
        name for parameter in COMMANDS[command].params for name in (*parameter.opts, *parameter.secondary_opts)
    )


EVERY = frozenset(option for command in COMMANDS for option in options_of(command))


def unknown_options(text: str, raised_by: set[str] | None = None) -> Iterator[str]:
    """Options that a text names and that the command it means has not."""
    for found in OPTION.finditer(text):
        option, named = found["option"], found["command"]
        if option in OTHERS:
            continue
        if named in COMMANDS:
            has = option in options_of(named)
        elif raised_by is not None:
            has = all(option in options_of(command) for command in raised_by)
        else:
            has = option in EVERY
        if not has:
            yield f"{named} {option}" if named in COMMANDS else option


def unknown_commands(text: str) -> Iterator[str]:
    for found in CALL.finditer(text):
        if found["command"] not in COMMANDS and found["command"] not in PROSE:
            yield found[0]


# ---------------------------------------------------------------------- messages and help


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that are no docstrings, with `{}` for what is put into them."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        if isinstance(node, ast.JoinedStr):
            skipped |= set(node.values)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(map(str, parts))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_messages_name_options_that_are_there(path):
    name = str(path.relative_to(PACKAGE))
    raised_by = next((by for module, by in RAISED_BY.items() if name == module or name.startswith(f"{module}/")), None)
    wrong = []
    for line, text in messages(path):
        wrong += [f"{name}:{line}: {which}" for which in (*unknown_options(text, raised_by), *unknown_commands(text))]
    assert wrong == []


def test_what_the_test_finds():
    """Mistakes that were made are found."""
    advice = "{}: holds a fit with another {}. Repeat the command, choose another --out, or replace it with --overwrite"
    assert list(unknown_options(advice, FIT)) == ["--overwrite"]
    assert list(unknown_options("the fit needs (eval --imges)")) == ["eval --imges"]
    assert list(unknown_options("repeat the command (fit needs --resume)", FIT)) == []
    assert list(unknown_commands("make it with enerv-zoo squeeze x")) == ["enerv-zoo squeeze"]
    assert wrong_words(shlex.split("enerv-zoo compare bunny --models nerv --out x --overwrite"))
    assert wrong_keywords("with ez.Fleet() as fleet:\n    ez.compare('x', ['nerv'], out='x', preset='quick')")


def wrong_words(words: list[str]) -> str | None:
    """What is wrong with the options of a command of ours."""
    words = words[words.index("enerv-zoo") + 1 :] if "enerv-zoo" in words else words
    if not words or words[0].startswith("-"):
        return None
    if words[0] not in COMMANDS:
        return f"no command {words[0]!r}"
    command = COMMANDS[words[0]]
    try:
        command.make_parser(typer.Context(command)).parse_args(words[1:])
    except USAGE_ERROR as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_commands_that_are_taken(command):
    text = inspect.cleandoc(COMMANDS[command].callback.__doc__)
    examples = re.findall(r"^ +((?:enerv-zoo|torchrun) .*(?:\n +--.*)*)", text, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example.replace("-m enerv_zoo", "enerv-zoo"))
        assert words[words.index("enerv-zoo") + 1] == command
        assert wrong_words(words) is None, example
    helps = [text, *(getattr(parameter, "help", None) or "" for parameter in COMMANDS[command].params)]
    for text in helps:
        assert [*unknown_options(text), *unknown_commands(text)] == [], text


def test_first_steps_are_taken():
    for line in (*(step for step, _ in STEPS), EPILOG.removeprefix("Start here:").partition("(")[0]):
        assert wrong_words(shlex.split(line)) is None, line


# ---------------------------------------------------------------------- pages

SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FILE = re.compile(r"^[\w./-]*[\w-]\.(?:csv|gif|html|ipynb|json|jsonl|md|parquet|png|py|pt|pth|safetensors|toml|yaml)$")
WRITTEN = {
    *OURS, curves.RESULT, curves.PICTURE, comparison.CURVES, comparison.MEANS, publish.PUSHES, download.CARD,
    download.PLAYER,    "compare.json", "index.yaml", "points.json", "report.json", "segments.json", "summary.parquet",
}  # fmt: skip
"""Files that commands write, by their names."""
EXAMPLES = {
    "my_model.py",
    "zoo.yaml",
    "recipe.yaml",
    "clips.csv",
    "pyproject.toml",
    "model_best.pth",
    "E-NeRV.yaml",
    "hnerv.yaml",
}
"""Files of a reader's own."""


def prose_of(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def wrong_keywords(code: str) -> list[str]:
    """Keywords of calls of this package that it does not take."""
    wrong = []
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("ez.")):
            continue
        function = ez
        for step in ast.unparse(node.func).split(".")[1:]:
            function = getattr(function, step)
        if not node.keywords:
            continue
        parameters = inspect.signature(function).parameters
        legal = set(parameters)
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            legal |= {*FitConfig.__dataclass_fields__, *SELECTION, *CompressConfig.__dataclass_fields__}
            legal |= {*inspect.signature(plan_fit).parameters}
        wrong += [f"{ast.unparse(node.func)}({word.arg}=)" for word in node.keywords if word.arg not in {*legal, None}]
    return wrong


def by_page(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


@by_page(PAGES)
def test_pages_name_options_that_are_there(page):
    wrong = []
    for span in SPAN.findall(prose_of(page)):
        wrong += [*unknown_options(span), *unknown_commands(span)]
        first = span.split()[0] if span.split() else ""
        if "--" in span and (first in COMMANDS or span.startswith("enerv-zoo ")):
            problem = wrong_words(shlex.split(span.replace("|", " ")))
            wrong += [problem] if problem and "requires an argument" not in problem else []
    for block in blocks(page):
        lines = commands(block.text) if block.language == "sh" else ()
        wrong += [problem for words in lines if "enerv-zoo" in words and (problem := wrong_words(words))]
    assert wrong == []


@by_page(PAGES)
def test_pages_name_keywords_that_are_there(page):
    wrong = []
    for block in blocks(page):
        if block.language == "python" or (block.language == "text" and "ez." in block.text):
            wrong += wrong_keywords(block.text)
    assert wrong == []


@by_page(PAGES)
def test_pages_name_files_that_are_there(page):
    text = prose_of(page)
    wrong = [link for link in LINK.findall(text) if "://" not in link and not (page.parent / link).exists()]
    recipes = {f"{name}.yaml" for name in bundled_files()}
    for span in SPAN.findall(text):
        if not FILE.match(span):
            continue
        name = Path(span).name
        found = (ROOT / span).exists() or (page.parent / span).exists() or (PACKAGE / span).exists()
        if not found and name not in WRITTEN | EXAMPLES | recipes:
            wrong.append(span)
    assert wrong == []
