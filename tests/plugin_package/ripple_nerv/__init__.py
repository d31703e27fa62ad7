"""A block that upsamples by repetition and activates by a sine of its own frequency, and a loss of edges."""

import torch
from torch import nn


class RippleBlock(nn.Module):
    """Shapes: (B, in_channels, H, W) -> (B, out_channels, stride H, stride W)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, frequency: float = 3.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.stride, self.frequency = stride, frequency

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        larger = x.repeat_interleave(self.stride, 2).repeat_interleave(self.stride, 3)
        return torch.sin(self.frequency * self.conv(larger))


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
