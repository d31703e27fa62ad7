"""SSIM and MS-SSIM, own and of pytorch_msssim: equal to it and to each other, and chosen by device and size."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import pytorch_msssim
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import enerv_zoo.ssim as module
from enerv_zoo.ssim import ms_ssim, ssim
from enerv_zoo.video import open_video

MEASURES = {"ssim": (ssim, pytorch_msssim.ssim), "ms_ssim": (ms_ssim, pytorch_msssim.ms_ssim)}
SIZES = {
    "ssim": [(1, 11, 11), (1, 12, 37), (2, 144, 256), (3, 63, 50)],
    "ms_ssim": [(1, 161, 161), (2, 176, 203), (1, 180, 320)],
}
CASES = [(measure, *size) for measure, sizes in SIZES.items() for size in sizes]


def pair(content: str, batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames and a disturbed copy of them."""
    if content == "film":
        target = open_video("bunny", frames=f"0:{batch}", resize=f"{height}x{width}").frames / 255
        blurred = torch.nn.functional.avg_pool2d(target, 3, 1, 1, count_include_pad=False)
        return (0.97 * blurred + 0.01).clamp(0, 1), target
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(batch, 3, height, width, generator=generator)
    return (target + 0.3 * torch.randn(target.shape, generator=generator)).clamp(0, 1), target


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("content", ["noise", "film"])
@pytest.mark.parametrize(("measure", "batch", "height", "width"), CASES)
def test_value_and_gradient_are_those_of_pytorch_msssim(measure, batch, height, width, content, layout):
    ours, theirs = MEASURES[measure]
    prediction, target = pair(content, batch, height, width)
    first = prediction.clone(memory_format=layout).requires_grad_()
    second = prediction.clone().requires_grad_()
    value = ours(first, target)
    reference = theirs(second, target, data_range=1, size_average=False)
    assert value.shape == (batch,)
    torch.testing.assert_close(value, reference, rtol=0, atol=1e-6)
    value.sum().backward()
    reference.sum().backward()
    assert (first.grad - second.grad).norm() <= 1e-4 * second.grad.norm()


@pytest.mark.parametrize("measure", MEASURES)
def test_float32_is_as_exact_as_pytorch_msssim(measure):
    ours, theirs = MEASURES[measure]
    prediction, target = pair("film", 1, 180, 320)
    gradients = []
    for function, x, y in (
        (lambda x, y: theirs(x, y, data_range=1), prediction.double(), target.double()),
        (lambda x, y: theirs(x, y, data_range=1), prediction, target),
        (ours, prediction, target),
    ):
        x.requires_grad_()
        gradients.append(torch.autograd.grad(function(x, y).sum(), x)[0].double())
    exact, their_error, our_error = gradients[0], *((g - gradients[0]).norm() for g in gradients[1:])
    assert our_error <= max(1.5 * their_error, 1e-6 * exact.norm())


@pytest.mark.parametrize("size", [(13, 12), (12, 9), (4, 5)])
def test_gradient_is_that_of_finite_differences(size):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 1, 2, *size, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(lambda x: ssim(x, y), x.requires_grad_())


def test_gradient_of_ms_ssim_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(1, 1, 163, 161, dtype=torch.float64, generator=generator)
    x = (y + 0.2 * torch.rand(y.shape, dtype=torch.float64, generator=generator)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ms_ssim(x, y), x, fast_mode=True)


