"""Losses beyond their golden values."""

from __future__ import annotations

import pytest
import torch

from enerv_zoo.errors import ConfigError
from enerv_zoo.losses import WEIGHTED
from enerv_zoo.metrics import ms_ssim, psnr, why_no_ms_ssim
from enerv_zoo.registry import losses


@pytest.mark.parametrize("name", WEIGHTED)
def test_equal_frames_have_no_loss(name):
    frames = torch.rand(2, 3, 176, 168)
    assert losses.get(name)(176, 168)(frames, frames.clone()).item() == pytest.approx(0, abs=1e-4)


def test_frames_too_small_are_refused_with_what_to_use_instead():
    with pytest.raises(
        ConfigError, match="MS-SSIM needs both sides longer than 160 pixels, the frames are 144x256; use"
    ):
        losses.get("Fusion10")(144, 256)
    with pytest.raises(ConfigError, match="SSIM needs both sides of at least 11 pixels, the frames are 10x64; use"):
        losses.get("Fusion6")(10, 64)
    assert losses.get("L1")(1, 1)(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)).item() == 1


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
