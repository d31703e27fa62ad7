"""Manifests as tables, and their products: videos x models x sizes x recipes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyarrow import parquet

from enerv_zoo.batch import Publisher, manifest_jobs, read_manifest
from enerv_zoo.batch.manifest import Manifest
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.errors import ConfigError

TABLE = """format,video,model,size,epochs,betas,frames,resize,segments,name
2,bunny,nerv,60K,3,"[0.9, 0.99]",0:53,64x36,,
2,bunny,enerv,,,,,,,plain
2,bunny,nerv,1.50M,,,,,8,long
"""
ROWS = [
    {"video": "bunny", "model": "nerv", "size": "60K", "epochs": 3, "betas": [0.9, 0.99], "frames": "0:53",
     "resize": "64x36", "format": 2},
    {"video": "bunny", "model": "enerv", "name": "plain"},
    {"video": "bunny", "model": "nerv", "size": "1.50M", "segments": "8", "name": "long"},
]  # fmt: skip


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    path = tmp_path / f"clips.{request.param}"
    if request.param == "csv":
        path.write_text(TABLE)
    else:
        parquet.write_table(
            pa.Table.from_pylist([{**dict.fromkeys({k for r in ROWS for k in r}), **row} for row in ROWS]), path
        )
    return path


def test_a_row_is_a_fit(table):
    first, plain, long = manifest_jobs(read_manifest(table))
    assert first.name == "bunny-nerv-60k"
    assert first.fit.recipe.fit["epochs"] == 3
    assert first.fit.recipe.fit["betas"] == [0.9, 0.99]
    assert first.fit.recipe.video == {"frames": "0:53", "resize": "64x36"}
    assert (plain.name, plain.fit.recipe.model) == ("plain", {"name": "enerv"})
    assert isinstance(long.fit, SegmentsJob)
    assert (long.name, long.fit.segments, long.fit.plan.model["size"]) == ("long", "8", "1.50M")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model\nnerv\n", "needs a column 'video'"),
        ("video,model\nbunny,nerv\n,enerv\n", "row 2 has none"),
        ("video\n", "it has no rows"),
        ("video,epoch\nbunny,3\n", r"entry 1 of 'fits'.*no option 'epoch'\. Did you mean 'epochs'"),
        ("video,epochs\nbunny,many\n", "'epochs'.*got 'many'"),
        ("video,segments\nbunny,ten\n", "segments are auto"),
        ("video,model\nbunny,nerv\nbunny,nerv\n", "two fits would be called 'bunny-nerv'"),
        ('video,name\n"bunny,x\n', "cannot be read"),
        ("video,size,model,size\nbunny,60K,nerv,1M\n", "the column 'size' is given 2 times"),
        ("video,epochs,time_budget\nbunny,3,60\n", r"entry 1 of 'fits'.*got epochs=3 and time_budget=60"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "clips.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        manifest_jobs(read_manifest(path))


def test_a_parquet_file_that_is_none(tmp_path):
    path = tmp_path / "clips.parquet"
    path.write_bytes(b"PAR1 not")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_manifest(path)


def test_a_parquet_column_is_there_once(tmp_path):
    parquet.write_table(pa.table([["bunny"], ["60K"], ["1M"]], ["video", "size", "size"]), tmp_path / "clips.parquet")
    with pytest.raises(ConfigError, match="the column 'size' is given 2 times"):
        read_manifest(tmp_path / "clips.parquet")


def test_a_row_that_is_too_long_is_named(tmp_path):
    (tmp_path / "clips.csv").write_text("video,size\nbunny,60K\nbunny,60K,36,64\n")
    with pytest.raises(ConfigError, match="row 2 has more cells than the header has columns"):
        read_manifest(tmp_path / "clips.csv")


def test_several_recipes_are_told_apart_by_name():
    entry = {"videos": ["bunny"], "models": ["nerv", "enerv"], "recipes": ["quick", "balanced"]}
    jobs = manifest_jobs(Manifest((entry,)))
    assert [job.name for job in jobs] == [
        "bunny-nerv-0.5m-quick",
        "bunny-nerv-1.5m-balanced",
        "bunny-enerv-0.5m-quick",
        "bunny-enerv-1.5m-balanced",
    ]
    assert manifest_jobs(Manifest(({**entry, "models": [], "recipes": ["quick"]},)))[0].name == "bunny-enerv-0.5m"


def test_publish_fits_no_segments(tmp_path):
    jobs = manifest_jobs(Manifest(({"videos": ["bunny"], "segments": 2},)))
    assert "one network for each repository" in Publisher(tmp_path, "user").survey(jobs)[0].error
    with pytest.raises(ConfigError, match="leave out 'segments'"):
        list(Publisher(tmp_path, "user").publish(jobs))
