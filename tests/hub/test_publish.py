"""A manifest fitted and pushed to the Hub on this machine; again and again, and nothing is done twice."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

import enerv_zoo as ez
from enerv_zoo.batch import (
    FitJob,
    Job,
    Manifest,
    Publisher,
    jobs,
    manifest_jobs,
    read_manifest,
    run_batch,
    survey_batch,
)
from enerv_zoo.cli import main
from enerv_zoo.config import Recipe, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.hub import source
from enerv_zoo.hub.index import read_index
from enerv_zoo.parsing import parse_yaml
from enerv_zoo.recipes import bundled_files, list_recipes
from enerv_zoo.zoo import parse_parameter_count

from .conftest import TINY
from .server import Fault

ROOT = Path(ez.__file__).parent.parent
RECIPE = {
    "model": {"name": "enerv", **TINY},
    "fit": {"epochs": 2, "batch_size": 3, "checkpoint_every": 0},
    "video": {"frames": "0:3", "resize": "64x36"},
}
GROUPS = [
    {"videos": ["bunny"], "recipes": [RECIPE], "name": "{video}-tiny"},
    {"videos": ["bunny"], "models": ["nerv"], "sizes": ["60K"], "recipes": [RECIPE]},
]
NAMES = ["bunny-tiny", "bunny-nerv-60k"]


def manifest(**changes):
    return from_dict(Manifest, {"fits": GROUPS, "license": "cc-by-3.0", **changes})


@pytest.fixture
def fitted(monkeypatch):
    """The names of the fits that were begun, and whether they were resumed."""
    begun = []
    fit = jobs.fit

    def noted(*arguments, **options):
        begun.append((options["out"].name, options["resume"]))
        return fit(*arguments, **options)

    monkeypatch.setattr(jobs, "fit", noted)
    return begun


def run(out, owner="alice", groups=GROUPS, on_fit=lambda name: None):
    publisher = Publisher(out, owner) if owner else None
    jobs = manifest_jobs(manifest(fits=groups))
    return run_batch(jobs, out, device="cpu", publisher=publisher, on_fit=on_fit).rows


def test_once_and_again(client, fitted, tmp_path, monkeypatch):
    first = run(tmp_path)
    assert [(row["name"], row["fitting"], row["error"]) for row in first] == [(n, "fit", None) for n in NAMES]
    assert fitted == [(name, False) for name in NAMES]
    for row in first:
        commit = client.repositories[row["repository"]].at()
        assert row["url"].endswith(commit.sha)
        description = json.loads(commit.files["config.json"].data)
        assert (description["license"], description["fit"]["metrics"]["psnr"]) == ("cc-by-3.0", row["psnr"])
        assert b"enerv_zoo" in commit.files["README.md"].data
    assert read_index(tmp_path / "index.yaml") == {name: f"alice/{name}" for name in NAMES}
    monkeypatch.setattr(source, "INDEX", tmp_path / "index.yaml")
    assert len(ez.load("bunny-tiny")) == 3

    client.log.clear()
    summary = {tmp_path / "report.html", tmp_path / "summary.parquet"}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path not in summary}
    plan = survey_batch(manifest_jobs(manifest()), tmp_path, device="cpu", publisher=Publisher(tmp_path, "alice"))
    for rows in (plan, run(tmp_path)):
        assert [(row["fitting"], row["url"], row["psnr"]) for row in rows] == [
            ("nothing", row["url"], row["psnr"]) for row in first
        ]
    assert [row["pushing"] for row in plan] == ["nothing", "nothing"]
    assert client.log == []
    assert len(fitted) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_push_that_fails_is_reported_and_made_up_for(client, fitted, tmp_path):
    client.faults.append(Fault("POST /api/models/alice/bunny-tiny/commit", status=403))
    first = run(tmp_path)
    assert "not allowed" in first[0]["error"]
    assert (first[0]["state"], first[0]["psnr"] > 0) == ("failed", True)
    assert first[1]["error"] is None
    assert list(read_index(tmp_path / "index.yaml")) == [NAMES[1]]
    client.log.clear()
    again = run(tmp_path)
    assert [(row["fitting"], row["error"]) for row in again] == [("nothing", None), ("nothing", None)]
    assert client.asked("bunny-nerv") == []
    assert len(fitted) == 2
    assert set(read_index(tmp_path / "index.yaml")) == set(NAMES)


def test_killed_between_a_push_and_its_record(client, tmp_path):
    run(tmp_path, groups=GROUPS[:1])
    (tmp_path / "published.json").unlink()
    head = client.repositories["alice/bunny-tiny"].at().sha
    client.log.clear()
    (row,) = run(tmp_path, groups=GROUPS[:1])
    assert row["url"].endswith(head)
    assert client.asked("PUT") == client.asked("/commit/") == []


def test_a_fit_that_was_cut_off_goes_on(client, fitted, tmp_path, monkeypatch):
    monkeypatch.setattr("enerv_zoo.fitting.loop.STATUS_INTERVAL", 0.0)

    def stop(status):
        if status.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_fit=lambda name: stop)
    assert client.log == []
    jobs = manifest_jobs(manifest())
    todo = survey_batch(jobs, tmp_path, device="cpu", publisher=Publisher(tmp_path, "alice"))
    assert [(row["fitting"], row["pushing"]) for row in todo] == [("resume", "push"), ("fit", "push")]
    assert [row["error"] for row in run(tmp_path)] == [None, None]
    assert fitted == [(NAMES[0], False), (NAMES[0], True), (NAMES[1], False)]


def test_what_changed_is_pushed_again(client, tmp_path):
    run(tmp_path, groups=GROUPS[:1])
    (tmp_path / "bunny-tiny" / "README.md").write_text("---\nlibrary_name: enerv-zoo\n---\nMine.\n")
    assert run(tmp_path, groups=GROUPS[:1])[0]["fitting"] == "nothing"
    assert b"Mine." in client.repositories["alice/bunny-tiny"].at().files["README.md"].data
    run(tmp_path, groups=[{**GROUPS[0], "license": "cc0-1.0"}])
    assert json.loads(client.repositories["alice/bunny-tiny"].at().files["config.json"].data)["license"] == "cc0-1.0"
    (row,) = run(tmp_path, groups=[{**GROUPS[0], "fit": {"epochs": 7}}])
    assert "holds a fit with another recipe: epochs was" in row["error"]


def test_no_owner_no_network(client, tmp_path):
    assert [(row["url"], row["repository"]) for row in run(tmp_path, owner=None)] == [(None, None)] * 2
    assert client.log == []
    assert not (tmp_path / "index.yaml").exists()


def test_a_video_in_segments_has_a_repository_too(client, tmp_path):
    group = [{**GROUPS[1], "frames": "0:4", "segments": 2, "name": "long"}]
    rows = {row["name"]: row for row in run(tmp_path, groups=group)}
    assert list(rows) == ["long", "long/segment-00000", "long/segment-00001"]
    assert rows["long"]["url"].endswith(client.repositories["alice/long"].at().sha)
    assert [rows[name]["url"] for name in list(rows)[1:]] == [None, None]
    assert len(ez.load("alice/long")) == 4
    client.log.clear()
    again = run(tmp_path, groups=group)[0]
    assert (again["fitting"], again["url"], client.log) == ("nothing", rows["long"]["url"], [])


def test_other_names_of_an_index_stay(client, tmp_path):
    index = tmp_path / "names.yaml"
    index.write_text("# Names.\nold: bob/old@v1\n")
    publisher = Publisher(tmp_path / "out", "alice", index=index)
    run_batch(manifest_jobs(manifest())[:1], tmp_path / "out", device="cpu", publisher=publisher)
    assert index.read_text() == "# Names.\nbunny-tiny: alice/bunny-tiny\nold: bob/old@v1\n"


@pytest.fixture
def command(client, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    groups = [{"videos": ["missing.mp4"], "recipes": [RECIPE], "name": "missing"}, *GROUPS[:1]]
    Path("zoo.yaml").write_text(yaml.safe_dump({"owner": "alice", "fits": groups}))

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["enerv-zoo", "publish", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return command


def test_a_dry_run_does_nothing(command, client, tmp_path):
    code, out, _ = command("zoo.yaml", "--dry-run")
    assert code == 0
    rows = {words[0]: words for line in out.splitlines()[1:] if (words := line.split())}
    assert rows["missing"][:6] == ["missing", "missing.mp4", "enerv", "whole", "fit", "'missing.mp4':"]
    assert rows["bunny-tiny"] == ["bunny-tiny", "bunny", "enerv", "whole", "fit", "push", "alice/bunny-tiny"]
    assert client.log == []
    assert [path.name for path in tmp_path.iterdir()] == ["zoo.yaml"]


def test_the_command_goes_on_after_a_failure_and_ends_with_1(command):
    code, out, err = command("zoo.yaml", "--json")
    assert code == 1
    rows = json.loads(out)["fits"]
    assert [(row["name"], bool(row["url"])) for row in rows] == [("missing", False), ("bunny-tiny", True)]
    assert "error: 1 of 2 failed, first missing: " in err
    assert "no such file or folder" in err
    code, out, _ = command("zoo.yaml", "--dry-run")
    (row,) = (line.split() for line in out.splitlines() if line.startswith(" bunny-tiny "))
    assert (code, row[4:6]) == (0, ["nothing", "nothing"])


def test_no_owner_is_a_usage_error(command):
    code, _, err = command("bunny", "--dry-run")
    assert code == 2
    assert "bunny names no owner on the Hub; give --owner, or leave out --push" in err


def test_videos_times_models_times_sizes():
    group = {
        "videos": ["bunny", "My Clip.mp4"],
        "models": ["nerv", "enerv"],
        "sizes": ["60K", 80000],
        "resize": "64x36",
    }
    product = manifest_jobs(manifest(fits=[group], name="{video}.{model}-{size}_{resize}"))
    assert len(product) == 8
    recipe = Recipe(model={"name": "nerv", "size": 80000}, fit=product[0].fit.recipe.fit, video={"resize": "64x36"})
    assert product[5] == Job(FitJob("my-clip.nerv-80000_64x36", "My Clip.mp4", recipe), "cc-by-3.0")


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"vidoes": ["bunny"]}, r"entry 1 of 'fits': Group has no option 'vidoes'\. Did you mean 'videos'\?"),
        ({}, "option 'videos'"),
        ({"videos": []}, "option 'videos'"),
        ({"videos": ["bunny"], "fit": {"epoch": 3}}, r"has no option 'epoch'\. Did you mean 'epochs'"),
        ({"videos": ["bunny"], "models": ["nerf"]}, r"unknown model 'nerf'\. Did you mean 'nerv'"),
        ({"videos": ["bunny"], "models": ["nerv"], "sizes": ["big"]}, "a size is a number"),
        ({"videos": ["bunny"], "recipes": ["quik"]}, r"no recipe 'quik'.* Did you mean 'quick'"),
        ({"videos": ["bunny"], "recipes": [{"model": {"name": "nerv", "fc": 3}}]}, "model 'nerv' has no option 'fc'"),
        ({"videos": ["bunny"], "license": "all: mine"}, "a licence is named by its identifier"),
        ({"videos": ["bunny"], "name": "{video}-{size}"}, "needs a size, and this entry has none"),
        ({"videos": ["bunny"], "name": "{vidoe}"}, r"holds \{vidoe\}\. Did you mean 'video'"),
        ({"videos": ["bunny"], "name": "{video.parent}"}, "is no name"),
        ({"videos": ["bunny"], "name": "../{video}"}, "is no name"),
        ({"videos": ["bunny"], "name": "a--{video}"}, "is no name"),
        ({"videos": ["bunny", "x/bunny.mp4"], "name": "{video}"}, "two fits would be called 'bunny'"),
    ],
)
def test_a_manifest_that_means_nothing_is_refused_before_anything_is_done(group, message):
    with pytest.raises(ConfigError, match=message):
        manifest_jobs(manifest(fits=[group]))


def test_an_unknown_key_of_a_manifest(tmp_path):
    (tmp_path / "zoo.yaml").write_text("fits: []\nowners: alice\n")
    with pytest.raises(ConfigError, match=r"zoo\.yaml: Manifest has no option 'owners'\. Did you mean 'owner'"):
        read_manifest(tmp_path / "zoo.yaml")
    with pytest.raises(ConfigError, match=r"no manifest 'bunni'.* Did you mean 'bunny'"):
        read_manifest("bunni")


@pytest.mark.parametrize("name", bundled_files("zoo"))
def test_bundled_manifests_ask_for_networks_that_exist(name):
    bundled = read_manifest(name)
    assert bundled.description
    assert bundled.owner is None
    for job in manifest_jobs(bundled):
        options = dict(job.fit.recipe.model)
        if "size" in options:
            width, height = map(int, job.fit.recipe.video["resize"].split("x"))
            video = ez.create_model(options.pop("name"), frames=132, height=height, width=width, **options)
            assert video.stored_numbers == pytest.approx(parse_parameter_count(options["size"]), rel=0.02)


def test_manifests_are_no_recipes():
    assert "bunny" not in list_recipes()


def test_the_guides_manifest_means_what_it_says():
    text = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "sharing.md").read_text(), re.DOTALL)[1]
    jobs = manifest_jobs(from_dict(Manifest, parse_yaml(text)))
    assert len(jobs) == 2 * 2 * 2 + 1
    assert jobs[0].name == "bunny-enerv-0.5m"
    assert jobs[-1].name == "bunny-as-published"
