"""Compositions and tensors as the first format described them, written by the version that had it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from enerv_zoo.compatibility import current_name, current_names, read_model
from enerv_zoo.config import FitConfig, VideoInfo, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.zoo import model_config

CASES = json.loads((Path(__file__).parent / "fixtures" / "format1.json").read_text())
INFO = VideoInfo(frames=3, height=36, width=64)


@pytest.mark.parametrize("case", CASES)
def test_a_composition_is_what_its_family_makes_today(case):
    old = CASES[case]
    config = read_model(old["config"])
    assert config == read_model(to_dict(model_config(old["model"], INFO, **old["options"])))
    assert read_model(to_dict(config)) == config


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_finds_its_place(case):
    old = CASES[case]
    config = read_model(old["config"])
    tensors = current_names(config, old["tensors"])
    network = NeuralVideo(config, INFO)
    assert {name: tuple(shape) for name, shape in tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in network.state_dict().items()
    }
    assert current_names(config, tensors) == tensors, "today's names pass unchanged"


def test_a_name_that_no_step_has_is_left_alone():
    config = read_model(CASES["enerv"]["config"])
    for name in ("stages.9.before.mlp.0.weight", "stages.0.blocks.7.conv.weight", "head.conv.weight", "stages.x"):
        assert current_name(config, name) == name


def test_a_modulation_without_a_condition_is_refused():
    old = {**CASES["enerv"]["config"], "condition": None}
    with pytest.raises(ConfigError, match="x: the modulation 'temporal_affine' needs a condition"):
        read_model(old, "x")


def test_moments_of_the_optimiser_follow_their_tensors():
    """Blocks came before the modulations behind them; now each is beside its own."""
    config = read_model(CASES["nerv_boost"]["config"])
    frames = (torch.rand(3, 3, 36, 64) * 255).to(torch.uint8)

    def fitter(seed: int) -> Fitter:
        video = NeuralVideo.seeded(config, INFO, seed)
        return Fitter(video, FrameLoader(frames), FitConfig(epochs=2, batch_size=3, loss="L2", precision="float32"))

    first = fitter(0)
    first.fit_batch(torch.arange(3), frames)
    state = copy.deepcopy(first.state_dict())
    names = [name for name, _ in first.video.named_parameters()]
    old = {current_name(config, name): name for name in CASES["nerv_boost"]["tensors"]}
    order = [names.index(name) for name in old]
    assert order != sorted(order)
    state["model"] = {old[name]: state["model"][name] for name in old}
    moments = state["optimizer"]["state"]
    state["optimizer"] = {**state["optimizer"], "state": {i: moments[place] for i, place in enumerate(order)}}
    again = fitter(1)
    again.load_state_dict(state)
    for step in (first, again):
        step.fit_batch(torch.arange(3), frames)
    for (name, ours), theirs in zip(first.video.named_parameters(), again.video.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