@pytest.mark.filterwarnings("ignore:Skipping Gaussian Smoothing")
@pytest.mark.parametrize("size", [(9, 16), (16, 9), (9, 10)])
def test_sides_shorter_than_the_window_are_not_filtered(size):
    prediction, target = pair("noise", 2, *size)
    reference = pytorch_msssim.ssim(prediction, target, data_range=1, size_average=False)
    torch.testing.assert_close(ssim(prediction, target), reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("implementation", ["own", "package"])
@pytest.mark.parametrize("measure", MEASURES)
def test_autocast_and_half_precision_do_not_round(measure, implementation, monkeypatch):
    if implementation == "package":
        use_package_everywhere(monkeypatch)
    function, _ = MEASURES[measure]
    prediction, target = pair("film", 1, 180, 320)
    rounded = prediction.bfloat16().requires_grad_()
    kept = rounded.detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        under = function(rounded, target).sum()
        under.backward()
    plain = function(kept, target).sum()
    plain.backward()
    assert under.dtype == torch.float32
    assert under.item() == plain.item()
    assert torch.equal(rounded.grad, kept.grad.bfloat16())


@pytest.mark.parametrize("measure", MEASURES)
def test_equal_frames_score_one_and_opposite_contrast_counts_as_none(measure):
    function, _ = MEASURES[measure]
    _, frames = pair("noise", 2, 176, 168)
    torch.testing.assert_close(function(frames, frames.clone()), torch.ones(2))
    opposite = (1 - frames).requires_grad_()
    score = function(opposite, frames)
    assert (score <= 0).all()
    score.sum().backward()
    assert torch.isfinite(opposite.grad).all()


@pytest.mark.parametrize("implementation", ["own", "package"])
@pytest.mark.parametrize("measure", MEASURES)
def test_target_has_no_gradient_and_says_so(measure, implementation, monkeypatch):
    if implementation == "package":
        use_package_everywhere(monkeypatch)
    prediction, target = pair("noise", 1, 176, 168)
    target.requires_grad_()
    with pytest.raises(ValueError, match="detach it"):
        MEASURES[measure][0](prediction, target)
    with torch.no_grad():
        assert MEASURES[measure][0](prediction, target).shape == (1,)


def test_frames_need_no_gradient():
    prediction, target = pair("noise", 2, 176, 168)
    with torch.inference_mode():
        assert ssim(prediction, target).shape == ms_ssim(prediction, target).shape == (2,)


# ---------------------------------------------------------------------- the choice


def use_package_everywhere(monkeypatch):
    """Take each of the two measures of pytorch_msssim, on a CPU and with a gradient, too."""
    monkeypatch.setattr(module, "own_ssim", module.package_ssim)
    monkeypatch.setattr(module, "own_ms_ssim", module.package_ms_ssim)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("content", ["noise", "film"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("measure", "batch", "height", "width"), CASES)
def test_the_two_implementations_agree(measure, batch, height, width, dtype, content, layout, monkeypatch):
    prediction, target = (x.to(dtype) for x in pair(content, batch, height, width))
    values, gradients = [], []
    for _ in range(2):
        x = prediction.clone(memory_format=layout).requires_grad_()
        value = MEASURES[measure][0](x, target)
        value.sum().backward()
        values.append(value.detach())
        gradients.append(x.grad)
        use_package_everywhere(monkeypatch)
    assert values[0].dtype == values[1].dtype == dtype
    torch.testing.assert_close(*values, rtol=0, atol=2e-6)
    assert (gradients[0] - gradients[1]).norm() <= 1e-4 * gradients[1].norm()


@pytest.mark.filterwarnings("ignore:CUDA is not available")
@pytest.mark.parametrize(
    ("device", "measure", "size", "gradient", "expected"),
    [
        ("cpu", "ssim", (176, 168), True, []),
        ("cpu", "ms_ssim", (176, 168), False, []),
        ("meta", "ssim", (176, 168), True, []),
        ("cuda", "ssim", (176, 168), True, ["ssim"]),
        ("cuda", "ssim", (11, 11), False, ["ssim"]),
        ("cuda", "ssim", (10, 64), True, []),  # where pytorch_msssim warns in every call
        ("cuda", "ms_ssim", (161, 161), False, ["ms_ssim"]),
        ("cuda", "ms_ssim", (161, 161), True, []),  # where its backward pass waits for the host
        ("cuda", "ms_ssim", (160, 300), False, []),  # which it refuses, and heads of several scales ask for
    ],
)
def test_implementation_is_chosen_by_device_size_and_gradient(device, measure, size, gradient, expected, monkeypatch):
    """There need be no GPU: fake tensors run through the code of a CUDA device, and compute shapes alone."""
    calls = {name: Mock(wraps=getattr(pytorch_msssim, name)) for name in MEASURES}
    for name, call in calls.items():
        monkeypatch.setattr(pytorch_msssim, name, call)
    with FakeTensorMode():
        prediction, target = (torch.zeros(2, 3, *size, device=device) for _ in range(2))
        value = MEASURES[measure][0](prediction.requires_grad_(gradient), target)
    assert (value.shape, value.device.type, value.requires_grad) == ((2,), device, gradient)
    assert [name for name, call in calls.items() if call.called] == expected


def test_backward_pass_of_ms_ssim_of_pytorch_msssim_waits_for_the_host():
    """The reason why a step does not use it: once this fails, `ms_ssim` needs no own gradient on a GPU any more."""
    prediction, target = pair("noise", 1, 161, 161)
    value = pytorch_msssim.ms_ssim(prediction.requires_grad_(), target, data_range=1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        value.backward()
    assert "aten::item" in {event.name for event in profile.events()}
