"""Manifests as tables, and their products: videos x models x sizes x recipes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import enerv_zoo
from enerv_zoo.batch import Publisher, manifest_jobs, read_manifest, run_batch, survey_batch
from enerv_zoo.batch.manifest import Manifest
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.parsing import parse_yaml

ROOT = Path(enerv_zoo.__file__).parent.parent
OLD_ID = "e3c7edf66efdc5d9775b325f0428d57f"
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


def test_a_name_that_is_too_long_for_a_file_is_refused_where_it_is_opened():
    (job,) = manifest_jobs(Manifest(({"videos": ["a" * 3000], "models": ["nerv"], "name": "x"},)))
    with pytest.raises(VideoError, match=r"cannot be looked up .*give another path"):
        enerv_zoo.open_video(job.fit.source)


def test_several_recipes_are_told_apart_by_name():
    entry = {"videos": ["bunny"], "models": ["nerv", "enerv"], "recipes": ["quick", "balanced"]}
    jobs = manifest_jobs(Manifest((entry,)))
    assert [job.name for job in jobs] == [
        "bunny-nerv-0.5m-quick",
        "bunny-nerv-1.5m-balanced",
        "bunny-enerv-0.5m-quick",
        "bunny-enerv-1.5m-balanced",
    ]
    assert manifest_jobs(Manifest(({**entry, "models": [], "recipes": ["quick"]},)))[0].name == "bunny-pca_nerv-0.5m"


def test_fits_at_an_address_are_not_pushed_and_take_a_cluster():
    jobs = manifest_jobs(Manifest(({"videos": ["bunny"], "frames": "0:2"},)))
    with pytest.raises(ConfigError, match="only fits in a folder can be pushed"):
        run_batch(jobs, "memory://fits", publisher=Publisher("memory://fits", "user"))
    with pytest.raises(ConfigError, match="only a Ray cluster fits into an address"):
        run_batch(jobs, "memory://fits")
    assert survey_batch(jobs, "memory://fits")[0]["fitting"] is None


def names(*entries, **options):
    return [job.name for job in manifest_jobs(Manifest(entries, **options))]


def test_seeds_and_inline_recipes_are_fits_of_their_own():
    recipes = [{"name": "fast", "fit": {"epochs": 3}}, {"name": "Long One", "fit": {"epochs": 9}}, "quick"]
    entry = {"video": "bunny", "model": "nerv", "size": "60K", "recipes": recipes, "seeds": [0, 7]}
    jobs = manifest_jobs(Manifest((entry,)))
    assert [job.name for job in jobs] == [
        f"bunny-nerv-60k-{recipe}-seed{seed}" for recipe in ("fast", "long-one", "quick") for seed in (0, 7)
    ]
    assert [job.fit.recipe.fit["seed"] for job in jobs] == [0, 7] * 3
    assert [job.fit.recipe.fit["epochs"] for job in jobs][:4] == [3, 3, 9, 9]
    assert len({job.fit.id for job in jobs}) == 6
    assert names({**entry, "recipes": ["quick"], "seeds": [7]}) == ["bunny-nerv-60k"]
    assert names({**entry, "recipes": ["quick"], "name": "{video}-s{seed}"}) == ["bunny-s0", "bunny-s7"]


def test_a_mask_and_a_reference_for_each_video(tmp_path):
    entry = {"videos": ["a.mp4", "bunny"], "mask": "masks/{video}.png", "reference": "clean/{video}", "model": "nerv"}
    fits = [job.fit for job in manifest_jobs(Manifest(fits=(entry, {**entry, "name": "x-{video}", "segments": 2})))]
    assert [fit.whole.mask for fit in fits] == ["masks/a.png", "masks/bunny.png"] * 2
    assert [fit.whole.reference for fit in fits] == ["clean/a", "clean/bunny"] * 2
    (tmp_path / "noisy.csv").write_text("video,model,reference\nbunny,nerv,7\n")
    (job,) = manifest_jobs(read_manifest(tmp_path / "noisy.csv"))
    assert job.fit.reference == "7"


def test_one_value_stands_for_a_list_of_it():
    one = {"video": "bunny", "model": "nerv", "size": "60K", "recipe": {"fit": {"epochs": 3}}, "seed": 5}
    lists = {"videos": ["bunny"], "models": ["nerv"], "sizes": ["60K"], "recipes": [one["recipe"]], "seeds": [5]}
    assert manifest_jobs(Manifest((one,))) == manifest_jobs(Manifest((lists,)))
    by_fit = {**{key: one[key] for key in ("video", "model", "size", "recipe")}, "fit": {"seed": 5}}
    assert manifest_jobs(Manifest((by_fit,))) == manifest_jobs(Manifest((one,)))


def test_a_seed_in_a_table_is_the_recipes(tmp_path):
    (tmp_path / "clips.csv").write_text("video,model,seed,recipe\nbunny,nerv,5,quick\n")
    (job,) = manifest_jobs(read_manifest(tmp_path / "clips.csv"))
    assert (job.name, job.fit.recipe.fit["seed"]) == ("bunny-nerv-0.5m", 5)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"video": "bunny", "videos": ["bunny"]}, "it gives 'video' and 'videos'; keep one of them"),
        ({"video": "bunny", "seeds": [1], "fit": {"seed": 2}}, "it gives 'seeds' and a 'seed' in 'fit'"),
        ({"video": "bunny", "seeds": ["one"]}, "option 'seeds.0'.*got 'one'"),
        ({"video": "bunny", "seeds": [-1]}, "seed"),
        ({"video": "bunny", "seeds": [1, 1]}, "two fits would be called 'bunny-enerv-seed1'"),
        ({"video": "bunny", "recipes": [{}, {}]}, "give the entry, or its inline recipes, a name"),
        ({"video": "bunny", "recipe": {"name": "x", "epochs": 3}}, "Recipe has no option 'epochs'"),
        ({"video": "bunny", "recipe": {"fit": {"epoch": 3}}}, "Did you mean 'epochs'"),
        ({"video": "bunny", "recipe": [{"fit": {}}]}, "option 'recipes.0"),
        ({"video": "bunny", "recipes": [{"name": "a"}, {"name": "../.."}]}, "is no name"),
        ({"video": "bunny", "recipes": [{"name": "a"}, {"name": "x" * 200}]}, "is no name"),
        ({"video": ["bunny"]}, "option 'videos.0'"),
        ({"video": "bunny", "fit": {"resize": "64x36"}}, "fit has no option 'resize'. It stands beside 'fit'."),
        ({"video": "bunny", "fit": {"model": "nerv"}}, "fit has no option 'model'. It stands beside 'fit'."),
        ({"video": "bunny", "fit": {"device": "cpu"}}, "fit has no option 'device'.* Its options: "),
        ({"video": "bunny", "fit": {"epoch": 3}}, "fit has no option 'epoch'. Did you mean 'epochs'"),
        (
            {"video": "bunny", "seeds": list(range(2000)), "sizes": list(range(1, 2000))},
            "up to 1,000,000 fits, .* 3,998,000",
        ),
        ([], "option 'fits.0': input should be a valid dictionary"),
    ],
)
def test_an_entry_that_cannot_be_meant(tmp_path, entry, message):
    path = tmp_path / "zoo.yaml"
    path.write_text(json.dumps({"format": 2, "fits": [entry]}))
    with pytest.raises(ConfigError, match=message):
        manifest_jobs(read_manifest(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: 99\nfits: [{video: bunny}]\n", "format 99 is not one that this version reads"),
        ("fits: [{video: &a [*a]}]\n", "repeat parts too often"),
        ("fits: !!python/object/apply:os.system [ls]\n", "neither JSON nor YAML"),
        ("fits: {video: bunny}\n", "option 'fits'"),
        ("fits: []\n", "option 'fits'"),
        ("fits: [{video: bunny, video: x}]\n", "the key 'video' is given twice"),
        ("- video: bunny\n", "expected a mapping"),
    ],
)
def test_a_file_that_is_no_manifest(tmp_path, text, message):
    path = tmp_path / "zoo.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        manifest_jobs(read_manifest(path))


def test_the_guides_manifest_means_what_it_says():
    text = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "fleet.md").read_text(), re.DOTALL)[1]
    assert names(*parse_yaml(text)["fits"])[8:] == [
        *(f"bunny-nerv-0.5m-{recipe}-seed{seed}" for recipe in ("short", "long") for seed in (0, 1, 2)),
        *("holiday-in-segments", "a-pca_nerv", "b-pca_nerv"),
    ]


def test_manifests_of_format_1_are_the_same_jobs_for_ever(tmp_path):
    """Ids and names as the version that wrote them had them."""
    (tmp_path / "zoo.yaml").write_text(
        "fits:\n- {videos: [bunny], models: [nerv], sizes: [60K], recipes: [{fit: {epochs: 3}}], resize: 36x64,\n"
        '   name: "{video}-{resize}"}\n'
    )
    (job,) = manifest_jobs(read_manifest(tmp_path / "zoo.yaml"))
    assert (job.name, job.fit.recipe.video) == ("bunny-36x64", {"resize": "64x36"})
    assert job.fit.id == OLD_ID
