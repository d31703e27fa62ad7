"""Losses: weighted sums of L1, L2, SSIM and MS-SSIM under the names that the E-NeRV and HNeRV code bases use.

Contract. Built as `loss(height, width, *, options)`; returns a callable (prediction, target) -> scalar for frames
(B, 3, H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.errors import ConfigError
from enerv_zoo.metrics import why_no_ms_ssim
from enerv_zoo.registry import losses
from enerv_zoo.ssim import WINDOW as SSIM_WINDOW
from enerv_zoo.ssim import ms_ssim, ssim

Loss = Callable[[Tensor, Tensor], Tensor]


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(prediction, target)


def l2(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(prediction, target)


def one_minus_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM with a Gaussian window of 11, data range 1."""
    return 1 - ssim(prediction, target).mean()


def one_minus_ms_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - MS-SSIM, data range 1."""
    return 1 - ms_ssim(prediction, target).mean()


def frequency_l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the real and imaginary parts of the unnormalised 2-D Fourier transforms."""
    difference = torch.fft.fft2(prediction.float() - target.float())  # the transform is linear
    return torch.view_as_real(difference).abs().mean()


Terms = dict[Callable[[Tensor, Tensor], Tensor], float]

WEIGHTED: dict[str, Terms] = {
    "L1": {l1: 1.0},
    "L2": {l2: 1.0},
    "Fusion1": {l2: 0.3, one_minus_ssim: 0.7},
    "Fusion2": {l1: 0.3, one_minus_ssim: 0.7},
    "Fusion3": {l2: 0.5, one_minus_ssim: 0.5},
    "Fusion4": {l1: 0.5, one_minus_ssim: 0.5},
    "Fusion5": {l2: 0.7, one_minus_ssim: 0.3},
    "Fusion6": {l1: 0.7, one_minus_ssim: 0.3},
    "Fusion7": {l2: 0.7, l1: 0.3},
    "Fusion8": {l2: 0.5, l1: 0.5},
    "Fusion9": {l1: 0.9, one_minus_ssim: 0.1},
    "Fusion10": {l1: 0.7, one_minus_ms_ssim: 0.3},
    "Fusion11": {l1: 0.9, one_minus_ms_ssim: 0.1},
    "Fusion12": {l1: 0.8, one_minus_ms_ssim: 0.2},
    "Fusion10_freq": {l1: 42.0, one_minus_ms_ssim: 18.0, frequency_l1: 1.0},
}
"""Terms and weights of every built-in loss; Fusion10_freq is 60 Fusion10 plus the frequency term."""


def weighted(terms: Terms, height: int, width: int) -> Loss:
    """The weighted sum of `terms`, if frames of this size allow all of them.

    Raises:
        ConfigError: frames too small for the window of SSIM, or for MS-SSIM.
    """
    if one_minus_ssim in terms and min(height, width) < SSIM_WINDOW:
        raise ConfigError(
            f"SSIM needs both sides of at least {SSIM_WINDOW} pixels, the frames are {height}x{width}; "
            "use a loss without it: L1, L2, Fusion7 or Fusion8"
        )
    if one_minus_ms_ssim in terms and (reason := why_no_ms_ssim(height, width)):
        raise ConfigError(f"{reason}; use a loss without it, such as Fusion6 or L2")

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        values = [weight * term(prediction, target) for term, weight in terms.items()]
        return sum(values[1:], values[0])

    return loss


for _name, _terms in WEIGHTED.items():
    losses.register(_name)(partial(weighted, _terms))
