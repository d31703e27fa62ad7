"""Time as grids of feature maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from enerv_zoo.coding import GRID, TILES, CodingHint
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.layers import blend_others, blended, centred_places, fake_quantised
from enerv_zoo.precision import wide
from enerv_zoo.registry import embeddings

EPS = 1e-6
"""A time this little before a cell counts as in it; the authors' guard against rounding."""


@embeddings.register("temporal_grid")
class TemporalGridEmbedding(nn.Module):
    """Feature maps on a line of cells, at several resolutions, blended to any time (Lee et al. 2023, 3.2).

    A grid of T cells gives the blend of the two cells beside a place on the line; the maps of all grids are
    concatenated. The place of frame i of N is i T / N, with cells at the beginnings of their intervals (Lee et al.
    2023), or (i + 1/2) T / N - 1/2, with cells at the centres, so that N cells are the N frames (Kwan et al. 2023).

    Args:
        sizes: cells T of each grid.
        channels: of each grid; or of all together, shared out evenly: with fewer channels than grids, the first ones
            get them.
        weight_bits: 32, or fewer for weights that are quantised while fitting (see `enerv_zoo.layers.fake_quantised`).
        scale: of the maps: as many times the rows and columns of the first feature map.
        size: (rows, columns) of the maps, in place of a scale.
        centred: whether cells are at the centres of their intervals.
        aligned: whether centred cells span the frames: the first and the last one are the first and the last frame.
        spread: initial weights are uniform within this distance of 0; by default they are Xavier's (Glorot 2010).

    Shapes: (B,) -> (B, channels, scale h, scale w).
    """

    fixed = False

    def __init__(
        self,
        info: VideoInfo,
        grid: tuple[int, int],
        *,
        sizes: Sequence[int] = (64, 128, 256, 512),
        channels: int | Sequence[int] = 32,
        weight_bits: int = 32,
        scale: int = 1,
        size: tuple[int, int] | None = None,
        centred: bool = False,
        aligned: bool = False,
        spread: float | None = None,
    ) -> None:
        super().__init__()
        height, width = (scale * grid[0], scale * grid[1]) if size is None else size
        if min(scale, height, width) < 1:
            raise ConfigError(f"scale and size of a grid are integers of at least 1, got {scale} and {size}")
        if not sizes or min(sizes) < 1:
            raise ConfigError(f"a grid needs at least one cell, got grids of {list(sizes)}")
        if isinstance(channels, int):
            channels = [channels // len(sizes) + (number < channels % len(sizes)) for number in range(len(sizes))]
        shares = list(channels)
        if len(shares) != len(sizes) or min(shares) < 0:
            raise ConfigError(f"channels are those of each of {len(sizes)} grids, or of all together, got {channels}")
        self.grids = nn.ParameterList(
            _initial(torch.empty(cells, share, height, width), spread)
            for cells, share in zip(sizes, shares, strict=True)
            if share
        )
        self.frames, self.weight_bits, self.centred, self.aligned = info.frames, weight_bits, centred, aligned
        self.shape = (sum(shares), height, width)
        self._has_own_size = size is not None

    def coding_hints(self) -> dict[str, CodingHint]:
        """Every tensor is a table of feature maps."""
        return {f"grids.{number}": TILES if self._has_own_size else GRID for number in range(len(self.grids))}

    def forward(self, index: Tensor) -> Tensor:
        grids = [fake_quantised(cells, self.weight_bits) for cells in self.grids]
        if self.centred:
            maps = [blended(cells, *centred_places(index, self.frames, len(cells), self.aligned)) for cells in grids]
        else:
            t = (wide(index) / self.frames).float()
            maps = [_sampled(cells, *_places(t, len(cells))) for cells in grids]
        return torch.cat(maps, dim=1) if len(maps) > 1 else maps[0]

    def blend_unseen(self, fitted: Tensor) -> None:
        """Blend the cells that no fitted frame takes; see the contract of embeddings."""
        for cells in self.grids:
            if self.centred:
                left, right, share = centred_places(fitted, self.frames, len(cells), self.aligned)
            else:
                left, right, share = _places((wide(fitted) / self.frames).float(), len(cells))
            blend_others(cells, torch.cat((left[share < 1], right[share > 0])))


def _initial(cells: Tensor, spread: float | None) -> Tensor:
    return nn.init.xavier_uniform_(cells) if spread is None else nn.init.uniform_(cells, -spread, spread)


def _places(t: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two cells beside times (B,) in [0, 1] and the share of the second one, (B,) each."""
    last = cells - 1
    place = t * cells
    left = (place + EPS).floor().clamp(0, last)
    right = (left + 1).clamp(max=last)
    return left.long(), right.long(), torch.where(right > left, place - left, 0.0)


def _sampled(cells: Tensor, left: Tensor, right: Tensor, share: Tensor) -> Tensor:
    """The maps (T, C, h, w) blended at places (B,): (B, C, h, w)."""
    share = share[:, None, None, None]
    return cells[left] * (1 - share) + cells[right] * share
