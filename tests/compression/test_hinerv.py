"""Pruning and rounding by HiNeRV's rules, against its authors' masks, levels, scales and gradients."""

from __future__ import annotations

import json

import pytest
import torch

from enerv_zoo.fitting.noise import RoundedInPart
from enerv_zoo.interop import import_checkpoint
from enerv_zoo.interop.codebases import choose_codebase
from enerv_zoo.nvz import pruning
from enerv_zoo.nvz.quantisation import QuantSpec, levels_of, uniform_specs


@pytest.fixture
def values(golden):
    return golden("hinerv_compression")


@pytest.fixture
def video(values):
    return import_checkpoint(values.state, config=values.config, frames=25, height=80, width=120)


@pytest.fixture
def ours(values, video):
    """Return tensors of the authors' names and layout by ours."""
    code = choose_codebase("hinerv", values.config, values.state)

    def translate(prefix):
        return code.tensors(
            video, {k.removeprefix(prefix): t for k, t in values.tensors.items() if k.startswith(prefix)}
        )

    return translate


def test_masks_levels_and_scales_are_the_authors(values, video, ours):
    steps = json.loads(values.metadata["pruning"])["steps"]
    for number, step in enumerate(steps):
        masks = pruning.masks(video, (step["zeros"] + 0.5) / step["total"], size_weight=0.5)
        expected = ours(f"mask/{number}/")
        assert masks.keys() == expected.keys()
        assert all(torch.equal(mask, expected[name]) for name, mask in masks.items())
        pruning.prune(video.stored_parameters(), masks)
    assert pruning.masks(video, 0.1, size_weight=0.5).keys() == masks.keys(), "no weight comes back"
    for bits in (8, 7, 6):
        expected = ours(f"level/{bits}/")
        specs = uniform_specs(video, bits, "slice")
        weights = {name: tensor for name, tensor in video.named_parameters() if specs[name].along is not None}
        assert weights.keys() == expected.keys()
        prefix = f"scale/{bits}/"
        for name, tensor in values.tensors.items():
            if name.startswith(prefix):
                shape = values.tensors[name.replace("scale", "level")].shape
                values.tensors[name] = tensor.reshape(tensor.shape or (1,) * len(shape)).expand(shape)
        scales = ours(prefix)
        for name, tensor in weights.items():
            levels, step = levels_of(tensor.detach(), specs[name])
            assert torch.equal(levels.to(torch.int8), expected[name]), name
            assert torch.equal(step.half().expand_as(tensor), scales[name]), name


@pytest.mark.parametrize(("number", "bits"), [(0, 6), (1, 8)])
def test_a_weight_rounded_in_part_has_the_authors_gradient(values, number, bits):
    weight, x, uniform, output, gradient = (
        values.tensors[f"noise/{number}/{name}"] for name in ("weight", "x", "uniform", "output", "gradient")
    )
    axis = max(range(2), key=lambda axis: x.shape[axis])
    along = (axis,) if x.shape[axis] > 20 else ()
    part = RoundedInPart.of(x, QuantSpec(bits, along=along), uniform, 0.9)
    torch.testing.assert_close(part.values, output, rtol=1e-6, atol=0)
    torch.testing.assert_close(part.gradient(weight), gradient, rtol=1e-5, atol=1e-6)
