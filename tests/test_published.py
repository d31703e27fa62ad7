"""Published results: consistent, found by method, family and clip, shown alone and beside fits."""

from __future__ import annotations

import itertools
import json

import enerv_zoo as ez

CODECS = ("VTM", "HM", "x265", "C3")


def test_every_row_is_possible_and_has_a_source():
    rows = ez.published()
    assert len(rows) == len(set(rows))
    for row in rows:
        assert row.source
        assert 20 < row.psnr < 50
        assert row.ms_ssim is None or 0.9 < row.ms_ssim < 1
        assert row.bpp is not None or (row.parameters and row.epochs), "what a score costs"
        assert (row.family is None) == row.method.startswith(CODECS)
        assert (row.width is None) == (row.height is None)
        assert (row.frames is None) == (row.videos > 1)


def test_more_bits_and_more_epochs_are_better_in_every_source():
    def curve(row):
        scale = row.method.rpartition("-")[0] if row.method.startswith("HiNeRV") else row.method
        return row.source, scale, row.clip, row.size_text or "", row.parameters or 0, row.bpp is None

    rows = sorted(ez.published(), key=lambda row: (*curve(row), row.bpp or 0, row.epochs or 0))
    for _, points in itertools.groupby(rows, curve):
        scores = [row.psnr for row in points]
        assert scores == sorted(scores)


def test_families_are_those_here():
    missing = {row.family for row in ez.published() if row.family} - set(ez.list_models())
    assert missing == set()


def test_filters():
    assert {row.method for row in ez.published("e-nerv")} == {"E-NeRV"}
    assert {row.method for row in ez.published("enerv_boost")} == {"E-NeRV-Boost", "E-NeRV-Boost + CEM"}
    assert {row.clip for row in ez.published(clip="uvg")} == {"UVG"}
    assert {row.height for row in ez.published("hnerv", "bunny", frame_size="1280x640")} == {640}
    assert ez.published("gan*") == []


def test_listing(cli):
    code, shown, _ = cli("models", "--published", "UVG")
    assert code == 0
    assert "HiNeRV-S" in shown
    assert "mean of 7" in shown
    rows = json.loads(cli("models", "enerv", "--published", "--json")[1])
    assert {row["method"] for row in rows} == {"E-NeRV"}
    assert rows[0]["source"]
    code, _, error = cli("models", "gan", "--published")
    assert code == 1
    assert "by or of 'gan'" in error


def test_fits_stand_beside_published_results(cli):
    tiny = ("--frames", "0:2", "--resize", "64x36", "--size", "60K", "--epochs", "1", "--no-report")
    command = ("compare", "bunny", "--models", "enerv", *tiny, "--published", "--out", "one")
    code, shown, _ = cli(*command)
    assert code == 0
    (number,) = [line.split(":")[0] for line in shown.splitlines() if line.endswith(": this comparison")]
    (own,) = [line for line in shown.splitlines() if "64x36" in line]
    assert own.split()[0] == number
    (theirs,) = [line for line in shown.splitlines() if "36.70" in line]
    assert theirs.split()[1:4] == ["E-NeRV", "bunny", "1280x720"]
    assert "frames of other sizes do not compare" in shown
    data = json.loads(cli(*command, "--json")[1])
    assert list(data["fits"]) == ["enerv"]
    assert {row["family"] for row in data["published"]} == {"enerv"}
