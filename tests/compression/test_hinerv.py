"""Pruning and rounding by HiNeRV's rules, against its authors' masks, levels, scales and gradients."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.coding import CodingHint
from enerv_zoo.compression.preview import preview_compression
from enerv_zoo.fitting.noise import RoundedInPart
from enerv_zoo.interop import import_checkpoint
from enerv_zoo.interop.codebases import choose_codebase
from enerv_zoo.nvz import open_nvz, pruning
from enerv_zoo.nvz.quantisation import QuantSpec, codable, coded, exact_spec, levels_of, rounded, uniform_specs


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
            if specs[name].along:
                written = coded(tensor, specs[name])
                assert torch.equal(torch.from_numpy(written.levels).to(torch.int8), expected[name]), name
                decoded = expected[name].float() * scales[name].float()
                torch.testing.assert_close(torch.from_numpy(written.values()), decoded, rtol=0, atol=3e-8 * 2**bits)


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


def test_a_file_has_the_levels_that_a_fit_rounded_to(tmp_path):
    phase = {"epochs": 1, "bits": 6, "scales": "slice", "rounded_share": 0.9, "prune": 0.15, "prune_size_weight": 0.5}
    ez.fit(
        "bunny", "hinerv", size="8K", frames="0:4", resize="64x36", epochs=1, loss="L2", lr=3e-3, phases=[phase],
        out=tmp_path / "fit",
    )  # fmt: skip
    fitted = codable(ez.load(tmp_path / "fit"))
    ez.compress(tmp_path / "fit", tmp_path / "one.nvz", measure=False)
    specs = uniform_specs(ez.load(tmp_path / "fit"), 6, "slice")
    encoded = open_nvz(tmp_path / "one.nvz").read(0).tensors
    sliced = [name for name, spec in specs.items() if spec.along]
    assert len(sliced) > 5
    for name in sliced:
        assert np.array_equal(encoded[name].levels, levels_of(fitted[name], specs[name])[0].int().numpy()), name
        assert (encoded[name].along, np.abs(encoded[name].levels).max()) == (specs[name].along, 31)
    again = ez.load(tmp_path / "one.nvz")
    for name, tensor in codable(again).items():
        assert torch.equal(tensor, rounded(fitted[name], specs[name])), name
    ez.compress(tmp_path / "one.nvz", tmp_path / "two.nvz", measure=False)
    twice = codable(ez.load(tmp_path / "two.nvz"))
    assert all(torch.equal(twice[name], tensor) for name, tensor in codable(again).items())
    size, twice_size = (sum(open_nvz(tmp_path / name).sizes.tensors[0].values()) for name in ("one.nvz", "two.nvz"))
    assert twice_size == pytest.approx(size, rel=0.01)
    assert preview_compression(tmp_path / "fit").file_bytes == pytest.approx(size, rel=0.05)


def test_levels_per_slice_are_recognised_where_they_have_a_factor_in_common():
    scales = torch.tensor([0.7, 1.3e-4, 2.0, 1.0]).half().float()
    levels = torch.tensor([[9, -3, 27], [2000, 0, 0], [1, 31, -32], [0, 0, 0]]).T.repeat(30, 1)
    tensor = levels * scales
    hint = CodingHint("weight", slices=((0,), (1,)))
    spec = exact_spec(tensor, hint)
    assert spec.along == (0,)
    assert torch.equal(torch.from_numpy(coded(tensor, spec).values()), tensor)
    assert np.abs(coded(tensor, spec).levels).max() <= 2000
    assert exact_spec(tensor + 1e-5 * torch.rand(90, 4), hint) is None
    assert exact_spec(tensor * torch.tensor([1.0003, 1, 1, 1]), hint) is None
