"""Learned maps of frames, or of groups of frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from enerv_zoo.coding import GRID, CodingHint
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.layers import blend_others, blended, centred_places
from enerv_zoo.registry import embeddings


@embeddings.register("latent")
class LatentEmbedding(nn.Module):
    """A learned map per frame, or per group of consecutive frames: HNeRV's embedding without its encoder.

    Frames that share a map differ in one more channel, which holds the frame's place in its group: from -1 for the
    first frame to 1 for the last. A fractional index blends what the two frames beside it have.

    Args:
        channels: of a map, as learned.
        size: (h, w) of a map; by default that of the first feature map. (1, 1) is a vector per group.
        frames: in a group.
        std: standard deviation of the initial maps, which are normal.

    Shapes: (B,) -> (B, channels, h, w), or (B, channels + 1, h, w) for groups of several frames.
    """

    fixed = False

    def __init__(
        self,
        info: VideoInfo,
        grid: tuple[int, int],
        *,
        channels: int = 16,
        size: Sequence[int] | None = None,
        frames: int = 1,
        std: float = 0.1,
    ) -> None:
        super().__init__()
        height, width = grid if size is None else size
        if min(channels, height, width, frames) < 1:
            raise ConfigError(
                f"channels, size and frames are integers of at least 1, got {channels}, {[height, width]} and {frames}"
            )
        self.frames, self.group = info.frames, frames
        self.table = nn.Parameter(std * torch.randn(-(-info.frames // frames), channels, height, width))
        self.shape = (channels + (frames > 1), height, width)

    def forward(self, index: Tensor) -> Tensor:
        left, right, share = centred_places(index, self.frames, self.frames)
        maps = blended(self.table, left // self.group, right // self.group, share)
        if self.group == 1:
            return maps
        first, second = (2 / (self.group - 1) * (frame % self.group).float() - 1 for frame in (left, right))
        place = torch.lerp(first, second, share).to(maps.dtype)[:, None, None, None].expand(-1, 1, *self.shape[1:])
        return torch.cat((maps, place), dim=1)

    def blend_unseen(self, fitted: Tensor) -> None:
        """Blend the maps of groups without a fitted frame; see the contract of embeddings."""
        blend_others(self.table, fitted // self.group)

    def coding_hints(self) -> dict[str, CodingHint]:
        """The table is one of feature maps."""
        return {"table": GRID}
