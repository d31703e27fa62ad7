"""Values of pixels: uint8 in 0 to 255, or float in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def as_float(pixels: Tensor) -> Tensor:
    """Return pixels, uint8 or float in [0, 1], as float32 in [0, 1]."""
    return pixels.float() if pixels.is_floating_point() else pixels.float().div_(255)


def as_bytes(pixels: Tensor) -> Tensor:
    """Return pixels, uint8 or float in [0, 1], as uint8."""
    return pixels.mul(255).round_().clamp_(0, 255).to(torch.uint8) if pixels.is_floating_point() else pixels
