"""Several networks on one video: all of them, in every size, whatever becomes of one."""

from __future__ import annotations

import json

import pytest

import enerv_zoo as ez
from enerv_zoo.batch import FitsFailed, compare, jobs
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


def test_arrays_and_where_frames_are_kept(tmp_path):
    clip = ez.open_video("bunny", frames="0:3", resize="64x36")
    options = {"size": "60K", "epochs": 1, "batch_size": 3, "frames_in": "disk", "out": tmp_path, "device": "cpu"}
    first = compare(clip, ["nerv"], **options)
    assert compare(clip, ["nerv"], **options) == first


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
