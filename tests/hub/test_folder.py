"""A network written to a folder and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError, EnervZooError

FORMATS = sorted((Path(__file__).parent / "fixtures").glob("format-*"), key=lambda path: path.name)


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: path.name)
def test_every_format_loads_for_ever(folder):
    """Each was written by the version that introduced it, beside the frames that it drew. Never write one again."""
    video = ez.load(folder)
    frames = load_file(folder / "frames.safetensors")["frames"]
    assert (video.info.name, video.info.attribution, video.info.fps) == ("tiny", "nobody, CC0", 23.976)
    torch.testing.assert_close(torch.cat(list(video.decode_float())), frames, rtol=0, atol=1e-5)


@pytest.fixture
def saved(tmp_path):
    video = ez.create_model("enerv", frames=3, height=35, width=62, size="60K").eval()
    return video, video.save_pretrained(tmp_path / "fit")


@pytest.mark.parametrize(
    ("name", "options"),
    [("enerv", {}), ("nerv", {"norm": "batch", "conv_type": "deconv"}), ("nerv", {"sin_res": False, "bias": False})],
)
def test_round_trip_is_exact(tmp_path, name, options):
    info = ez.VideoInfo(frames=3, height=35, width=62, fps=29.97, name="x", attribution="me")
    video = ez.create_model(name, info=info, size="80K", **options).eval()
    video.save_pretrained(tmp_path / "fit")
    again = ez.load(tmp_path / "fit")
    assert again.info == info
    assert again.config == video.config
    assert torch.equal(again(torch.arange(3)), video(torch.arange(3)))


def test_files_are_as_readable_as_any_other_and_nothing_else_is_left(saved):
    _, folder = saved
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert len({oct(p.stat().st_mode) for p in folder.iterdir()}) == 1


def edit(folder, change):
    data = json.loads((folder / "config.json").read_text())
    change(data)
    (folder / "config.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "holds no model.safetensors"),
        (lambda f: (f / "config.json").unlink(), "no fit is there"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x10"), "damaged or no safetensors file"),
        (lambda f: (f / "config.json").write_text("{"), "no JSON"),
        (lambda f: edit(f, lambda d: d.update(format=99)), "format 99 is not one that this version reads"),
        (lambda f: edit(f, lambda d: d["model"]["join"].update(channels=7)), "config and weights do not match"),
        (lambda f: edit(f, lambda d: d.pop("video")), "config.json: video: expected a mapping"),
        (lambda f: edit(f, lambda d: d["model"]["join"].update(nme=1)), "no option 'nme'"),
    ],
)
def test_damage_is_named(saved, damage, message):
    _, folder = saved
    damage(folder)
    with pytest.raises(EnervZooError, match=message):
        ez.load(folder)


def test_a_fit_that_has_not_ended_is_told_from_none(tmp_path):
    with pytest.raises(ConfigError, match=r"no fit is there \(no config\.json\)"):
        ez.load(tmp_path)
    (tmp_path / "fit.json").write_text("{}")
    with pytest.raises(ConfigError, match="a fit that has not ended; repeat its command to go on"):
        ez.load(tmp_path)


def test_what_is_here_has_no_revisions(saved):
    with pytest.raises(ConfigError, match="is here, and revisions are a repository's"):
        ez.load(saved[1], revision="main")


def test_tensors_missing_or_left_over_are_named(saved):
    _, folder = saved
    state = load_file(folder / "model.safetensors")
    save_file({**state, "extra": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(EnervZooError, match="the weights have too much: extra"):
        ez.load(folder)
    state.pop("head.conv.bias")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(EnervZooError, match=r"the weights lack head\.conv\.bias"):
        ez.load(folder)
