"""Frequency encodings of positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from enerv_zoo.errors import ConfigError

ORDERS = ("interleaved", "split")

AUTHORS_POWERS = {(1.25, 45): 22958.873046875}
"""Powers base^level that differ from the nearest float32 where `split` comes from: there the processor's own power of
float32 tensors made them, and checkpoints hold what was fitted to that."""


class FrequencyEncoding(nn.Module):
    """A scalar p to sin(p base^l pi), cos(p base^l pi) for l = 0 .. levels - 1 (Chen et al. 2021, 3.1).

    The top level of base 1.25 and 80 levels is 1.4e8 rad, where neighbouring float32 numbers are more than a turn
    apart. So the order of the roundings is part of the network, and is kept in float32 even under autocast:

    - `interleaved` (NeRV, E-NeRV) computes (p * base^l) * pi and gives sin0 cos0 sin1 cos1 ...
    - `split` (HNeRV's code base, Boosting-NeRV) computes p * (base^l * pi) and gives all sines, then all cosines.

    Shapes: (...) float32 -> (..., 2 levels), of the network's type.
    """

    def __init__(self, base: float, levels: int, order: str = "interleaved") -> None:
        super().__init__()
        if levels < 1 or base <= 0:
            raise ConfigError(f"a frequency encoding needs base > 0 and levels >= 1, got {base} and {levels}")
        if order not in ORDERS:
            raise ConfigError(f"the order of an encoding is one of {', '.join(ORDERS)}, got {order!r}")
        self.width = 2 * levels
        self.split = order == "split"
        authors = AUTHORS_POWERS if self.split else {}
        exact = [authors.get((base, level), float(base) ** level) for level in range(levels)]
        powers = torch.tensor(exact, dtype=torch.float64, device="cpu").float()
        if not torch.isfinite(powers).all():
            raise ConfigError(f"base {base} to the power {levels - 1} leaves float32; use fewer levels")
        self.register_buffer("powers", powers * torch.pi if self.split else powers, persistent=False)
        self.powers: Tensor

    def forward(self, p: Tensor) -> Tensor:
        argument = p.float().unsqueeze(-1) * self.powers.float()
        if self.split:
            return torch.cat((argument.sin(), argument.cos()), dim=-1).to(self.powers.dtype)
        argument = argument * torch.pi
        return torch.stack((argument.sin(), argument.cos()), dim=-1).flatten(-2).to(self.powers.dtype)
