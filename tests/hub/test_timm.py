"""timm reaches fits through its own registry, and only if asked to."""

from __future__ import annotations

import pytest
import timm
import torch

import enerv_zoo as ez
import enerv_zoo.interop.timm
from enerv_zoo.errors import ConfigError


def test_a_repository(client, run_folder):
    ez.push(run_folder, "alice/bunny")
    first = client.repositories["alice/bunny"].at().sha
    video = timm.create_model("hf-hub:alice/bunny", pretrained=True)
    assert torch.equal(video[:], ez.load(run_folder)[:])
    other = ez.load(run_folder)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other.push_to_hub("alice/bunny")
    assert torch.equal(timm.create_model(f"hf-hub:alice/bunny@{first}", pretrained=True)[:], video[:])
    assert torch.equal(timm.create_model("hf-hub:alice/bunny", pretrained=True)[:], other[:])
    fresh = timm.create_model("hf-hub:alice/bunny")
    assert fresh.config == video.config
    assert not torch.equal(fresh.eval()[:], video[:])


def test_a_folder_of_that_name_is_another_fit(client, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ez.push(run_folder, "alice/bunny")
    other = ez.create_model("nerv", frames=2, height=36, width=64, size="5K")
    other.save_pretrained("alice/bunny")
    assert timm.create_model("hf-hub:alice/bunny", pretrained=True).config.family == "enerv"
    assert timm.create_model("local-dir:alice/bunny", pretrained=True).config.family == "nerv"


def test_a_folder(run_folder):
    video = timm.create_model(f"local-dir:{run_folder}", pretrained=True)
    assert torch.equal(video[:], ez.load(run_folder)[:])


def test_what_means_nothing_is_refused(run_folder):
    with pytest.raises(ConfigError, match="num_classes cannot be given here"):
        timm.create_model(f"local-dir:{run_folder}", num_classes=10)
    with pytest.raises(ConfigError, match="needs a fit"):
        timm.create_model("neural_video")
