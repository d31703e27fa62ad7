"""Enlargement without weights."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from enerv_zoo import layers
from enerv_zoo.registry import blocks


@blocks.register("interpolate")
class Interpolate(nn.Module):
    """Norm, interpolation, activation (Kwan et al. 2023, 3.3); a 1 x 1 convolution first where the channels change.

    Args:
        mode: `"bilinear"` (pixels are squares, so corners are not aligned) or `"nearest"`.
        norm: of the input; see `enerv_zoo.layers.NORMS`.
        activation: see `enerv_zoo.layers.ACTIVATIONS`.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, stride H, stride W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        mode: Literal["bilinear", "nearest"] = "bilinear",
        norm: str = "none",
        activation: str = "none",
    ) -> None:
        super().__init__()
        self.norm = layers.norm(norm, in_channels)
        same = in_channels == out_channels
        self.project = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)
        self.upsample = nn.Identity() if stride == 1 else nn.Upsample(scale_factor=stride, mode=mode)
        self.activation = layers.activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.upsample(self.project(self.norm(x))))
