"""A family with a grid at every stage, and the block, embedding and modulation that it is made of."""

import torch
from torch import nn

from enerv_zoo.coding import GRID
from enerv_zoo.composition import ModelConfig
from enerv_zoo.models.family import family
from enerv_zoo.models.geometry import plan


class RippleBlock(nn.Module):
    """Upsample by repetition, convolve, and activate by a sine.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, stride H, stride W).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, frequency: float = 3.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.stride, self.frequency = stride, frequency

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        larger = x.repeat_interleave(self.stride, 2).repeat_interleave(self.stride, 3)
        return torch.sin(self.frequency * self.conv(larger))


class PondEmbedding(nn.Module):
    """A grid of feature maps over time, blended linearly.

    Shapes: (B,) -> (B, channels, scale h, scale w).
    """

    fixed = False

    def __init__(self, info, grid, *, channels: int = 4, scale: int = 1, times: int = 2) -> None:
        super().__init__()
        self.shape = (channels, scale * grid[0], scale * grid[1])
        self.last = max(info.frames - 1, 1)
        self.table = nn.Parameter(0.1 * torch.randn(times, *self.shape))

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        place = (index / self.last * (len(self.table) - 1)).clamp(0, len(self.table) - 1)
        left = place.floor().clamp(max=max(len(self.table) - 2, 0)).long()
        right = (left + 1).clamp(max=len(self.table) - 1)
        share = (place - left).to(self.table)[:, None, None, None]
        return torch.lerp(self.table[left], self.table[right], share)

    def coding_hints(self):
        return {"table": GRID}


class AddMap(nn.Module):
    """Add a map, whose channels a 1 x 1 convolution turns into those that are there.

    Shapes: (B, C, H, W) and (B, C', H, W) -> (B, C, H, W).
    """

    role = "modulate"

    def __init__(self, channels, size, shapes) -> None:
        super().__init__()
        (shape,) = shapes
        if tuple(shape[1:]) != tuple(size):
            raise ValueError(f"it adds a map of {tuple(size)}, got an embedding {tuple(shape)}")
        self.project = nn.Conv2d(shape[0], channels, 1)

    def forward(self, x: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        return x + self.project(embedded)


@family("pond", widths=("channels", "grid_channels"))
def pond(info, *, channels: int = 16, grid_channels: int = 4, times: int = 2, strides: list[int] | None = None):
    """A first grid of features, and another one at every stage."""
    grid, factors = plan(info.height, info.width, strides)
    embeddings = {"first": {"name": "pond", "channels": channels, "times": times}}
    stages, scale = [], 1
    for number, stride in enumerate(factors):
        embeddings[f"grid{number}"] = {"name": "pond", "channels": grid_channels, "scale": scale, "times": times}
        block = {"name": "ripple", "channels": channels, "stride": stride}
        stages.append([{"name": "add_map", "with": f"grid{number}"}, block])
        scale *= stride
    join = {"name": "identity", "with": "first", "channels": channels}
    return ModelConfig("pond", grid, embeddings, join, stages, {"name": "rgb"})
