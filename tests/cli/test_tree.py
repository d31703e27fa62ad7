"""The network as a tree, and the start screen, as a person meets them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from enerv_zoo.cli.app import app
from enerv_zoo.compatibility import read_model
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.parsing import read_mapping
from enerv_zoo.shell import amount, duration
from enerv_zoo.zoo import model_config

TINY = ("--model", "nerv", "--resize", "64x36", "--size", "350K", "--length", "8")


def run(*arguments: str):
    return CliRunner().invoke(app, ["info", *arguments])


def test_an_unfitted_network_is_drawn_as_a_tree(capsys):
    assert app(["info", *TINY], standalone_mode=False) is None
    drawn = capsys.readouterr().out
    assert "stage 1" in drawn
    assert "block (nerv)" in drawn
    assert "MAC per frame" in " ".join(drawn.split())


def test_its_json_adds_up(capsys):
    app(["info", *TINY, "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert sum(part["stored_numbers"] for part in found["parts"]) == found["stored_numbers"]
    assert sum(part["macs"] for part in found["parts"]) == found["macs"] + found["macs_once"]


@pytest.mark.parametrize(
    "arguments",
    [(), ("runs/x", "--model", "nerv"), ("--model", "nerv", "--resize", "0x9"), (*TINY[:6], "--length", "0")],
)
def test_what_makes_no_sense_is_a_usage_error(arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 "), (999, "999 "), (1000, "1 k"), (999_999, "1 M"), (151_600_000_000, "152 G")]
)
def test_counts_have_three_digits(count, text):
    assert amount(count) == text


def test_a_composition_is_a_file_that_can_be_fitted_and_is_never_replaced(tmp_path, capsys):
    file = tmp_path / "network.yaml"
    app(["info", *TINY, "--yaml", str(file)], standalone_mode=False)
    assert "--model" in capsys.readouterr().out
    clip = VideoInfo(frames=8, height=36, width=64)
    assert read_model(read_mapping(file)) == model_config("nerv", clip, size="350K")
    before = file.read_text()
    with pytest.raises(ConfigError, match=r"network\.yaml: exists; choose another name"):
        app(["info", *TINY, "--yaml", str(file)], standalone_mode=False)
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.21, "0.2 s"),
        (36, "36 s"),
        (59.7, "1 min"),
        (80, "1 min 20 s"),
        (3599.6, "1 h"),
        (3969, "1 h 6 min"),
        (9e4, "25 h"),
    ],
)
def test_times_have_units(seconds, text):
    assert duration(seconds) == text
