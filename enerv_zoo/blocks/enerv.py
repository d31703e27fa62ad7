"""E-NeRV's first block."""

from __future__ import annotations

from torch import Tensor, nn

from enerv_zoo import layers
from enerv_zoo.registry import blocks


@blocks.register("enerv")
class ENeRVBlock(nn.Module):
    """Upsampling split over two smaller kernels (Li et al. 2022, 3.4).

    Where the block widens, it upsamples to a quarter of its input's channels and a plain conv 3 widens; where it
    narrows, a plain conv 3 narrows first. Then norm and activation.

    Args:
        upsampling, norm, activation, bias: as in the `nerv` block.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, stride H, stride W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        upsampling: str = "conv",
        norm: str = "none",
        activation: str = "gelu",
        bias: bool = True,
    ) -> None:
        super().__init__()
        if in_channels <= out_channels:
            inner = max(in_channels // 4, 1)
            first = layers.upsampler(upsampling, in_channels, inner, stride, bias)
            second: nn.Module = layers.plain_conv(inner, out_channels, 3, bias)
        else:
            first = layers.plain_conv(in_channels, out_channels, 3, bias)
            second = layers.upsampler(upsampling, out_channels, out_channels, stride, bias)
        self.convs = nn.Sequential(first, second)
        self.norm = layers.norm(norm, out_channels)
        self.activation = layers.activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.convs(x)))
