"""Convolutions with their own gradient of the weights, as `torch.nn.functional` has them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import enerv_zoo as ez
from enerv_zoo.layers import convolution


def plain(x, weight, bias):
    return F.conv2d(x, weight, bias, padding=1)


def ours(x, weight, bias):
    return convolution.conv2d(x, weight, bias, padding=1)


@pytest.fixture
def tensors(monkeypatch):
    """Input, weight and bias of a convolution that counts as slow."""
    monkeypatch.setattr(convolution, "has_slow_gradients", lambda: True)
    monkeypatch.setattr(convolution, "LARGE", 0)
    torch.manual_seed(0)
    x = torch.randn(2, 5, 9, 7).to(memory_format=torch.channels_last)
    return [each.requires_grad_() for each in (x, torch.randn(6, 5, 3, 3), torch.randn(6))]


def gradients(conv, tensors):
    return torch.autograd.grad(conv(*tensors).square().sum(), [each for each in tensors if each.requires_grad])


def curvature(conv, tensors):
    slope = torch.autograd.grad(conv(*tensors).pow(3).sum(), tensors[1], create_graph=True)[0]
    return torch.autograd.grad(slope.square().sum(), tensors)


def of_function(conv, tensors):
    return [torch.func.grad(lambda weight: conv(tensors[0], weight, tensors[2]).square().sum())(tensors[1])]


def forward_mode(conv, tensors):
    x, weight, bias = tensors
    return [
        torch.func.jvp(lambda each: conv(each, weight, bias), (x,), (torch.ones_like(x),))[1],
        torch.func.jvp(lambda *each: conv(x, *each), (weight, bias), (weight.cos(), bias.cos()))[1],
    ]


def of_many(conv, tensors):
    return [torch.func.vmap(lambda each: conv(each[None], *tensors[1:]))(tensors[0])]


@pytest.mark.parametrize("derivative", [gradients, curvature, of_function, forward_mode, of_many])
def test_derivatives_are_those_of_pytorch(tensors, derivative):
    assert "_Convolution" in type(ours(*tensors).grad_fn).__name__
    for found, expected in zip(derivative(ours, tensors), derivative(plain, tensors), strict=True):
        scale = expected.abs().max()
        torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_tensor_that_is_not_fitted_has_no_gradient(tensors, number):
    tensors[number] = tensors[number].detach()
    for found, expected in zip(gradients(ours, tensors), gradients(plain, tensors), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_small_and_unfitted_convolutions_are_pytorchs(tensors, monkeypatch):
    with torch.no_grad():
        assert torch.equal(ours(*tensors), plain(*tensors))
    with torch.autocast("cpu", torch.bfloat16):
        assert "_Convolution" not in type(ours(*tensors).grad_fn).__name__
    monkeypatch.setattr(convolution, "LARGE", 2 * 5 * 9 * 7 * 6 * 9 + 1)
    assert "_Convolution" not in type(ours(*tensors).grad_fn).__name__


@pytest.mark.parametrize("family", ["enerv", "hnerv_boost", "pca_nerv"])
def test_networks_have_the_same_gradients_with_it(family, monkeypatch):
    video = ez.create_model(family, frames=4, height=36, width=64).to(memory_format=torch.channels_last).train()
    frames = torch.rand(2, 3, 36, 64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(convolution, "LARGE", 0)

    def computed(slow):
        monkeypatch.setattr(convolution, "has_slow_gradients", lambda: slow)
        video.zero_grad()
        objective, _ = video.objective(torch.tensor([0, 2]), frames, F.mse_loss, None, None)
        objective.backward()
        return {name: parameter.grad for name, parameter in video.named_parameters() if parameter.grad is not None}

    torch.testing.assert_close(computed(True), computed(False), rtol=1e-3, atol=1e-6)
