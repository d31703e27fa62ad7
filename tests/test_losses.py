"""Losses beyond their golden values: options, sums, what is refused, and modules of the user's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from enerv_zoo.config import FitConfig, from_dict, to_dict
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.losses import SUMS, build_loss, lent, ready_loss
from enerv_zoo.metrics import ms_ssim, psnr, why_no_ms_ssim
from enerv_zoo.registry import losses


@pytest.mark.parametrize("name", [*SUMS, "L1", "L2", "SSIM", "MS_SSIM", "frequency"])
def test_equal_frames_have_no_loss(name):
    frames = torch.rand(2, 3, 176, 168)
    assert losses.get(name)(176, 168)(frames, frames.clone()).item() == pytest.approx(0, abs=1e-4)


def test_frames_too_small_are_refused_with_what_to_use_instead():
    with pytest.raises(
        ConfigError, match="MS-SSIM needs both sides longer than 160 pixels, the frames are 256x144; use"
    ):
        losses.get("Fusion10")(144, 256)
    with pytest.raises(ConfigError, match="SSIM needs both sides of at least 11 pixels, the frames are 64x10; use"):
        losses.get("Fusion6")(10, 64)
    assert losses.get("L1")(1, 1)(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)).item() == 1


def test_rmse_and_log_mse_are_means_over_frames():
    prediction = torch.stack([torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.01)])
    for name, expected in (("rmse", 0.055), ("log_mse", math.log(1e-3))):
        assert build_loss(name, 8, 8)(prediction, torch.zeros(2, 3, 8, 8)).item() == pytest.approx(expected, rel=1e-4)
        with pytest.raises(ConfigError, match="eps is more than 0, got 0"):
            build_loss({"name": name, "eps": 0.0}, 8, 8)


def test_log_mse_is_psnr_and_rmse_the_norm_of_each_frame():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(2, 4, 3, 9, 11, generator=generator)
    mean = psnr(prediction, target).mean().item()
    assert build_loss("log_mse", 9, 11)(prediction, target).item() == pytest.approx(-mean * math.log(10) / 10)
    norms = (prediction - target).flatten(1).norm(dim=1) / 297**0.5
    assert build_loss("rmse", 9, 11)(prediction, target).item() == pytest.approx(norms.mean().item())


@pytest.mark.parametrize("name", ["rmse", "log_mse"])
def test_exact_frames_have_a_gradient(name):
    frames = torch.rand(2, 3, 8, 8).requires_grad_()
    build_loss(name, 8, 8)(frames, frames.detach()).backward()
    assert not frames.grad.any()


def test_psnr_is_per_frame():
    target = torch.zeros(2, 3, 8, 8)
    prediction = torch.stack([torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.01)])
    torch.testing.assert_close(psnr(prediction, target), torch.tensor([20.0, 40.0]))
    assert torch.isinf(psnr(target, target)).all()


def test_ms_ssim_is_per_frame_and_knows_its_smallest_size():
    frames = torch.rand(2, 3, 161, 161)
    scores = ms_ssim(torch.stack([frames[0], frames[0]]), frames)
    assert scores[0].item() == pytest.approx(1)
    assert scores[1].item() < 0.5
    assert why_no_ms_ssim(161, 161) is None
    assert "160" in why_no_ms_ssim(160, 900)


# ---------------------------------------------------------------------- losses from plain data

SIDES = (176, 168)


def value_and_gradient(loss):
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(2, 2, 3, *SIDES, generator=generator)
    prediction.requires_grad_()
    value = build_loss(loss, *SIDES)(prediction, target)
    return value.detach(), torch.autograd.grad(value, prediction)[0]


def assert_same_bits(first, second):
    for one, other in zip(value_and_gradient(first), value_and_gradient(second), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", SUMS)
def test_a_name_a_spec_and_its_weights_are_the_same_to_the_bit(name):
    assert_same_bits(name, {"name": name})
    assert_same_bits(name, SUMS[name])


def test_the_order_of_terms_changes_no_bit():
    terms = {"L1": 42.0, "MS_SSIM": 18.0, "frequency": 1.0, "charbonnier": {"eps": 0.1, "weight": 3}}
    assert_same_bits(terms, dict(reversed(terms.items())))


def test_options_reach_the_loss_alone_and_in_a_sum():
    near, target = torch.full((1, 3, 16, 16), 0.5, requires_grad=True), torch.full((1, 3, 16, 16), 0.5)
    assert build_loss("charbonnier", 16, 16)(near, target).item() == pytest.approx(1e-3)
    assert build_loss({"name": "charbonnier", "eps": 0.25}, 16, 16)(near, target).item() == pytest.approx(0.25)
    total = {"charbonnier": {"weight": 2, "eps": 0.25}, "L1": 7}
    assert build_loss(total, 16, 16)(near, target).item() == pytest.approx(0.5)
    far = target + 0.6
    value = build_loss({"Fusion7": 2, "charbonnier": {"weight": 1, "eps": 0.8}}, 16, 16)(far, target)
    assert value.item() == pytest.approx(2 * (0.7 * 0.36 + 0.3 * 0.6) + 1)  # a sum may hold a sum, by its name


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("Fusion66", "unknown loss 'Fusion66'. Did you mean 'Fusion6'"),
        ({"name": "Fusion66"}, "unknown loss 'Fusion66'. Did you mean 'Fusion6'"),
        ({"L1": 0.7, "SIM": 0.3}, "unknown loss 'SIM'. Did you mean 'SSIM'"),
        ({"name": "charbonnier", "epps": 1}, "loss 'charbonnier' has no option 'epps'. Did you mean 'eps'"),
        ({"charbonnier": {"weight": 1, "epps": 1}}, "loss 'charbonnier' has no option 'epps'. Did you mean 'eps'"),
        ({"name": "L1", "SSIM": 0.3}, "loss 'L1' has no option 'SSIM'. Its options: none"),
        ({"name": "charbonnier", "eps": "small"}, "loss 'charbonnier': the option 'eps' is 'small', expected float"),
        ({"name": 1.0}, "unknown loss 'name'"),  # no text, and so the weight of a term
        ({"charbonnier": {"eps": 1}}, r"weights of terms \(\{L1: 0.7, SSIM: 0.3\}\), got \{'charbonnier'"),
        ({"L1": True}, "a loss is a name"),
        ({"L1": "0.7"}, "a loss is a name"),
        ({}, "a loss is a name"),
        (["L1"], "a loss is a name"),
        (3, "a loss is a name"),
        (None, "a loss is a name"),
        ({1: 0.5}, "a loss is a name"),
        ({"L1": float("nan")}, "more than finite numbers"),
        ({"name": "charbonnier", "eps": float("inf")}, "more than finite numbers"),
        ({"name": "charbonnier", "eps": torch.ones(1)}, "more than finite numbers"),
        ({"name": "charbonnier", "eps": "x" * 70_000}, "70[0-9]+ characters"),
    ],
)
def test_what_is_no_loss_is_refused_before_anything_is_read(loss, message):
    with pytest.raises(ConfigError, match=message):
        plan_fit("no-such-file.mp4", loss=loss)


def test_a_value_that_a_loss_refuses_is_named_with_it():
    with pytest.raises(ConfigError, match="loss 'charbonnier': eps is more than 0, got -1"):
        build_loss({"name": "charbonnier", "eps": -1}, 16, 16)
    with pytest.raises(ConfigError, match="loss 'MS_SSIM': MS-SSIM needs both sides longer than 160"):
        build_loss({"L1": 1, "MS_SSIM": 1}, 16, 16)


def test_a_loss_registered_as_if_it_need_not_be_built_says_what_it_is_called_with():
    def methods(prediction, target):
        return (prediction - target).abs().mean()

    def operators(prediction, target):
        return (prediction - target) ** 2

    losses.register("methods")(methods)
    losses.register("operators")(operators)
    with pytest.raises(ConfigError, match=r"loss 'methods' cannot be built with .*'int' object has no attribute"):
        build_loss("methods", 16, 16)
    with pytest.raises(ConfigError, match="loss 'operators': called with the height and width of frames, it gave int"):
        build_loss({"L1": 1, "operators": 1}, 16, 16)


def test_nesting_without_end_is_refused():
    loss = {"name": "L1"}
    for _ in range(5000):
        loss = {"name": "L1", "option": loss}
    with pytest.raises(ConfigError, match="more than finite numbers"):
        from_dict(FitConfig, {"loss": loss})


def test_a_record_holds_what_was_given():
    for loss in ("L1", {"name": "charbonnier", "eps": 0.1}, {"L1": 1, "charbonnier": {"weight": 0.5, "eps": 0.1}}):
        config = from_dict(FitConfig, {"loss": loss})
        assert to_dict(config)["loss"] == loss
        assert from_dict(FitConfig, to_dict(config)) == config


# ---------------------------------------------------------------------- losses in a fit


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.L1Loss(reduction="none"), r"the loss gave a tensor of \(1, 3, 4, 4\), expected a scalar tensor"),
        (lambda prediction, target: 0.5, "the loss gave float, expected a scalar tensor"),
        (lambda prediction, target: (prediction - target).detach().abs().mean(), "no gradient by the prediction"),
    ],
)
def test_what_cannot_be_minimised_says_so(loss, message):
    prediction, target = torch.rand(2, 1, 3, 4, 4)
    with pytest.raises(FitError, match=message):
        ready_loss(loss, torch.device("cpu"))(prediction.requires_grad_(), target)


def test_a_class_is_no_loss():
    with pytest.raises(ConfigError, match=r"the loss is the class L1Loss; give an object of it: loss=L1Loss\(\)"):
        plan_fit("bunny", loss=nn.L1Loss)


class Features(nn.Module):
    """Compares what a layer sees, and counts."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        self.layer.bias.requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, prediction, target):
        self.calls += 1
        return (self.layer(prediction) - self.layer(target)).abs().mean()


