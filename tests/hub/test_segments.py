"""A video in segments as a repository: a folder per segment, pushed and read as it is, and never trusted."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from huggingface_hub import constants

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError, EnervZooError, HubError
from enerv_zoo.hub import download
from enerv_zoo.segmented import SegmentedVideo

OF_A_SEGMENT = ("config.json", "fit.json", "model.safetensors")
PARTS = {f"segment-{number:05d}/{name}" for number in (0, 1) for name in OF_A_SEGMENT}
FILES = PARTS | {"segments.json", "fit.json", "README.md", "preview.mp4", "sound.mp4"}
WEIGHTS = r"GET /[0-9a-f]{64}"


@pytest.fixture(scope="session")
def long_files(long_folder):
    """What a repository of the video in segments holds, at the least."""
    names = [name for name in PARTS if not name.endswith("fit.json")]
    return {name: (long_folder / name).read_bytes() for name in (*names, "segments.json")}


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_pushed_loaded_pulled_and_measured(client, cli, long_folder, tmp_path):
    ez.push(long_folder, "alice/long", license="cc-by-3.0")
    files = client.repositories["alice/long"].at().files
    assert set(files) == FILES | {".gitattributes"}
    metrics = json.loads((long_folder / "metrics.json").read_text())
    card = yaml.safe_load(files["README.md"].data.decode().split("---\n")[1])
    assert card["license"] == "cc-by-3.0"
    assert (card["enerv_zoo"]["frames"], card["enerv_zoo"]["stored_numbers"]) == (6, metrics["stored_numbers"])
    assert (card["enerv_zoo"]["psnr"], card["enerv_zoo"]["bpp"]) == pytest.approx((metrics["psnr"], metrics["bpp"]))
    assert json.loads(files["segment-00001/config.json"].data)["license"] == "cc-by-3.0"

    client.log.clear()
    code, out, _ = cli("info", "alice/long", "--json")
    assert code == 0
    assert not client.asked(r"/[0-9a-f]{64}|model\.safetensors"), "info needs no weights"
    assert len(client.asked(r"GET /api/models/alice/long")) == 1
    described = json.loads(out)
    assert (described["fitted"], described["weights_bytes"]) == (2, metrics["stored_bytes"])

    expected = ez.load(long_folder)[:]
    loaded = ez.load("alice/long")
    assert isinstance(loaded, SegmentedVideo)
    assert torch.equal(loaded[:], expected)
    theirs, ours = (json.loads(cli("eval", run, "--json")[1]) for run in ("alice/long", long_folder))
    assert theirs["frames"] == ours["frames"]
    assert ez.list_pretrained("long")[0].psnr == pytest.approx(metrics["psnr"])

    pulled = ez.pull("alice/long", tmp_path / "pulled")
    assert files_below(pulled) == FILES
    assert torch.equal(ez.load(pulled)[:], expected)
    client.log.clear()
    ez.push(pulled, "alice/long")
    assert client.asked("/commit/") == client.asked("PUT") == []  # nothing has changed, scores and licence included
    ez.pull("alice/long", pulled, overwrite=True)
    (pulled / "segment-00000" / "thesis.tex").write_text("mine")
    with pytest.raises(HubError, match=r"holds 'segment-00000/thesis\.tex', which no pull wrote"):
        ez.pull("alice/long", pulled, overwrite=True)


def test_a_page_and_a_file_of_a_repository(client, long_folder, tmp_path):
    ez.push(long_folder, "alice/long")
    page = ez.write_report("alice/long", tmp_path / "report.html")
    assert "6 frames of 64x36" in page.read_text()
    made = ez.compress("alice/long", tmp_path / "long.nvz", bits=8)
    assert made.psnr > made.psnr_before - 1
    assert ez.load(made.path).segments == ez.load(long_folder).segments


def test_what_is_in_memory_and_what_takes_its_place(client, long_folder, run_folder):
    """A repository holds one fit: what another one left there goes."""
    video = ez.load(long_folder)
    assert isinstance(video, SegmentedVideo)
    url = video.push_to_hub("alice/changing", commit_message="long")
    assert url.endswith(client.repositories["alice/changing"].at().sha)
    assert torch.equal(ez.load("alice/changing")[:], video[:])
    ez.push(run_folder, "alice/changing")
    left = client.repositories["alice/changing"].at().files
    assert not [name for name in left if name.startswith("segment")]
    assert len(ez.load("alice/changing")) == 3


def test_a_fit_that_is_pulled_keeps_its_scores(client, run_folder, tmp_path):
    ez.push(run_folder, "alice/bunny")
    pulled = ez.pull("alice/bunny", tmp_path / "pulled")
    client.log.clear()
    ez.push(pulled, "alice/bunny")
    assert client.asked("/commit/") == []


def test_without_a_network(client, long_files, monkeypatch):
    client.add("bob/long", long_files)
    frames = ez.load("bob/long")[:]
    client.log.clear()
    assert torch.equal(ez.load("bob/long", local_files_only=True)[:], frames)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(ez.load("bob/long")[:], frames)
    assert client.log == []


def test_segments_that_are_not_fitted_are_not_pushed(client, long_folder, tmp_path):
    folder = ez.load(long_folder).save_pretrained(tmp_path / "saved")
    for name in ("config.json", "model.safetensors"):
        (folder / "segment-00001" / name).unlink()
    with pytest.raises(ConfigError, match="1 of 2 segments are fitted, number 1 is not"):
        ez.push(folder, "alice/half")
    assert client.log == []


def test_no_other_file_is_asked_for(client, long_files, tmp_path):
    strange = {
        "segment-00000/modeling.py": b"import os",
        "segment-00000/../../evil.json": b"{}",
        "segment-00007/config.json": b"{}",
        "segment-1/config.json": b"{}",
        "segment-000000/config.json": b"{}",
        "segment-\u0660\u0660\u0660\u0660\u0661/config.json": b"{}",
        "x/segment-00000/config.json": b"{}",
    }
    client.add("bob/long", {**long_files, **strange})
    ez.pull("bob/long", tmp_path / "pulled")
    assert files_below(tmp_path / "pulled") == set(long_files)
    assert {line.split("/", 5)[5] for line in client.asked("/resolve/")} == set(long_files)


def changed_json(data, **values):
    return json.dumps({**json.loads(data), **values}).encode()


FIRST, SECOND = "segment-00000/", "segment-00001/"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({SECOND + "config.json": None}, r"holds 1 of 2 segments, segment-00001/config\.json is not there"),
        ({SECOND + "model.safetensors": None}, r"holds no segment-00001/model\.safetensors"),
        ({SECOND + "model.safetensors": b" " * (18 << 20)}, "has 18,874,368 bytes, its network at most"),
        ({SECOND + "config.json": b'{"model_type": "bert"}'}, "format None is not one"),
        ({SECOND + "config.json": b" " * (17 << 20)}, r"segment-00001/config\.json has 17,825,792 bytes"),
        ({SECOND + "fit.json": b'{"source": "/etc/passwd"}'}, "names a source that is no sample"),
        ({"fit.json": b'{"source": "http://127.0.0.1/x.mp4"}'}, "names a source that is no sample"),
        ({"segments.json": b"{}"}, "format None is not one"),
        ({"segments.json": b" " * (17 << 20)}, r"segments\.json has 17,825,792 bytes"),
        ({"segments.json": {"segments": [{"first": 0, "frames": 3}]}}, "1 segments of 3 frames in all"),
        (
            {"segments.json": {"segments": [{"first": 0, "frames": 6}]}},
            "segment 0 decodes to 3 frames of 64x36; expected 6",
        ),
        ({"segments.json": {"segments": [{"first": 0, "frames": 3}] * 2}}, "segment 1 begins at frame 0"),
        ({"segments.json": {"segments": [{"first": i, "frames": 1} for i in range(6)]}}, "holds 2 of 6 segments"),
        ({"segments.json": {"segments": [{"first": 0, "frames": 6, "folder": "../x"}]}}, "no option"),
    ],
)
def test_hostile_repositories_are_refused(client, long_files, change, message, tmp_path):
    files = dict(long_files)
    for name, data in change.items():
        if data is None:
            del files[name]
        else:
            files[name] = changed_json(files[name], **data) if isinstance(data, dict) else data
    client.add("bob/evil", files)
    with pytest.raises(EnervZooError, match=message) as caught:
        ez.pull("bob/evil", tmp_path / "pulled")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pulled").exists()
    late = any("fit.json" in name for name in change) or "decodes to" in message
    assert late or not client.asked(WEIGHTS), "refused before weights are downloaded"


def test_many_large_configs_are_refused_together(client, long_files, monkeypatch):
    monkeypatch.setattr(download, "LARGEST_TOGETHER", 1000)
    client.add("bob/evil", long_files)
    with pytest.raises(HubError, match=r"configs and records of segments have .* bytes; expected at most 1,000"):
        ez.load("bob/evil")
    assert not client.asked(r"resolve/.*segment-")
