"""Help on terminals of every width, and hints where a word is no command."""

from __future__ import annotations

import inspect
import re

import pytest
import typer.main

from enerv_zoo.cli.app import app
from enerv_zoo.cli.start import OTHER_NAMES

COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("width", [50, 80, 200])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_breaks_no_word(cli, monkeypatch, name, width):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = cli(*filter(None, (name,)), "--help")
    assert (code, err) == (0, "")
    if width >= 80:
        assert max(map(len, out.splitlines())) <= min(width, 100)
    lines = [line.strip() for line in out.splitlines()]
    text = " ".join(out.split())
    if not name:
        assert all(any(line.startswith(command + " ") for line in lines) for command in COMMANDS)
        return
    for parameter in COMMANDS[name].params:
        for option in (*parameter.opts, *parameter.secondary_opts) if parameter.param_type_name == "option" else ():
            assert any(re.match(rf"(-\w, |--[\w-]+/)?{option}(?![\w-])", line) for line in lines), option
        assert " ".join((parameter.help or "").split()) in text
    document = inspect.cleandoc(COMMANDS[name].callback.__doc__)
    for paragraph in document.split("\n\n"):
        words = " ".join(paragraph.split())
        if paragraph.startswith("    "):
            assert words in out.replace(" \\\n     ", ""), "a command is whole, and can be pasted"
        else:
            assert words in text
    assert "(None)" not in text
    assert re.fullmatch(r"Usage: enerv-zoo \w+( \[OPTIONS\])?( \[?[A-Z_]+(\.\.\.|\.nvz)?\]?)*", out.splitlines()[0])
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and not parameter.is_flag:
            assert re.search(rf"{max(parameter.opts, key=len)} [\w\[]", text), "something stands for its value"
    assert not re.search(r"\[default: [<(\[{]", text)
    flags = {flag for parameter in COMMANDS[name].params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert {f"--{default}" for default in re.findall(r"\[default: (no-[^\]]+)\]", text)} <= flags


def test_defaults_are_numbers_and_words(cli):
    text = " ".join(cli("compress", "--help")[1].split())
    for part in ("[default: 0]", "[default: 0.0005]", "[default: the fit's own]"):
        assert part in text
    assert "[default: auto]" in text
    assert "[default: False]" not in text


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("holiday.mp4", "did you mean: enerv-zoo fit holiday.mp4"),
        ("holidya.mp4", "did you mean: enerv-zoo fit holiday.mp4"),
        ("my clip.mp4", "did you mean: enerv-zoo fit 'my clip.mp4'"),
        ("holiday.nvz", "did you mean: enerv-zoo info holiday.nvz"),
        ("runs/fit", "did you mean: enerv-zoo info runs/fit"),
        ("frames", "did you mean: enerv-zoo fit frames"),
        ("rendr", "there is no command 'rendr'. Did you mean 'render'?"),
        ("watch", "there is no command 'watch'; it is called play here"),
        ("train", "there is no command 'train'; it is called fit here"),
        ("nothing-like-it", "there is no command 'nothing-like-it', and no such file; commands: fit, info, "),
        ("nothing.mp4", "there is no command 'nothing.mp4', and no such file; commands: fit, info, "),
    ],
)
def test_a_word_that_is_no_command_gets_a_hint(cli, tmp_path, word, hint):
    for name in ("holiday.mp4", "my clip.mp4", "holiday.nvz"):
        (tmp_path / name).touch()
    for name in ("runs/fit", "frames"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs" / "fit" / "config.json").touch()
    code, out, err = cli(word)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert hint in err


def test_a_mistyped_video_shows_the_right_name_beside_it(cli, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "holiday.mp4").touch()
    code, _, err = cli("fit", "clips/holidya.mp4")
    assert code == 1
    assert "'clips/holidya.mp4': no such file or folder" in err
    assert err.endswith("Did you mean 'clips/holiday.mp4'?\n")
    assert "Did you mean 'bunny'?" in cli("fit", "buny")[2]


def test_other_names_are_of_commands_and_none_is_one():
    others = [word for words in OTHER_NAMES.values() for word in words]
    assert set(OTHER_NAMES) <= {*COMMANDS, "--help", "--version"}
    assert not set(others) & set(COMMANDS)
    assert len(set(others)) == len(others)
