"""A block that upsamples by repetition and activates by a sine of its own frequency."""

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
