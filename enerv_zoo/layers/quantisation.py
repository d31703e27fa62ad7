"""Weights that are quantised while fitting."""

from __future__ import annotations

import torch
from torch import Tensor


def fake_quantised(x: Tensor, bits: int) -> Tensor:
    """Numbers as they are with 32 bits; else squeezed to (-1, 1) and cut down to `bits`, sign included.

    tanh, then towards zero to a multiple of 1 / (2^(bits - 1) - 1) (Lee et al. 2023, 3.4). The gradient passes the
    rounding as if it were not there.
    """
    if bits >= 32:
        return x
    steps = 2 ** (bits - 1) - 1
    squeezed = torch.tanh(x)
    rounded = (squeezed.detach().abs() * steps).floor() / steps * squeezed.detach().sign()
    return rounded + (squeezed - squeezed.detach())
