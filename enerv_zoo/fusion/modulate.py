"""Feature maps, changed by embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo import layers
from enerv_zoo.coding import CodingHint
from enerv_zoo.config import PartSpec, as_spec, size_text
from enerv_zoo.errors import ConfigError
from enerv_zoo.registry import blocks, fusion

Shape = tuple[int, ...]


def _width(shapes: Sequence[Shape]) -> int:
    """Return the width of the one vector that a modulation takes."""
    if len(shapes) != 1 or len(shapes[0]) != 1:
        raise ConfigError(f"it takes one vector, got embeddings of shapes {list(shapes)}")
    return shapes[0][0]


@fusion.register("temporal_affine")
class TemporalAffine(nn.Module):
    """Instance norm, then gamma x + beta per channel, both computed from the condition (Li et al. 2022, 3.3).

    Args:
        activation: after the linear layer that gives (gamma, beta).

    Shapes: (B, C, H, W), (B, D) -> (B, C, H, W).
    """

    role = "modulate"

    def __init__(
        self, channels: int, size: tuple[int, int], shapes: Sequence[Shape], *, activation: str = "gelu"
    ) -> None:
        super().__init__()
        self.mlp = layers.mlp([_width(shapes), 2 * channels], activation)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return layers.instance_norm(x, *self.mlp(condition).chunk(2, dim=1))


@fusion.register("sft")
class SpatialFeatureTransform(nn.Module):
    """A residual block of two convolutions, each after a scale and a shift by the condition (Zhang et al. 2024, 3.2).

    x + conv3(SFT1(gelu(conv3(SFT0(x, c))), c)), where SFT(x, c) = x (scale(c) + 1) + shift(c).

    Shapes: (B, C, H, W), (B, D) -> (B, C, H, W).
    """

    role = "modulate"
    convolves = True

    def __init__(self, channels: int, size: tuple[int, int], shapes: Sequence[Shape]) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(_ScaleShift(channels, _width(shapes)) for _ in range(2))
        self.convs = nn.ModuleList(layers.plain_conv(channels, channels, 3) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        inner = F.gelu(self.convs[0](self.transforms[0](x, condition)))
        return x + self.convs[1](self.transforms[1](inner, condition))


@fusion.register("add")
class Add(nn.Module):
    """A map of the same size added by a 1 x 1 convolution, then an activation (`pca_nerv`).

    Args:
        activation: of the sum.

    Shapes: (B, C, H, W), (B, D, H, W) -> (B, C, H, W).
    """

    role = "modulate"
    convolves = True

    def __init__(
        self, channels: int, size: tuple[int, int], shapes: Sequence[Shape], *, activation: str = "gelu"
    ) -> None:
        super().__init__()
        if len(shapes) != 1 or tuple(shapes[0][1:]) != tuple(size):
            raise ConfigError(f"it adds one map of {size_text(*size)}, got embeddings of shapes {list(shapes)}")
        self.conv = nn.Conv2d(shapes[0][0], channels, 1, bias=False)
        self.activation = layers.activation(activation)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        return self.activation(x + self.conv(embedded))


@fusion.register("add_tile")
class AddTile(nn.Module):
    """A small map, repeated over the whole one, added by a 1 x 1 convolution (Kwan et al. 2023, 3.3).

    Pixel (y, x) gets the pixel (y mod a, x mod b) of a small map of a x b: where a block has enlarged the map by as
    much, its pixels learn what tells them from each other. The convolution's bias starts at 0.

    Shapes: (B, C, H, W), (B, D, a, b) -> (B, C, H, W), with a and b dividing H and W.
    """

    role = "modulate"
    convolves = True

    def __init__(self, channels: int, size: tuple[int, int], shapes: Sequence[Shape]) -> None:
        super().__init__()
        if len(shapes) != 1 or len(shapes[0]) != 3 or size[0] % shapes[0][1] or size[1] % shapes[0][2]:
            raise ConfigError(
                f"it adds one map whose sides divide those of {size_text(*size)}, got embeddings of shapes "
                f"{list(shapes)}"
            )
        self.conv = layers.plain_conv(shapes[0][0], channels, 1, "zero")

    def coding_hints(self) -> dict[str, CodingHint]:
        """The few weights of the convolution act on every pixel, so none is pruned."""
        return {"conv.weight": CodingHint("weight", axis=0, prunable=False)}

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        tile = self.conv(embedded)
        rows, columns = tile.shape[2:]
        tiles = x.unflatten(3, (-1, columns)).unflatten(2, (-1, rows))
        return (tiles + tile[:, :, None, :, None, :]).flatten(4).flatten(2, 3)


@fusion.register("gate")
class Gate(nn.Module):
    """A map of differences, enlarged by a block, decides what of the map is replaced (Zhao et al. 2023, 3.3).

    With y the enlarged differences, t = tanh(A x + B y) and g = sigmoid(C x + D y), the map becomes g t + (1 - g) x; A
    to D are 3 x 3 convolutions. The enlarged differences are cropped to the map's size, or repeated at their edges
    where the network decodes more than the frame.

    Args:
        width: channels of the 1 x 1 convolution before the block; 0 for as many as the map has.
        stride: of the block.
        block: its name, or a spec of its name and options.

    Shapes: (B, C, H, W), (B, D, h, w) -> (B, C, H, W), with stride h and stride w of at least H / 2 and W / 2.
    """

    role = "modulate"
    convolves = True

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        shapes: Sequence[Shape],
        *,
        width: int = 0,
        stride: int = 1,
        block: PartSpec = "nerv",
    ) -> None:
        super().__init__()
        sides = shapes[0][1:] if len(shapes) == 1 and len(shapes[0]) == 3 else (0, 0)
        if 2 * stride * sides[0] < size[0] or 2 * stride * sides[1] < size[1]:
            raise ConfigError(
                f"it takes one map that a stride of {stride} enlarges to {size_text(*size)}, got embeddings of shapes "
                f"{list(shapes)}"
            )
        self.conv = layers.plain_conv(shapes[0][0], width or channels, 1)
        self.block = blocks.build(as_spec(block), width or channels, channels, stride)
        self.content_of_map, self.content_of_change, self.gate_of_map, self.gate_of_change = (
            layers.plain_conv(channels, channels, 3) for _ in range(4)
        )

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        y = self.block(self.conv(embedded))[..., : x.shape[2], : x.shape[3]]
        if y.shape != x.shape:
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]), mode="replicate")
        content = torch.tanh(self.content_of_map(x) + self.content_of_change(y))
        gate = torch.sigmoid(self.gate_of_map(x) + self.gate_of_change(y))
        return gate * content + (1 - gate) * x


class _ScaleShift(nn.Module):
    """x (scale(c) + 1) + shift(c), per channel: scale and shift are of the condition, by an MLP each."""

    def __init__(self, channels: int, condition_width: int) -> None:
        super().__init__()
        self.scale, self.shift = (
            nn.Sequential(nn.Linear(condition_width, condition_width), nn.ReLU(), nn.Linear(condition_width, channels))
            for _ in range(2)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = (part(condition)[..., None, None] for part in (self.scale, self.shift))
        return x * (scale + 1) + shift
