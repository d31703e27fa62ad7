"""Content of frames, and of their changes: a small map per frame, which an encoder computes while fitting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo.coding import GRID, CodingHint
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.layers import blend_others, blended, centred_places
from enerv_zoo.registry import embeddings

FAINT = 1e-3
"""Of principal components that deviate less than this part of the first one, whitening would make noise."""


@embeddings.register("content")
class ContentEmbedding(nn.Module):
    """HNeRV's embedding: a ConvNeXt encoder computes a tiny map of each frame (Chen et al. 2023, 3.1).

    What is stored is the table of those maps. A fractional index blends the two maps beside it.

    Args:
        strides: of the encoder's stages; their product is how many pixels a side one number of the map stands for.
        width: channels of the encoder.
        channels: of the map.
        depth: ConvNeXt blocks a stage.
        layout: of the encoder: `"hnerv"`, or `"dnerv"` (Zhao et al. 2023), whose blocks have neither norm nor scale.

    Shapes: (B,) -> (B, channels, h, w), with h and w the frame's sides over the product of the strides, rounded up.
    """

    fixed = False
    colours = 3
    """Channels that the encoder takes."""

    def __init__(
        self,
        info: VideoInfo,
        grid: tuple[int, int],
        *,
        strides: Sequence[int] = (5, 4, 4, 2, 2),
        width: int = 64,
        channels: int = 16,
        depth: int = 1,
        layout: Literal["hnerv", "dnerv"] = "hnerv",
    ) -> None:
        super().__init__()
        if not strides or min(strides) < 1:
            raise ConfigError(f"an encoder's strides are integers of at least 1, got {list(strides)}")
        stride = math.prod(strides)
        self.shape = (channels, math.ceil(info.height / stride), math.ceil(info.width / stride))
        self.margins = (0, self.shape[2] * stride - info.width, 0, self.shape[1] * stride - info.height)
        self._strides, self._width, self._depth, self._layout = tuple(strides), width, depth, layout
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
        build = ConvNeXtEncoder if self._layout == "hnerv" else plain_encoder
        self.encoder = build(self.colours, self._strides, self._width, self.shape[0], self._depth).to(device)
        self.table = None

    def encode(self, frames: Tensor) -> Tensor:
        """Return the maps of frames (B, 3, H, W) in [0, 1], repeated at the edges where strides leave a margin."""
        if self.encoder is None:
            raise ConfigError("there is no encoder any more, the content of the frames is stored")
        padded = F.pad(frames, self.margins, mode="replicate") if any(self.margins) else frames
        return self.encoder(padded).float()

    @contextmanager
    def whitened(self) -> Iterator[None]:
        """A context after which maps of the frames encoded in it are uncorrelated, of mean 0 and variance 1.

        The encoder's last convolution becomes the principal components of what it takes, scaled. Where there are fewer
        of them than channels, further channels stay as they are.
        """
        conv, taken = self._projection, list[Tensor]()
        hook = conv.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
        try:
            yield
        finally:
            hook.remove()
        cells = F.unfold(torch.cat(taken).double(), conv.kernel_size, stride=conv.stride).transpose(1, 2).flatten(0, 1)
        mean = cells.mean(dim=0)
        _, sizes, directions = torch.linalg.svd(cells - mean, full_matrices=False)
        deviations = sizes / len(cells) ** 0.5
        count = min(int((deviations > FAINT * deviations[0]).sum()), conv.out_channels)
        weight = directions[:count] / deviations[:count, None]
        with torch.no_grad():
            conv.weight[:count] = weight.unflatten(1, conv.weight.shape[1:]).float()
            if conv.bias is not None:
                conv.bias[:count] = -(weight @ mean).float()

    @property
    def _projection(self) -> nn.Conv2d:
        """The convolution that gives the map, but for a last block, which begins as the identity."""
        encoder: Any = self.encoder
        last = encoder[-1:] if self._layout == "dnerv" else encoder.downsampling[-1]
        return next(layer for layer in last if isinstance(layer, nn.Conv2d))

    def blend_unseen(self, fitted: Tensor) -> None:
        """Blend the maps of frames that were not fitted; see the contract of embeddings."""
        if self.table is not None:
            blend_others(self.table, fitted)

    def coding_hints(self) -> dict[str, CodingHint]:
        """The table is one of feature maps."""
        return {} if self.table is None else {"table": GRID}

    def bake(self, table: Tensor) -> None:
        """Store the maps (N, channels, h, w), and drop the encoder."""
        self.table = nn.Parameter(table.detach().clone(memory_format=torch.contiguous_format))
        self.encoder = None


@embeddings.register("difference")
class DifferenceEmbedding(ContentEmbedding):
    """DNeRV's embedding of changes: a map of what tells a frame from the ones before and after (Zhao et al. 2023, 3.1).

    The encoder takes two differences per colour: the frame less the one before, and the one after less the frame. The
    first and the last frame are their own neighbours. What is stored, and all options, are as in `content`.

    Shapes: (B,) -> (B, channels, h, w), with h and w the frame's sides over the product of the strides, rounded up.
    """

    colours = 6
    neighbours = (-1, 1)

    def encode(self, frames: Tensor, around: Tensor | None = None) -> Tensor:
        """Return the maps of frames (B, 3, H, W) and those around them (B, 2, 3, H, W), by default they themselves."""
        before, after = (frames, frames) if around is None else around.unbind(1)
        return super().encode(torch.stack((frames - before, after - frames), dim=2).flatten(1, 2))


class ConvNeXtEncoder(nn.Module):
    """Stages of a strided convolution and ConvNeXt blocks (Liu et al. 2022), from frames to a tiny map.

    A channel layer norm follows the first convolution and precedes the further ones.

    Args:
        colours: channels of the frames.
        strides: of the stages.
        width: channels after each, but for the last one.
        channels: after the last one.
        depth: blocks a stage.

    Shapes: (B, colours, H, W) -> (B, channels, H / prod(strides), W / prod(strides)).
    """

    def __init__(self, colours: int, strides: Sequence[int], width: int, channels: int, depth: int) -> None:
        from timm.layers import LayerNorm2d  # timm takes seconds to load, and only fits need it
        from timm.models.convnext import ConvNeXtBlock

        super().__init__()
        self.downsampling = nn.ModuleList()
        self.stages = nn.ModuleList()
        widths = [width] * (len(strides) - 1) + [channels]
        for number, (stride, before, after) in enumerate(zip(strides, [colours, *widths], widths, strict=False)):
            conv = nn.Conv2d(before, after, stride, stride)
            norm = LayerNorm2d(before if number else after, eps=1e-6)
            self.downsampling.append(nn.Sequential(*((norm, conv) if number else (conv, norm))))
            self.stages.append(nn.Sequential(*(ConvNeXtBlock(after, ls_init_value=1e-6) for _ in range(depth))))
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


def plain_encoder(colours: int, strides: Sequence[int], width: int, channels: int, depth: int) -> nn.Sequential:
    """Return DNeRV's encoder: per stage a strided convolution, a channel layer norm, blocks; then a 1 x 1 convolution.

    Its blocks are ConvNeXt's without norm and scale, and every layer starts as PyTorch has it (Zhao et al. 2023).

    Args:
        colours, strides, channels, depth: as in `ConvNeXtEncoder`.
        width: channels after every stage.
    """
    from timm.layers import LayerNorm2d
    from timm.models.convnext import ConvNeXtBlock

    layers: list[nn.Module] = []
    for before, stride in zip([colours, *[width] * len(strides)], strides, strict=False):
        layers += [nn.Conv2d(before, width, stride, stride), LayerNorm2d(width, eps=1e-6)]
        layers += [ConvNeXtBlock(width, ls_init_value=None, norm_layer=nn.Identity) for _ in range(depth)]
    return nn.Sequential(nn.Sequential(*layers), nn.Conv2d(width, channels, 1))
