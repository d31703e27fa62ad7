"""A block with a way around it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo.config import PartSpec, as_spec
from enerv_zoo.registry import blocks


@blocks.register("skip")
class SkipBlock(nn.Module):
    """Another block, to whose output its input is added by a 1 x 1 convolution and bilinear upsampling.

    Args:
        block: the other block, by its name or with options.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, stride H, stride W).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, block: PartSpec = "nerv") -> None:
        super().__init__()
        self.block = blocks.build(as_spec(block), in_channels, out_channels, stride)
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        around = F.interpolate(self.conv(x), scale_factor=self.stride, mode="bilinear", align_corners=False)
        return self.block(x) + around
