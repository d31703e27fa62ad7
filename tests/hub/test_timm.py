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


def test_a_folder(run_folder):
    video = timm.create_model(f"local-dir:{run_folder}", pretrained=True)
    assert torch.equal(video[:], ez.load(run_folder)[:])


def test_what_means_nothing_is_refused(run_folder):
    with pytest.raises(ConfigError, match="num_classes cannot be given here"):
        timm.create_model(f"local-dir:{run_folder}", num_classes=10)
    with pytest.raises(ConfigError, match="needs a fit"):
        timm.create_model("neural_video")
