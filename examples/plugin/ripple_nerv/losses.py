"""A loss with an option."""

import torch
from torch import nn


class EdgeLoss(nn.Module):
    """Mean squared error of what a filter of differences leaves of frames (B, 3, H, W), -> a scalar."""

    def __init__(self, height: int, width: int, *, order: int = 1) -> None:
        super().__init__()
        if width <= order:
            raise ValueError(f"frames are {width} pixels wide")
        kernel = torch.ones(1, 1)
        for _ in range(order):
            kernel = nn.functional.pad(kernel, (0, 1)) - nn.functional.pad(kernel, (1, 0))
        self.register_buffer("kernel", kernel.view(1, 1, 1, -1).repeat(3, 1, 1, 1))

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(prediction - target, self.kernel, groups=3).square().mean()
