"""NeRV's block."""

from __future__ import annotations

from torch import Tensor, nn

from enerv_zoo import layers
from enerv_zoo.registry import blocks


@blocks.register("nerv")
class NeRVBlock(nn.Module):
    """Upsample, normalise, activate (Chen et al. 2021, 3.1).

    Args:
        upsampling: `"conv"` (conv and pixel shuffle), `"compact"` (grouped conv 3, conv 1 and pixel shuffle),
            `"deconv"` (transposed conv) or `"bilinear"` (and a conv).
        norm: `"none"`, `"batch"` or `"instance"`.
        activation: see `enerv_zoo.layers.ACTIVATIONS`.
        bias: whether the convolution has one.
        kernel: of `"conv"`, odd.
        weight_bits: of `"conv"` and `"compact"`: 32, or fewer for numbers that are quantised while fitting (see
            `enerv_zoo.layers.fake_quantised`).

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
        kernel: int = 3,
        weight_bits: int = 32,
    ) -> None:
        super().__init__()
        self.upsample = layers.upsampler(
            upsampling, in_channels, out_channels, stride, bias, kernel=kernel, weight_bits=weight_bits
        )
        self.norm = layers.norm(norm, out_channels)
        self.activation = layers.activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.upsample(x)))
