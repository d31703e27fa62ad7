"""Grids and linear maps in closed form: principal components of a video's residuals at several rates of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.layers import blended, from_cells, to_cells

PIECE_BYTES = 1 << 28
"""Frames are held as float32 in pieces of at most about so many bytes: of all frames, as many cells as fit."""

RIDGE = 1e-6
"""Added to the diagonal of the least squares over time."""


@dataclass
class Level:
    """A grid and the linear map that turns each of its cells into pixels.

    Attributes:
        grid: (T, C, h, w), float32.
        factor: pixels per side of a cell, of packed frames.
        left, right, share: (N,) cells beside each frame, and how far it is towards the right one.
        weight: (D, C), with D = factor^2 times the channels of packed frames, ordered (row, column, channel).
        mean: (D,), added to every cell.
    """

    grid: Tensor
    factor: int
    left: Tensor
    right: Tensor
    share: Tensor
    weight: Tensor
    mean: Tensor

    def decode(self, rows: slice, columns: slice) -> Tensor:
        """Return the pixels (N, H', W', channels) of the cells in these rows and columns of the grid."""
        cells = blended(self.grid[:, :, rows, columns], self.left, self.right, self.share).permute(0, 2, 3, 1)
        return from_cells(cells @ self.weight.T + self.mean, self.factor)

    def fit_in_time(self, pixels: Tensor) -> Tensor:
        """Return the (T, ...) that come nearest to pixels (N, ...) when they are interpolated: least squares."""
        cells = len(self.grid)
        if cells == len(self.left) and not self.share.any():
            return pixels
        shape, flat = pixels.shape[1:], pixels.flatten(1)
        share = self.share[:, None]
        sums = flat.new_zeros(cells, flat.shape[1])
        sums.index_add_(0, self.left, flat * (1 - share)).index_add_(0, self.right, flat * share)
        return _solve(*self._normal_matrix(), sums).unflatten(1, shape)

    def _normal_matrix(self) -> tuple[Tensor, Tensor]:
        """Return the diagonal (T,) of A'A and the one beside it (T - 1,): each frame is a blend of two neighbours."""
        share, cells = self.share.double(), len(self.grid)
        apart = self.left != self.right
        diagonal = share.new_full((cells,), RIDGE)
        diagonal.index_add_(0, self.left, torch.where(apart, (1 - share) ** 2, 1.0))
        diagonal.index_add_(0, self.right, torch.where(apart, share**2, 0.0))
        beside = share.new_zeros(cells)
        beside.index_add_(0, self.left, torch.where(apart, share * (1 - share), 0.0))
        return diagonal, beside[:-1]


def _solve(diagonal: Tensor, beside: Tensor, sums: Tensor) -> Tensor:
    """Solve a symmetric tridiagonal system for many right-hand sides (T, P), in place: Thomas' algorithm."""
    pivots = diagonal.tolist()
    ratios: list[float] = []
    for row, upper in enumerate(beside.tolist()):
        ratio = upper / pivots[row]
        ratios.append(ratio)
        pivots[row + 1] -= ratio * upper
        sums[row + 1] -= ratio * sums[row]
    sums /= sums.new_tensor(pivots)[:, None]
    for row in reversed(range(len(ratios))):
        sums[row] -= ratios[row] * sums[row + 1]
    return sums


def packed(frames: Tensor, patch: int, size: tuple[int, int]) -> Tensor:
    """Pack frames: patches of pixels become channels.

    Args:
        frames: (N, 3, H, W), uint8 or float in [0, 1].
        patch: pixels per side of a patch.
        size: (H', W') to which edges are repeated first, multiples of the patch.

    Returns:
        (N, H' / patch, W' / patch, 3 patch^2), float32 in [0, 1], channels ordered (row, column, colour).
    """
    frames = frames if frames.is_floating_point() else frames.float() / 255
    margins = (0, size[1] - frames.shape[-1], 0, size[0] - frames.shape[-2])
    frames = F.pad(frames, margins, mode="replicate") if any(margins) else frames
    return to_cells(frames.permute(0, 2, 3, 1).contiguous(), patch)


