"""Before a fit: what is chosen is said, and one for hours, or of a network larger than its frames, needs `--yes`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from enerv_zoo.cli import asking, main
from enerv_zoo.fitting import choice, preview
from enerv_zoo.video.sizes import parse_resize

TINY = ("--frames", "0:4", "--resize", "64x36", "--size", "60K", "--epochs", "2", "--device", "cpu", "--out", "run")
PAPER = ("--preset", "paper", "--device", "cpu", "--out", "run")


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command without a terminal, where nothing is said of `--yes`."""
    monkeypatch.delenv("ENERV_ZOO_YES")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["enerv-zoo", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def fitted(monkeypatch):
    """Note the recipes of fits, and end each as it would begin."""
    recipes = []

    def fit(source, **options):
        recipes.append(options["recipe"])
        raise asking.ConfigError("it would fit")

    monkeypatch.setattr("enerv_zoo.fitting.fit", fit)
    return recipes


@pytest.fixture
def measured(monkeypatch):
    """Let every measurement say that steps fit ten frames of 720p per second."""
    calls = []

    def measure(plan, info, *seconds):
        calls.append(info.size_text)
        return SimpleNamespace(frames_per_second=10 * 1280 * 720 / (info.height * info.width))

    monkeypatch.setattr(preview, "measure_fit", measure)
    monkeypatch.setattr(choice, "measure_fit", measure)
    return calls


def test_a_network_larger_than_its_frames_is_refused_with_a_proposal(command, fitted):
    code, _, err = command("fit", "bunny", *TINY)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "the 4 frames of 64x36 that it shows take 27.6 kB" in err
    assert "--size 3K" in err
    assert "--yes" in err
    assert not fitted
    assert not Path("run").exists()


def test_yes_fits_it_all_the_same(command, fitted):
    _, _, err = command("fit", "bunny", *TINY, "--yes")
    assert "note: the network takes" in err
    assert "it would fit" in err
    assert fitted[0].model["size"] == "60K"


def test_hours_are_refused_where_nobody_can_answer(command, fitted, measured):
    code, _, err = command("fit", "bunny", *PAPER)
    assert code == 1
    assert "300 epochs of 132 frames of 1280x720 take about 1 h 6 min " in err
    for option in ("--time-budget", "--resize", "--size", "--epochs", "--frames", "--yes"):
        assert option in err
    assert measured == ["1280x720"]
    assert not fitted
    command("fit", "bunny", *PAPER, "--yes")
    command("fit", "bunny", *PAPER, "--epochs", "200")  # 44 minutes
    assert len(fitted) == 2


@pytest.mark.parametrize(("answer", "fits"), [("y", True), ("n", False)])
def test_hours_are_asked_for_on_a_terminal(command, fitted, measured, monkeypatch, answer, fits):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("typer.confirm", lambda text, err: answer == "y")
    code, _, err = command("fit", "bunny", *PAPER)
    assert code == 1
    assert ("nothing was fitted" in err) != fits
    assert bool(fitted) == fits


def test_ctrl_d_in_place_of_an_answer(command, fitted, measured, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=lambda *_: ""))
    monkeypatch.setattr("builtins.input", lambda *_: (_ for _ in ()).throw(EOFError))
    code, _, err = command("fit", "bunny", *PAPER)
    assert (code, err.splitlines()[-1]) == (130, "error: interrupted")
    assert not fitted


def test_short_fits_are_not_measured(command, fitted, measured):
    command("fit", "bunny", "--preset", "quick", "--epochs", "5", "--out", "run")
    assert fitted
    assert not measured


def test_without_options_a_choice_is_said_in_two_lines(command, fitted, measured):
    _, _, err = command("fit", "bunny")
    (first, second, *_), (recipe,) = [line for line in err.splitlines() if line.startswith("note: ")], fitted
    assert "chosen for 5 min on" in first
    assert "(of 1280x720), about" in first
    assert all(word in second for word in ("--time-budget 1h", "--resize full", "--size", "--preset paper"))
    assert recipe.model["size"] in first
    assert recipe.video["resize"].endswith("MP")
    assert recipe.fit["time_budget"] == 300


def test_a_rate_chooses_the_network_and_the_time_the_frames(command, fitted, measured):
    _, _, err = command("fit", "bunny", "--bpp", "0.2")
    (recipe,) = fitted
    height, width = parse_resize(recipe.video["resize"]).size(720, 1280)
    assert recipe.model["size"] == pytest.approx(0.1 * 132 * height * width, rel=0.02)
    assert f"{recipe.model['size']:,} parameters" in err
