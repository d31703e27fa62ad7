"""The content of frames: a small map per frame, computed by an encoder while fitting, and stored."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo.coding import GRID, CodingHint
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.layers import blended, centred_places
from enerv_zoo.registry import embeddings


@embeddings.register("content")
class ContentEmbedding(nn.Module):
    """HNeRV's embedding: a ConvNeXt encoder computes a tiny map of each frame (Chen et al. 2023, 3.1).

    What is stored is the table of those maps. A fractional index blends the two maps beside it.

    Args:
        strides: of the encoder's stages; their product is how many pixels a side one number of the map stands for.
        width: channels of the encoder.
        channels: of the map.
        depth: ConvNeXt blocks a stage.

    Shapes: (B,) -> (B, channels, h, w), with h and w the frame's sides over the product of the strides, rounded up.
    """

    fixed = False

    def __init__(
        self,
        info: VideoInfo,
        grid: tuple[int, int],
        *,
        strides: Sequence[int] = (5, 4, 4, 2, 2),
        width: int = 64,
        channels: int = 16,
        depth: int = 1,
    ) -> None:
        super().__init__()
        if not strides or min(strides) < 1:
            raise ConfigError(f"an encoder's strides are integers of at least 1, got {list(strides)}")
        stride = math.prod(strides)
        self.shape = (channels, math.ceil(info.height / stride), math.ceil(info.width / stride))
        self.margins = (0, self.shape[2] * stride - info.width, 0, self.shape[1] * stride - info.height)
        self._widths = [width] * (len(strides) - 1) + [channels]
        self._strides, self._depth = tuple(strides), depth
        self.table: nn.Parameter | None = nn.Parameter(torch.rand(info.frames, *self.shape))
        self.register_module("encoder", None)
        self.encoder: nn.Module | None

    def forward(self, index: Tensor) -> Tensor:
        if self.table is None:
            raise ConfigError("the content of the frames has not been stored yet; bake the frames first")
        return blended(self.table, *centred_places(index, len(self.table), len(self.table)))

    def start_encoding(self) -> None:
        """Make the encoder, and forget the table; see the contract of embeddings."""
        device = next(self.parameters()).device
        self.encoder = ConvNeXtEncoder(self._strides, self._widths, self._depth).to(device)
        self.table = None

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (B, 3, H, W) in [0, 1], repeated at the edges where strides leave a margin, to maps."""
        if self.encoder is None:
            raise ConfigError("there is no encoder any more, the content of the frames is stored")
        padded = F.pad(frames, self.margins, mode="replicate") if any(self.margins) else frames
        return self.encoder(padded).float()

    def coding_hints(self) -> dict[str, CodingHint]:
        """The table is one of feature maps."""
        return {} if self.table is None else {"table": GRID}

    def bake(self, table: Tensor) -> None:
        """Store the maps (N, channels, h, w), and drop the encoder."""
        self.table = nn.Parameter(table.detach().clone(memory_format=torch.contiguous_format))
        self.encoder = None


class ConvNeXtEncoder(nn.Module):
    """Stages of a strided convolution and ConvNeXt blocks (Liu et al. 2022), from frames to a tiny map.

    A channel layer norm follows the first convolution and precedes the further ones.

    Args:
        strides: of the stages.
        widths: channels after each.
        depth: blocks a stage.

    Shapes: (B, 3, H, W) -> (B, widths[-1], H / prod(strides), W / prod(strides)).
    """

    def __init__(self, strides: Sequence[int], widths: Sequence[int], depth: int) -> None:
        from timm.layers import LayerNorm2d  # timm takes seconds to load, and only fits need it
        from timm.models.convnext import ConvNeXtBlock

        super().__init__()
        self.downsampling = nn.ModuleList()
        self.stages = nn.ModuleList()
        for number, (stride, before, width) in enumerate(zip(strides, [3, *widths], widths, strict=False)):
            conv = nn.Conv2d(before, width, stride, stride)
            norm = LayerNorm2d(before if number else width, eps=1e-6)
            self.downsampling.append(nn.Sequential(*((norm, conv) if number else (conv, norm))))
            self.stages.append(nn.Sequential(*(ConvNeXtBlock(width, ls_init_value=1e-6) for _ in range(depth))))
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(part.weight, std=0.02)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames
        for downsample, stage in zip(self.downsampling, self.stages, strict=True):
            x = stage(downsample(x))
        return x
