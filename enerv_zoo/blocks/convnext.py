"""ConvNeXt's block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo import layers
from enerv_zoo.registry import blocks


@blocks.register("convnext")
class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, two layers per pixel (Liu et al. 2022, 2.6), as HiNeRV has it (Kwan et al. 2023).

    fc2(act(fc1(norm(dwconv(x))))), added to x where the width stays. A stride enlarges x first, bilinearly.

    Args:
        kernel: of the depthwise convolution, odd.
        expansion: of the hidden layer, as a factor on the *output's* channels.
        norm, activation: see `enerv_zoo.layers.NORMS` and `enerv_zoo.layers.ACTIVATIONS`.
        bias: whether the three layers have biases, which start at 0.
        layer_scale: initial factors on the channels of what is added to x, which are learned; 0 for none.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, stride H, stride W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        kernel: int = 3,
        expansion: float = 4,
        norm: str = "layer",
        activation: str = "gelu",
        bias: bool = False,
        layer_scale: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = max(int(out_channels * expansion), 1)
        layers.check_kernel(kernel)
        padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(in_channels, in_channels, kernel, padding=padding, groups=in_channels, bias=bias)
        self.norm = layers.norm(norm, in_channels)
        self.fc1 = nn.Linear(in_channels, hidden, bias=bias)
        self.activation = layers.activation(activation)
        self.fc2 = nn.Linear(hidden, out_channels, bias=bias)
        for layer in (self.conv, self.fc1, self.fc2) if bias else ():
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.is_residual, self.stride = in_channels == out_channels, stride
        scaled = self.is_residual and layer_scale
        self.layer_scale = nn.Parameter(torch.full((out_channels,), layer_scale)) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = F.interpolate(x, scale_factor=self.stride, mode="bilinear")
        pixels = self.norm(self.conv(x)).permute(0, 2, 3, 1)
        pixels = self.fc2(self.activation(self.fc1(pixels)))
        if self.layer_scale is not None:
            pixels = pixels * self.layer_scale
        change = pixels.permute(0, 3, 1, 2)
        return x + change if self.is_residual else change
