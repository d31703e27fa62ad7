"""Pixels: their values, uint8 in 0 to 255 or float in [0, 1], and how many are decoded at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def as_float(pixels: Tensor) -> Tensor:
    """Return pixels, uint8 or float in [0, 1], as float32 in [0, 1]."""
    return pixels.float() if pixels.is_floating_point() else pixels.float().div_(255)


def as_bytes(pixels: Tensor) -> Tensor:
    """Return pixels, uint8 or float in [0, 1], as uint8."""
    return pixels.mul(255).round_().clamp_(0, 255).to(torch.uint8) if pixels.is_floating_point() else pixels


def pixels_per_batch(device: torch.device) -> int:
    """Return about how many pixels to decode at a time: four 720p frames, or as many as a CPU gains by."""
    return 500_000 if device.type == "cpu" else 4 * 1280 * 720  # benchmarks/decode_speed.py
