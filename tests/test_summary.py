"""What a network is made of, against totals that are known and against networks that are run."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import enerv_zoo as ez
from enerv_zoo.summary import summarize
from enerv_zoo.zoo import model_config

BUNNY = ez.VideoInfo(frames=132, height=720, width=1280)
TINY = ez.VideoInfo(frames=8, height=36, width=64)


def test_the_paper_s_network_has_its_known_totals():
    summary = summarize(model_config("enerv", BUNNY), BUNNY)
    assert summary.stored_numbers + summary.fixed_numbers == 12_490_602
    assert summary.macs == pytest.approx(151.6e9, rel=0.005)
    assert summary.parts[-1].outputs[-1] == (3, 720, 1280)


def test_a_convolution_counts_as_on_paper():
    summary = summarize(model_config("nerv", TINY), TINY)
    for stage in (part for part in summary.parts if part.role.startswith("stage")):
        (channels, height, width), (out, tall, _) = stage.inputs[0], stage.outputs[0]
        stride = tall // height
        assert stage.parts[0].macs == 9 * channels * out * stride**2 * height * width


@pytest.mark.parametrize("family", ez.list_models())
def test_every_family_adds_up_and_counts_what_a_real_frame_costs(family):
    config = model_config(family, TINY, size="517K" if family == "ffnerv" else "500K")
    summary = summarize(config, TINY)
    video = ez.NeuralVideo(config, TINY).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        video.head_outputs(torch.zeros(1), {})
    assert summary.macs + summary.macs_once == counter.get_total_flops() // 2 > 0
    assert sum(part.stored_numbers for part in summary.parts) == summary.stored_numbers == video.stored_numbers
    assert all(part.outputs for part in summary.parts)
    for part in summary.parts:
        assert sum(inner.macs for inner in part.parts) == (part.macs if part.parts else 0)


def test_what_is_the_same_for_every_frame_is_marked():
    summary = summarize(model_config("enerv", TINY), TINY)
    assert {part.path for part in summary.parts if part.once} == {"embeddings.space"}


def test_nothing_is_allocated():
    huge = ez.VideoInfo(frames=2, height=72_000, width=128_000)
    assert summarize(model_config("nerv", huge), huge).macs > 1e14
