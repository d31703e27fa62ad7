"""What tables show beside a size, and that lists fit a terminal of 80 columns."""

from __future__ import annotations

import json
import re

import pytest

import enerv_zoo as ez
from enerv_zoo import hub, registry
from enerv_zoo.cli import console
from enerv_zoo.video.samples import SAMPLES

FIT = {"model": "nerv", "frames": "0:3", "resize": "64x36", "size": "60K", "epochs": 1, "batch_size": 3}
RAW = "20.7 kB"
ORIGINAL = f"{SAMPLES['bunny'].path.stat().st_size / 1e6:.3g} MB"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "fit"
    ez.fit("bunny", **FIT, out=folder)
    return folder


def options(*left_out):
    pairs = ((f"--{name.replace('_', '-')}", value) for name, value in FIT.items() if name not in left_out)
    return [word for pair in pairs for word in pair]


def test_the_frames_and_the_original_stand_beside_every_size(cli, fitted, tmp_path):
    commands = {
        "info": ("info", fitted),
        "eval": ("eval", fitted),
        "compress": ("compress", fitted, "fit.nvz"),
        "info of a file": ("info", "fit.nvz"),
        "fit": ("fit", "bunny", *options(), "--out", "again", "--no-report"),
        "compare": ("compare", "bunny", "--models", "nerv", *options("model"), "--out", "two", "--no-report"),
        "rd": (
            "rd",
            "bunny",
            "--models",
            "",
            "--codecs",
            "x264",
            "--frames",
            "0:3",
            "--resize",
            "64x36",
            "--out",
            "rd",
        ),
    }
    for name, command in commands.items():
        code, out, err = cli(*command)
        assert code == 0, err
        text = " ".join(out.split())
        assert f"frames as they are{':' if name in ('compare', 'rd') else ''} {RAW}" in text, name
        if name != "info of a file":  # which has no path of its own
            assert f"original{':' if name in ('compare', 'rd') else ''} {ORIGINAL}" in text, name
    page = (tmp_path / "rd" / "report.html").read_text()
    assert "BD-rate" in page or "Every point" in page
    text = " ".join(re.sub("<[^>]*>", " ", ez.write_report(fitted, tmp_path / "report.html").read_text()).split())
    for name, size in (("the original file", SAMPLES["bunny"].path.stat().st_size), ("frames as 8-bit RGB", 20_736)):
        assert re.search(f"{name}[^a-z]* {size:,}", text), name


@pytest.mark.parametrize("arguments", [(), ("--options",), ("--parts",), ("--recipes",), ("--pretrained",)])
def test_lists_fit_a_narrow_terminal_and_break_no_name(cli, monkeypatch, arguments):
    monkeypatch.setattr(hub, "list_pretrained", lambda query: [hub.Pretrained("someone/a-fit", stored_numbers=1)])
    wide = {word for word in cli("models", *arguments)[1].split() if len(word) <= 32}
    monkeypatch.setattr(console.out, "_width", 80)  # rich reads COLUMNS once, where LINES are set too
    _, out, _ = cli("models", *arguments)
    assert max(map(len, out.splitlines())) <= 80
    missing = wide - set(out.split())
    assert not missing


def test_every_family_says_what_it_is_and_where_it_is_from(cli):
    about = json.loads(cli("models", "--json")[1])
    assert set(about) == set(ez.list_models())
    for name, text in about.items():
        assert text.endswith("."), name
        assert len(text) < 260, name
        assert "(" in text or "An ablation." in text or name in ("hnerv_latent", "enerv_nerv_block"), name
        assert "`" not in text
    shown = json.loads(cli("models", "--json", "--options")[1])
    for name, text in shown.items():
        assert all(option in text for option in registry.models.options(name))
    text = " ".join(cli("models")[1].split())
    assert all(" ".join(each.split()) in text for each in about.values())
