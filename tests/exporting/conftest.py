"""Tiny networks of every family, and a quick exporter."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.onnx._internal.exporter import _registration

import enerv_zoo as ez
from enerv_zoo.zoo import model_config

INFO = ez.VideoInfo(frames=5, height=10, width=14, fps=12.5, name="tiny", attribution="somebody, CC0")


@pytest.fixture(autouse=True)
def _translations_read_once(monkeypatch):
    """Keep the exporter's table of operations, which it reads from its own sources at every call."""
    registry = _registration.ONNXRegistry
    monkeypatch.setattr(registry, "from_torchlib", staticmethod(_read_once))


_read_once = functools.cache(_registration.ONNXRegistry.from_torchlib)


def tiny(family, info=INFO, **options):
    """A network of a family whose frames are no plain grey: it is fitted to nothing, but wide in its values."""
    video = ez.NeuralVideo.seeded(model_config(family, info, **options), info, 0).eval()
    with torch.no_grad():
        for name, parameter in video.head.named_parameters():
            parameter.mul_(20 if name.endswith("weight") and "linear" not in name else 1)
    return video