@torch.no_grad()
def start(frames: Tensor, levels: Sequence[Level], patch: int, sweeps: int = 2) -> Tensor:
    """Give levels the grids and maps by which they draw a video best, one after the other, in turns.

    Each level gets what the others leave: over time by least squares, over space by the principal components of its
    cells. Its grid then has unit variance per channel. The frames are held as float32 in pieces of cells, so that long
    videos fit into memory; the result depends on the video alone.

    Args:
        frames: (N, 3, H, W), uint8.
        levels: coarse to fine; their grids, weights and means are set. Cells of each are whole cells of those after.
        patch: pixels per side of a patch of packed frames.
        sweeps: turns.

    Returns:
        The mean (3 patch^2,) of the packed frames, which is apart from the levels' own.
    """
    coarse = levels[0]
    size = (coarse.grid.shape[2] * coarse.factor * patch, coarse.grid.shape[3] * coarse.factor * patch)
    video = _Pieces(frames, patch, size, coarse.factor)
    mean = video.mean()
    for sweep in range(sweeps):
        for number, level in enumerate(levels):
            others = [other for other in (levels if sweep else levels[:number]) if other is not level]
            _start_level(video, mean, level, others, keeps_mean=number == 0)
    return mean


def _start_level(video: _Pieces, mean: Tensor, level: Level, others: Sequence[Level], keeps_mean: bool) -> None:
    """Give a level the principal components of what the others leave."""

    def residuals() -> Iterator[tuple[tuple[slice, slice], Tensor]]:
        for rows, columns, pixels in video:
            for other in others:
                pixels = pixels - other.decode(*_scaled(rows, columns, video.factor, other.factor))
            place = _scaled(rows, columns, video.factor, level.factor)
            yield place, to_cells(level.fit_in_time(pixels - mean), level.factor)

    width = len(level.mean)
    sums, squares, count = mean.new_zeros(width, dtype=torch.float64), mean.new_zeros(width, width), 0
    kept = None
    for place, cells in residuals():
        flat = cells.reshape(-1, width)
        sums += flat.sum(dim=0)
        squares += flat.T @ flat
        count += len(flat)
        kept = [(place, cells)] if video.is_one_piece else None
    average = (sums / count).float()
    covariance = squares.double() / count - torch.outer(sums / count, sums / count)
    directions = torch.linalg.eigh(covariance).eigenvectors[:, -level.grid.shape[1] :].flip(1).float()
    grid = torch.zeros_like(level.grid)
    for (rows, columns), cells in kept or residuals():
        grid[:, : directions.shape[1], rows, columns] = ((cells - average) @ directions).permute(0, 3, 1, 2)
    deviation = grid.std(dim=(0, 2, 3), correction=0).clamp(min=1e-6)
    level.grid = grid / deviation[:, None, None]
    level.weight = torch.zeros_like(level.weight)
    level.weight[:, : directions.shape[1]] = directions * deviation[: directions.shape[1]]
    level.mean = average if keeps_mean else torch.zeros_like(level.mean)


def _scaled(rows: slice, columns: slice, coarse: int, fine: int) -> tuple[slice, slice]:
    """Return the cells of a finer level in the same place."""
    scale = coarse // fine
    return tuple(slice(each.start * scale, each.stop * scale) for each in (rows, columns))  # type: ignore[return-value]


class _Pieces:
    """A video as packed pixels, in pieces of whole cells of the coarsest level: (rows, columns, (N, H', W', D))."""

    def __init__(self, frames: Tensor, patch: int, size: tuple[int, int], factor: int) -> None:
        self.frames, self.patch, self.size, self.factor = frames, patch, size, factor
        side = patch * factor
        self.grid = (size[0] // side, size[1] // side)
        cells = max(PIECE_BYTES // (len(frames) * 3 * side**2 * 4), 1)
        self.columns = min(self.grid[1], cells)
        self.rows = max(min(self.grid[0], cells // self.grid[1]), 1)
        self.is_one_piece = (self.rows, self.columns) == self.grid
        self._whole: Tensor | None = None

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor]]:
        for top in range(0, self.grid[0], self.rows):
            for left in range(0, self.grid[1], self.columns):
                rows = slice(top, min(top + self.rows, self.grid[0]))
                columns = slice(left, min(left + self.columns, self.grid[1]))
                yield rows, columns, self._piece(rows, columns)

    def _piece(self, rows: slice, columns: slice) -> Tensor:
        if self._whole is not None:
            return self._whole
        side = self.patch * self.factor
        size = ((rows.stop - rows.start) * side, (columns.stop - columns.start) * side)
        pixels = self.frames[..., rows.start * side : rows.stop * side, columns.start * side : columns.stop * side]
        piece = packed(pixels, self.patch, size)
        if self.is_one_piece:
            self._whole = piece
        return piece

    def mean(self) -> Tensor:
        """Return the mean (3 patch^2,) over space and time."""
        sums = sum(piece.sum(dim=(0, 1, 2), dtype=torch.float64) for _, _, piece in self)
        return (sums / (len(self.frames) * math.prod(self.size) / self.patch**2)).float()  # type: ignore[union-attr]
