"""Networks, losses and schedules against tensors computed with the authors' own code."""

from __future__ import annotations

import pytest
import torch

from enerv_zoo.interop import import_checkpoint
from enerv_zoo.interop.codebases import choose_codebase
from enerv_zoo.layers import Sine
from enerv_zoo.losses import SUMS, build_loss
from enerv_zoo.recipes import read_recipe
from enerv_zoo.registry import codebases, losses
from enerv_zoo.testing.golden import assert_draws, in_double

NETWORKS = {
    "nerv": "e-nerv",
    "nerv_bilinear_instancenorm": "e-nerv",
    "nerv_deconv_batchnorm": "e-nerv",
    "nerv_multiscale_softplus": "e-nerv",
    "nerv_stride_one_hardswish": "e-nerv",
    "nerv_original": "nerv",
    "enerv": "e-nerv",
    "enerv_deep_stem_swish": "e-nerv",
    "enerv_narrowing": "e-nerv",
    "enerv_shrinking": "e-nerv",
    "ffnerv": "ffnerv",
    "ffnerv_compact_8bit": "ffnerv",
    "hnerv": "hnerv",
    "hnerv_cells_sqrt": "hnerv",
    "hnerv_offset": "hnerv",
    "nerv_hnerv_codebase": "hnerv",
    "nerv_boost": "boosting-nerv",
    "enerv_boost": "boosting-nerv",
    "hnerv_boost": "boosting-nerv",
    "dnerv": "dnerv",
    "dnerv_deconv": "dnerv",
    "dnerv_swish": "dnerv",
    "hinerv": "hinerv",
    "hinerv_affine_scaled": "hinerv",
    "hinerv_deep_grid": "hinerv",
    "hinerv_more_cells_than_frames": "hinerv",
    "hinerv_option_subpixel": "hinerv",
    "hinerv_widths_kernels": "hinerv",
}


@pytest.mark.parametrize(("name", "codebase"), NETWORKS.items())
def test_network_reproduces_the_authors_outputs(golden, name, codebase):
    values = golden(name)
    height, width = values.outputs[-1].shape[-2:]
    video = import_checkpoint(
        values.state,
        codebase=None,
        config=values.config,
        frames=int(values.metadata["frames"]),
        height=height,
        width=width,
        content=values.tensors.get("input/frames"),
    )
    assert choose_codebase(None, values.config, values.state.keys()).options is codebases.get(codebase)().options
    assert_draws(video, values)
    for embedding, tolerance in (("embedding", 1e-5 if codebase == "dnerv" else 2e-6), ("difference", 1e-5)):
        if (expected := values.tensors.get(f"output/{embedding}")) is not None:
            name = "difference" if embedding == "difference" else next(iter(video.embeddings))
            embedded = video.embeddings[name](values.tensors["input/index"]).reshape(expected.shape)
            torch.testing.assert_close(embedded, expected, rtol=0, atol=tolerance)


def test_network_of_sines_is_built_as_configured_and_chaotic(golden):
    """sin(30 x) after every layer makes one bit of rounding in its first one a different picture in its last."""
    values = golden("nerv_two_layer_stem_sin")
    video = import_checkpoint(values.state, codebase="e-nerv", config=values.config, frames=8, height=48, width=64)
    assert [type(layer).__name__ for layer in video.join.mlp] == ["Linear", "Sine"] * 3
    assert {layer.frequency for layer in video.modules() if isinstance(layer, Sine)} == {30.0}
    index = values.tensors["input/index"]
    wide = in_double(video, index)[0]
    with torch.inference_mode():
        assert (video(index) - wide).abs().max() > 0.1


@pytest.mark.parametrize("name", ["ffnerv", "ffnerv_compact_8bit"])
def test_frames_are_refined_as_the_authors_do(golden, name):
    values = golden(name)
    height, width = values.outputs[0].shape[-2:]
    video = import_checkpoint(
        values.state, codebase="ffnerv", config=values.config, frames=6, height=height, width=width
    )
    with torch.inference_mode():
        independent, aggregated, _ = video.outputs(values.tensors["input/index"])
        between = video.outputs(values.tensors["input/fractional_index"])[0]
    for ours, theirs in (
        (independent, "independent"),
        (aggregated, "aggregated"),
        (between, "independent_fractional"),
    ):
        torch.testing.assert_close(ours, values.tensors[f"output/{theirs}"], rtol=0, atol=2e-6)


def test_time_and_encoding_are_the_authors(golden):
    values = golden("nerv_original")
    video = import_checkpoint(values.state, codebase="nerv", config=values.config, frames=8, height=48, width=64)
    encoded = video.embeddings["time"](values.tensors["input/index"])
    torch.testing.assert_close(encoded, values.tensors["input/encoded"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("window", [3, 5, 7, 11])
def test_windows_of_similarity_are_hinervs(golden, window):
    values = golden("hinerv_losses_and_schedules").tensors
    prediction, target = values["input/prediction"] / 255, values["input/target"] / 255
    suffix = "" if window == 11 else f"_{window}x{window}"
    for name, theirs in (("SSIM", "ssim"), ("MS_SSIM", "ms-ssim")):
        value = losses.get(name)(*prediction.shape[-2:], window=window)(prediction, target)
        torch.testing.assert_close(value[None], values[f"loss/{theirs}{suffix}"], rtol=2e-6, atol=0)


def test_loss_of_hinervs_recipe_reproduces_value_and_gradient(golden):
    values = golden("hinerv_losses_and_schedules").tensors
    frames, targets = (values[f"input/{name}"] / 255 for name in ("prediction", "target"))
    prediction, target = (torch.cat((each[..., :80, :96], each[..., -80:, -96:])) for each in (frames, targets))
    loss = build_loss(read_recipe("hinerv").fit["loss"], 80, 96)
    each = torch.stack([loss(*pair) for pair in zip(prediction.split(1), target.split(1), strict=True)])
    torch.testing.assert_close(each, values["output/training_loss"], rtol=2e-6, atol=0)
    loss(prediction.requires_grad_(), target).backward()
    gradient = prediction.grad
    torch.testing.assert_close(gradient.norm(), values["output/training_gradient_norm"], rtol=1e-5, atol=0)
    crop = values["output/training_gradient_crop"]
    torch.testing.assert_close(gradient[..., :12, :12], crop, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))


@pytest.mark.parametrize("name", ["L1", "L2", *SUMS])
def test_loss_reproduces_value_and_gradient(golden, name):
    values = golden("losses_and_schedules").tensors
    prediction = (values["input/prediction"] / 255).requires_grad_()
    target = values["input/target"] / 255
    value = losses.get(name)(*prediction.shape[-2:])(prediction, target)
    value.backward()
    torch.testing.assert_close(value.detach(), values[f"loss/{name}"], rtol=2e-6, atol=0)
    torch.testing.assert_close(prediction.grad.norm(), values[f"gradient_norm/{name}"], rtol=1e-4, atol=0)
