"""Several networks on one video: all of them, in every size, whatever becomes of one."""

from __future__ import annotations

import csv
import json
import statistics

import numpy as np
import pytest

import enerv_zoo as ez
from enerv_zoo.batch import FitsFailed, compare, comparison_table, jobs
from enerv_zoo.cli import comparing, console
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.zoo import parse_parameter_count

OPTIONS = {"epochs": 1, "batch_size": 3, "frames": "0:3", "resize": "64x36", "device": "cpu"}


def test_every_family_in_every_size(tmp_path):
    results = compare("bunny", ["nerv", "enerv"], size=["60K", "90K"], out=tmp_path, **OPTIONS)
    assert list(results) == ["nerv-60k", "nerv-90k", "enerv-60k", "enerv-90k"]
    for name, row in results.items():
        assert row["stored_numbers"] == pytest.approx(parse_parameter_count(name.partition("-")[2].upper()), rel=0.02)
        assert row["model"] == name.partition("-")[0]
        assert len(ez.load(tmp_path / name)) == 3
    assert len({row["id"] for row in results.values()}) == 4
    assert json.loads((tmp_path / "compare.json").read_text()) == results
    assert (tmp_path / "psnr.png").stat().st_size > 10_000


def test_one_that_fails_is_named_when_the_others_are_done(tmp_path, monkeypatch):
    fit = jobs.fit

    def failing(source, *, recipe, **options):
        if recipe.model["name"] == "nerv":
            raise MemoryError("out of memory,\n really")
        return fit(source, recipe=recipe, **options)

    monkeypatch.setattr(jobs, "fit", failing)
    names = ["enerv", "nerv", "hnerv"]
    with pytest.raises(
        FitsFailed, match=r"1 of 3 fits failed, first nerv: out of memory, really; the others"
    ) as caught:
        compare("bunny", names, size="60K", out=tmp_path, **OPTIONS)
    assert caught.value.reasons == {"nerv": "out of memory, really"}
    assert list(caught.value.results) == ["enerv", "hnerv"]
    assert json.loads((tmp_path / "compare.json").read_text()) == caught.value.results

    monkeypatch.setattr(jobs, "fit", fit)
    begun = []
    results = compare("bunny", names, size="60K", out=tmp_path, on_model=begun.append, **OPTIONS)
    assert begun == ["nerv"]
    assert list(results) == names
    assert {name: results[name] for name in ("enerv", "hnerv")} == caught.value.results


def test_seeds_names_and_options_of_their_own(tmp_path, cli, monkeypatch):
    reported = []
    monkeypatch.setattr(comparing, "closing_report", lambda runs, *rest, means: reported.append((runs, means)))
    monkeypatch.setattr(console.out, "_width", 200)  # in 80 columns, cells break where times are long
    (tmp_path / "other.yaml").write_text("{format: 2, model: {name: nerv}, fit: {lr: 0.001, metrics: [psnr, ssim]}}")
    common = (
        "--frames",
        "0:3",
        "--resize",
        "64x36",
        "--epochs",
        1,
        "--batch-size",
        3,
        "--metrics",
        "psnr",
    )
    asked = ("--models", "nerv,small=nerv", "--set", "small.fc_dim=8", "--set", "nerv.fc_dim=10", "--seeds", "3,5")
    files = (
        "--recipe",
        f"small={tmp_path / 'other.yaml'}",
        "--table",
        tmp_path / "t.csv",
        "--table",
        tmp_path / "t.md",
    )
    code, printed, error = cli("compare", "bunny", "--out", tmp_path / "out", *asked, *files, *common)
    assert code == 0, error
    results = json.loads((tmp_path / "out/compare.json").read_text())
    assert list(results) == [f"{name}-seed{seed}" for name in ("nerv", "small") for seed in (3, 5)]
    records = {name: json.loads((tmp_path / "out" / name / "fit.json").read_text()) for name in results}
    assert [record["fit"]["seed"] for record in records.values()] == [3, 5, 3, 5]
    assert {record["model"]["fc_dim"] for name, record in records.items() if "small" in name} == {8}
    assert [records[f"{name}-seed3"]["fit"]["lr"] for name in ("nerv", "small")] == [5e-4, 1e-3]
    means = {row["fit"]: row for row in json.loads((tmp_path / "out/means.json").read_text())}
    table = {row["fit"]: row for row in csv.DictReader((tmp_path / "t.csv").open())}
    for group in ("nerv", "small"):
        scores = [results[f"{group}-seed{seed}"]["psnr"] for seed in (3, 5)]
        assert len(set(scores)) == 2
        mean, deviation = statistics.mean(scores), statistics.stdev(scores)
        assert (means[group]["psnr"], means[group]["psnr_std"]) == pytest.approx((mean, deviation))
        assert (float(table[group]["psnr"]), float(table[group]["psnr_std"])) == pytest.approx((mean, deviation))
        assert int(table[group]["stored_numbers"]) == results[f"{group}-seed3"]["stored_numbers"]
        assert f"{mean:.2f} ± {deviation:.2f}" in printed
        assert f"{mean:.2f} ± {deviation:.2f}" in (tmp_path / "t.md").read_text()
    ((runs, shown),) = reported
    assert (len(runs), shown.rows) == (4, sorted(means.values(), key=lambda row: -row["psnr"]))
    for option, message in (
        (("--set", "other.fc_dim=8"), "a name of nerv, small, got 'other.fc_dim=8'"),
        (("--recipe", "tiny", "--recipe", "quick"), "one is for all fits, got tiny, quick"),
        (("--models", "a/b=nerv,nerv,small=nerv"), "'a/b' is no name"),
        (("--seed", "1"), "a seed or seeds"),
    ):
        assert message in cli("compare", "bunny", "--out", tmp_path / "no", *asked, *common, *option)[2]
    assert not (tmp_path / "no").exists()


