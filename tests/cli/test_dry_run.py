"""`--dry-run` and sizes: what a fit would take, and the original beside every size."""

from __future__ import annotations

import dataclasses
import json
import re
import sys

import numpy as np
import pytest

import enerv_zoo as ez
from enerv_zoo.cli import main
from enerv_zoo.fitting.choice import BITS_PER_PARAMETER, FILE_BITS
from enerv_zoo.fitting.preview import measure_fit

SMALL = ("--frames", "0:4", "--resize", "64x36", "--epochs", "2", "--device", "cpu")


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["enerv-zoo", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not list(tmp_path.iterdir())
        return stop.value.code or 0, *capsys.readouterr()

    return run


def test_a_fit_is_previewed_as_it_is_and_nothing_is_written(command):
    code, out, _ = command("fit", "bunny", "--model", "nerv", "--size", "60K", *SMALL, "--dry-run", "--json")
    (preview,) = json.loads(out).values()
    network = ez.create_model("nerv", frames=4, height=36, width=64, size="60K")
    assert code == 0
    assert (preview["parameters"], preview["stored_bytes"]) == (network.stored_numbers, 4 * network.stored_numbers)
    assert (preview["raw_bytes"], preview["coded_bytes"]) == (4 * 3 * 36 * 64, network.stored_numbers)
    assert preview["macs"] == ez.summarize(network.config, network.info).macs
    assert (preview["epochs"], preview["networks"]) == (2, 1)
    assert preview["seconds"] > 0
    assert preview["source_bytes"] > 0


def test_every_fact_is_a_row(command):
    code, out, _ = command("fit", "bunny", "--model", "nerv", "--size", "60K", *SMALL, "--dry-run")
    assert code == 0
    rows = ("frames ", "network ", "memory ", "time ", "network in float32", "file (.nvz) ", "frames as", "original ")
    assert all(any(line.startswith(row) for line in out.splitlines()) for row in rows)
    assert "larger than the frames as they are" in out


def test_epochs_of_a_time_budget_are_one_number(command, monkeypatch):
    """Also where the machine is slower once it is measured again."""

    def slower(*arguments, **options):
        measured = measure_fit(*arguments, **{**options, "seconds": 0.1})
        return dataclasses.replace(measured, frames_per_second=measured.frames_per_second / 9)

    monkeypatch.setattr("enerv_zoo.fitting.preview.measure_fit", slower)
    code, out, err = command("fit", "bunny", "--frames", "0:4", "--time-budget", "6s", "--device", "cpu", "--dry-run")
    assert code == 0
    (said,), (shown,) = re.findall(r"about (\d+) epochs of 4 frames", err), re.findall(r"for about (\d+) epoch", out)
    assert said == shown


def test_segments_are_counted(command):
    code, out, _ = command(
        "fit", "bunny", "--model", "nerv", "--size", "60K", *SMALL, "--segments", "2", "--dry-run", "--json"
    )
    (preview,) = json.loads(out).values()
    one = ez.create_model("nerv", frames=2, height=36, width=64, size="60K").stored_numbers
    assert (code, preview["networks"], preview["parameters"]) == (0, 2, 2 * one)


@pytest.mark.parametrize("name", ["compare", "rd"])
def test_comparisons_are_previewed_fit_by_fit(command, name):
    sizes = "--size" if name == "compare" else "--sizes"
    code, out, _ = command(
        name, "bunny", "--models", "nerv", "--out", "x", sizes, "60K,90K", *SMALL, "--dry-run", "--json"
    )
    assert code == 0
    assert list(json.loads(out)) == ["nerv-60k", "nerv-90k"]


def test_a_compression_is_previewed_to_about_its_size(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    frames = np.random.default_rng(0).integers(0, 256, (4, 36, 64, 3), np.uint8)
    ez.create_model("nerv", frames=4, height=36, width=64, size="60K").save_pretrained(folder / "run")
    file = ez.compress(folder / "run", folder / "x.nvz", bits=6, data=frames, device="cpu")
    code, out, _ = command("compress", str(folder / "run"), "y.nvz", "--bits", "6", "--dry-run", "--json")
    preview = json.loads(out)
    assert code == 0
    assert 0.8 < preview["file_bytes"] / file.bytes <= 1.05
    assert file.raw_bytes == 4 * 3 * 36 * 64


def test_a_target_chooses_the_size(command):
    pixels = 4 * 36 * 64
    for option, value, size in (("--bpp", "22", 22 * pixels / 8), ("--target-mb", "0.02", 20_000)):
        code, out, _ = command("fit", "bunny", "--model", "pca_nerv", option, value, *SMALL, "--dry-run", "--json")
        (preview,) = json.loads(out).values()
        assert code == 0
        assert preview["coded_bytes"] == pytest.approx(size, rel=0.02)
        assert preview["parameters"] == pytest.approx((8 * size - FILE_BITS) / BITS_PER_PARAMETER, rel=0.02)


def test_targets_that_mean_nothing_are_refused(command):
    code, _, err = command("fit", "bunny", "--bpp", "1", "--target-mb", "1", *SMALL)
    assert code == 2
    assert "give one of them" in err
    code, _, err = command("fit", "bunny", "--target-mb", "1")
    assert (code, "give --resize" in err) == (2, True)
    for option, message in (
        (("--bpp", "1", "--segments", "2"), "add size, that of each segment's network"),
        (("--model", "nerv", "--bpp", "0.01"), "no nerv for 4 frames of 64x36 is small enough"),
        (("--bpp", "30"), "the frames as they are take 24 bits per pixel, got 30"),
        (("--bpp", "0"), "greater than 0"),
    ):
        code, _, err = command("fit", "bunny", *option, *SMALL)
        assert (code, message in err) == (1, True), err


def test_a_rate_is_previewed_for_a_network_with_an_encoder(command):
    """Whose content of every frame counts, and a preview measures steps on fewer frames."""
    code, out, _ = command(
        "fit", "bunny", "--model", "hnerv", "--size", "60K", "--bpp", "16", "--frames", "0:12", "--resize", "64x36",
        "--epochs", "2", "--batch-size", "2", "--device", "cpu", "--dry-run", "--json",
    )  # fmt: skip
    (preview,) = json.loads(out).values()
    assert code == 0
    assert preview["coded_bytes"] == 16 * 12 * 64 * 36 // 8
    assert preview["seconds"] > 0
