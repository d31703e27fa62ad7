"""Options that are made of the fields of configs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from enerv_zoo.cli.app import app
from enerv_zoo.cli.command import Command
from enerv_zoo.cli.generated import OptionsOf, expanded, parse_text
from enerv_zoo.config import FitConfig, Recipe, VideoInfo, VideoSelection
from enerv_zoo.options import Option, field_descriptions, parse_seconds

A_NEW_FIELD = """
import sys
from dataclasses import dataclass
import enerv_zoo.config

@dataclass(frozen=True)
class FitConfig(enerv_zoo.config.FitConfig):
    '''A recipe with one field more.

    Attributes:
        blur: width of a Gaussian (in pixels, see Smith et al. 2020); more than is of use to anyone.
    '''

    blur: float = 0.5

enerv_zoo.config.FitConfig = FitConfig
"""
END_OF_COMMAND = "(end of command)"
WITH_IT = f"""
import json
from enerv_zoo.cli.app import main
for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    print("{END_OF_COMMAND}")
enerv_zoo.fit("bunny", model="nerv", frames="0:2", resize="32x18", size="60K", epochs=1, blur=4.0, out="api")
"""
TINY = ("--model", "nerv", "--frames", "0:2", "--resize", "32x18", "--size", "60K", "--epochs", "1", "--no-report")


@dataclass(frozen=True)
class Base:
    """Fields of every kind.

    Attributes:
        count: how often,
            at most; unless there are more.
        word, other: a word. And more of it.
    """

    count: int = 3
    word: str = "x"
    other: str | None = None


@dataclass(frozen=True)
class Options(Base):
    """More of them.

    Attributes:
        word: another [bold] word.
        kind: the kind.
        weights: the weights.
        names: names of things.
        time: how long.

    Nothing: that is a field.
    """

    kind: Literal["a", "b"] = "a"
    weights: Annotated[str | dict[str, Any], Option("Or not.", example="a=1,b=2")] = "none"
    names: tuple[str | dict[str, Any], ...] = ("psnr",)
    time: Annotated[float | None, Option(parse=parse_seconds, metavar="TIME", default="as long as it takes")] = None
    switch: Annotated[bool, Option(flags="--on/--off")] = False
    hidden: int = 0


RECEIVED: list[dict[str, Any]] = []


def command(
    video: str,
    *,
    filled: Annotated[dict[str, Any], OptionsOf(Options, "Panel")],
    hidden: Annotated[int, typer.Option(help="Of the command.")] = 7,
) -> None:
    """Take options."""
    RECEIVED.append({"video": video, "hidden": hidden, **filled})


@pytest.fixture
def run():
    own = typer.Typer(rich_markup_mode="rich")
    own.command(cls=Command)(expanded(command))
    RECEIVED.clear()
    return lambda *arguments: CliRunner().invoke(own, [*arguments], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_fields_are_described_in_one_place():
    assert field_descriptions(Options) == {
        "count": "how often, at most; unless there are more.",
        "word": "another [bold] word.",
        "other": "a word. And more of it.",
        "kind": "the kind.",
        "weights": "the weights.",
        "names": "names of things.",
        "time": "how long.",
    }
    for config in (FitConfig, Recipe, VideoInfo, VideoSelection):
        assert field_descriptions(config).keys() == {field.name for field in dataclasses.fields(config)}


def test_help_is_the_first_sentence_of_the_description(run):
    text = " ".join(run("--help").output.split()).replace("INTEGER", "<int>")  # as Typer before 0.24 has it
    for part in (
        "How often, at most. ",
        "Another [bold] word. ",
        "a|b ",
        "The weights, such as a=1,b=2. Or not.",
        "TIME How long. [default: as long as it takes]",
        "--on/--off",
        "--hidden N Of the command. [default: 7]",
    ):
        assert part in text, part
    assert "Panel" in text


def test_a_command_gets_what_is_given_and_nothing_else(run):
    assert run("x").exit_code == 0
    result = run(
        "x", "--count", "5", "--names", "psnr,ms_ssim", "--weights", "a=1,b=.5", "--time", "2m", "--off",
        "--hidden", "1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert RECEIVED == [
        {"video": "x", "hidden": 7},
        {
            "video": "x",
            "hidden": 1,
            "count": 5,
            "names": ["psnr", "ms_ssim"],
            "weights": {"a": 1.0, "b": 0.5},
            "time": 120.0,
            "switch": False,
        },
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--count", "many"), "'--count'"),
        (("--time", "long"), "'--time': expected a time such as 120s, 10m or 1.5h, got 'long'"),
        (("--weights", "a=1,b"), "'--weights': expected one number for each name, such as a=1,b=2, got 'a=1,b'"),
        (("--weights", "{a: 1"), "'--weights': '{a: 1' is neither JSON nor YAML"),
    ],
)
def test_what_cannot_be_read_is_refused(run, arguments, message):
    result = run("x", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Fusion6", {str, dict}, "Fusion6"),
        ("{name: charbonnier, eps: 1e-2}", {str, dict}, {"name": "charbonnier", "eps": 0.01}),
        ("L1=0.7, SSIM=0.3", {str, dict}, {"L1": 0.7, "SSIM": 0.3}),
        ("0.9,0.999", {tuple}, [0.9, 0.999]),
        ("[0.9, 0.999]", {tuple}, [0.9, 0.999]),
        ("{epochs: 3, bits: 6}", {tuple}, [{"epochs": 3, "bits": 6}]),
        ("head=2", {dict}, {"head": 2.0}),
    ],
)
def test_texts_of_values_that_are_no_numbers_or_words(text, kind, value):
    assert parse_text(text, kind) == value


def test_a_new_field_is_in_the_help_in_recipes_and_in_the_api(tmp_path):
    """In one process, which has the field before anything of the command line is imported."""
    (tmp_path / "recipe.yaml").write_text("format: 2\nfit: {blur: 2.0}\n")
    helps = [[name, "--help"] for name in ("fit", "compare", "rd")]
    fit = ["fit", "bunny", *TINY, "--recipe", "recipe.yaml", "--out"]
    commands = json.dumps([*helps, [*fit, "recipe"], [*fit, "option", "--blur", "3"]])
    command = [sys.executable, "-c", A_NEW_FIELD + WITH_IT, commands]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    texts = [" ".join(text.split()) for text in printed.split(END_OF_COMMAND)]
    for text in texts[: len(helps)]:
        assert "--blur" in text
        assert "Width of a Gaussian (in pixels, see Smith et al. 2020)." in text
    records = [json.loads((tmp_path / folder / "fit.json").read_text()) for folder in ("recipe", "option", "api")]
    assert [record["fit"]["blur"] for record in records] == [2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", ["fit", "compare", "rd"])
def test_every_field_of_a_recipe_and_of_a_selection_is_an_option(name):
    parameters = {parameter.name for parameter in typer.main.get_command(app).commands[name].params}
    fields = {field.name for config in (FitConfig, VideoSelection) for field in dataclasses.fields(config)}
    assert fields <= parameters


def test_no_option_is_declared_twice():
    for file in (Path(sys.modules["enerv_zoo.cli.app"].__file__).parent).glob("*.py"):  # type: ignore[arg-type]
        assert "square_pixels:" not in file.read_text(), file.name