def test_arrays_masks_and_where_frames_are_kept(tmp_path, cli):
    clip = ez.open_video("bunny", frames="0:3", resize="64x36")
    options = {"size": "60K", "epochs": 1, "batch_size": 3, "frames_in": "disk", "out": tmp_path, "device": "cpu"}
    options |= {"mask": np.tri(36, 64, dtype=bool), "fit_frames": "::2"}
    first = compare(clip, ["nerv"], **options)
    assert compare(clip, ["nerv"], **options) == first
    headings = [field.heading for field in comparison_table(first).fields]
    assert headings[1] == "PSNR (dB)"
    parts = {"PSNR, hidden pixels (dB)", "PSNR, unseen frames (dB)", "PSNR, hidden pixels, unseen frames (dB)"}
    assert parts < set(headings)
    assert "MS-SSIM, unseen frames" not in headings, "frames are too small for it"
    with pytest.raises(FitsFailed, match="another mask"):
        compare(clip, ["nerv"], **{**options, "mask": np.tri(36, 64, 9, dtype=bool)})
    asked = ["compare", "bunny", "--models", "nerv", "--epochs", 1, "--out", tmp_path / "no"]
    for option in ("--mask", "--reference"):
        _, _, error = cli(*asked, option, "nowhere.png")
        assert "nowhere.png" in error
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        ([], {}, ConfigError, "name each model to compare once, got none"),
        (["nerv", "nerv"], {}, ConfigError, "name each model to compare once, got nerv, nerv"),
        (["nerv"], {"size": ["60K", "60K"]}, ConfigError, "name each size to compare once"),
        (["nerv"], {"size": []}, ConfigError, "name each size to compare once, got none"),
        (["nerv", "henrv"], {}, ConfigError, r"unknown model 'henrv'\. Did you mean 'hnerv'"),
        (["nerv"], {"size": "big"}, ConfigError, "a size is a number"),
        (["nerv"], {"epoch": 3}, ConfigError, "Did you mean 'epochs'"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_fitted(tmp_path, models, options, error, message):
    with pytest.raises(error, match=message):
        compare("bunny", models, out=tmp_path / "out", **{**OPTIONS, **options})
    assert not (tmp_path / "out").exists()


def test_a_video_that_is_not_there(tmp_path):
    with pytest.raises(VideoError, match="no such file or folder"):
        compare("missing.mp4", ["nerv"], out=tmp_path / "out", **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_models_come_from_anywhere_and_share_a_device(tmp_path):
    results = compare("bunny", (name for name in ("nerv", "enerv")), size="60K", out=tmp_path, **OPTIONS)
    assert list(results) == ["nerv", "enerv"]
    with pytest.raises(ConfigError, match="mine: the fits of a comparison have one device"):
        compare("bunny", {"mine": {"model": "nerv", "device": "cpu"}}, size="60K", out=tmp_path, **OPTIONS)


def test_a_curve_has_sizes_and_no_other_options(tmp_path):
    with pytest.raises(ConfigError, match="several sizes; give sizes"):
        ez.rate_distortion("bunny", ["nerv"], size="60K", out=tmp_path)
    with pytest.raises(ConfigError, match="'epoch'"):
        ez.rate_distortion("bunny", [], epoch=3, codecs=["x264"], out=tmp_path)