class Windowed(nn.Module):
    """Compares pixels under a window."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.ones(8))

    def forward(self, prediction, target):
        return (self.window * (prediction - target)).abs().mean()


PICKS = {"module": lambda module: module, "method": lambda module: module.forward}


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize("pick", PICKS)
def test_a_module_is_lent_to_the_device_and_given_back(pick):
    """There need be no GPU: fake tensors say where they would be."""
    with FakeTensorMode():
        module = Windowed()
        module.register_buffer("elsewhere", torch.ones(3, device="cuda"))
        with pytest.raises(RuntimeError, match="interrupted"), lent(PICKS[pick](module), "cuda"):
            assert [buffer.device.type for buffer in module.buffers()] == ["cuda", "cuda"]
            raise RuntimeError("interrupted")
        assert [buffer.device.type for buffer in module.buffers()] == ["cpu", "cuda"]


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("training", [True, False])
def test_a_lent_module_is_frozen_in_the_mode_it_is_in(pick, training):
    module = Features().train(training)
    parameters = {name: parameter.clone() for name, parameter in module.named_parameters()}
    prediction, target = torch.rand(2, 1, 3, 8, 8)
    with lent(PICKS[pick](module), "cpu"):
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert module.training is training
        module(prediction.requires_grad_(), target).backward()
    assert prediction.grad.abs().sum() > 0
    assert [parameter.requires_grad for parameter in module.parameters()] == [True, False]
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(parameter, parameters[name]) for name, parameter in module.named_parameters())
    assert module.calls == 1


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_a_registered_module_moves_with_the_fit_in_a_sum_too():
    losses.register("windowed")(lambda height, width: Windowed())
    with FakeTensorMode():
        for loss in ("windowed", {"L1": 1, "windowed": 0.5}):
            prediction, target = (torch.rand(1, 3, 8, 8, device="cuda") for _ in range(2))
            ready = ready_loss(build_loss(loss, 8, 8), torch.device("cuda"))
            value = ready(prediction.requires_grad_(), target)
            assert (value.device.type, value.shape) == ("cuda", ())
