"""Grids and linear maps in closed form: principal components of a video's residuals at several rates of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from enerv_zoo.layers import blended
from enerv_zoo.pixels import as_float

PIECE_BYTES = 1 << 28
"""Frames are held as float32 in pieces of at most about so many bytes: of all frames, as many cells as fit."""

RIDGE = 1e-6
"""Added to the diagonal of the least squares over time."""

SAMPLES = 1 << 15
"""Components are those of about so many cells of a grid, evenly spread in time, where it has many more."""

FEW = 512
"""So many cells are decomposed as they are: their covariance has fewer directions than a cell has values."""

WIDEST, SPARE, ITERATIONS = 1024, 8, 4
"""Cells of more values get their components by so many subspace iterations, with so many spare directions."""

Place = tuple[slice, slice]
"""Rows and columns of the coarsest level's cells."""


@dataclass(eq=False)
class Level:
    """A grid and the linear map that turns each of its cells into pixels.

    Attributes:
        grid: (T, C, h, w), float32.
        side: pixels per side of a cell.
        left, right, share: (N,) cells beside each frame, and how far it is towards the right one.
        weight: (D, C), with D = 3 side^2: the pixels of a cell, ordered (row, column, channel).
        mean: (D,), added to every cell.
    """

    grid: Tensor
    side: int
    left: Tensor
    right: Tensor
    share: Tensor
    weight: Tensor
    mean: Tensor

    def fit_in_time(self, values: Tensor) -> Tensor:
        """Return the (T, ...) that come nearest to values (N, ...) when they are interpolated: least squares."""
        cells, frames = len(self.grid), len(self.left)
        if cells == frames and not self.share.any():
            return values
        places = torch.stack((torch.cat((self.left, self.right)), torch.arange(frames).repeat(2)))
        shares = torch.cat((1 - self.share, self.share))
        transposed = torch.sparse_coo_tensor(places, shares, (cells, frames), check_invariants=False)
        sums = torch.sparse.mm(transposed, values.flatten(1))
        return _solve(*self._normal_matrix(), sums).unflatten(1, values.shape[1:])

    def _normal_matrix(self) -> tuple[Tensor, Tensor]:
        """Return the diagonal (T,) of A'A and the one beside it (T - 1,): each frame is a blend of two neighbours."""
        share = self.share.double()
        diagonal = share.new_full((len(self.grid),), RIDGE)
        diagonal.index_add_(0, self.left, (1 - share) ** 2).index_add_(0, self.right, share**2)
        beside = torch.zeros_like(diagonal).index_add_(0, self.left, share * (1 - share))
        return diagonal, beside[:-1]

    def at_all_frames(self, coarse: int, place: Place) -> Tensor:
        """Return the grid (N, C, ...) at all frames, at a place in cells of `coarse` pixels per side."""
        rows, columns = _scaled(place, coarse // self.side)
        return blended(self.grid[:, :, rows, columns], self.left, self.right, self.share)

    def decode_within(self, maps: Tensor, coarse: int) -> Tensor:
        """Return the pixels that maps (T, C, ...) stand for, as cells of `coarse` pixels: (T, rows, columns, D')."""
        scale = coarse // self.side
        pixels = torch.matmul(maps.permute(0, 2, 3, 1), self.weight.T)
        if scale == 1:
            return pixels
        split = pixels.unflatten(3, (self.side, -1)).unflatten(2, (-1, scale)).unflatten(1, (-1, scale))
        return split.permute(0, 1, 3, 2, 5, 4, 6).flatten(3)

    def cells_within(self, cells: Tensor, coarse: int) -> Tensor:
        """Divide coarse cells (T, rows, columns, D') into this level's: (T, scale rows, scale columns, D)."""
        scale = coarse // self.side
        if scale == 1:
            return cells
        split = cells.unflatten(3, (scale, self.side, scale, -1)).permute(0, 1, 3, 2, 5, 4, 6)
        return split.flatten(5).flatten(3, 4).flatten(1, 2)


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


@torch.no_grad()
def start(frames: Tensor, levels: Sequence[Level], sweeps: int = 2) -> None:
    """Give levels the grids and maps by which they decode a video best, one after the other, in turns.

    Each level gets what the others leave: over time by least squares, over space by the principal components of its
    cells. Its grid then has unit variance per channel. The frames are held as float32 in pieces of cells, so that long
    videos fit into memory; the result depends on the video alone.

    Args:
        frames: (N, 3, H, W), uint8.
        levels: coarse to fine; their grids, weights and means are set; only the first mean is not zero. Cells of each
            are whole cells of those after.
        sweeps: turns.
    """
    video = _Pieces(frames, levels[0])
    for sweep in range(sweeps):
        for number, level in enumerate(levels):
            others = [other for other in (levels if sweep else levels[:number]) if other is not level]
            _start_level(video, level, others, keeps_mean=number == 0)


def _start_level(video: _Pieces, level: Level, others: Sequence[Level], keeps_mean: bool) -> None:
    """Give a level the principal components of what the others leave."""
    width, channels, scale = len(level.mean), level.grid.shape[1], video.side // level.side
    cached: list[Tensor] = []

    def cells() -> Iterator[Tensor]:
        """The level's cells (T, rows, columns, D) in each piece."""
        for place in video.places:
            yield cached[0] if cached else video.residual(place, level, others)

    if len(video.places) == 1:
        cached.append(next(cells()))
    stride = max(level.grid[:, 0].numel() // SAMPLES, 1)
    sizes = [level.grid[:, 0, *_scaled(place, scale)].numel() for place in video.places]
    while any(math.gcd(stride, size) > 1 for size in sizes):  # else some columns of each row are never looked at
        stride += 1
    count = sum(-(-size // stride) for size in sizes)

    def sample() -> Iterator[Tensor]:
        return (each.reshape(-1, width)[::stride] for each in cells())

    average, directions = _components(sample, count, width, channels)
    offsets = (average @ directions).float()
    average, directions = average.float(), directions.float()
    grid = torch.zeros_like(level.grid)
    for place, piece in zip(video.places, cells(), strict=True):
        rows, columns = _scaled(place, scale)
        grid[:, : directions.shape[1], rows, columns] = (piece @ directions - offsets).permute(0, 3, 1, 2)
    deviation = grid.std(dim=(0, 2, 3), correction=0).clamp(min=1e-6)
    level.grid = grid / deviation[:, None, None]
    level.weight = torch.zeros_like(level.weight)
    level.weight[:, : directions.shape[1]] = directions * deviation[: directions.shape[1]]
    level.mean = average if keeps_mean else torch.zeros_like(level.mean)


def _components(pieces: Callable[[], Iterable[Tensor]], rows: int, width: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) of rows, and the directions (D, C) in which they vary most, in float64.

    A few rows are decomposed as they are. Others up to `WIDEST` wide are taken by their covariance. That of wider ones
    would fill the memory; subspace iteration from a fixed basis of a few more directions comes close to theirs.

    Args:
        pieces: gives all rows (n, D), float32, in pieces; called once per pass.
        rows: n.
        width: D.
        count: C; fewer are returned where rows are narrower, or as few.
    """
    if rows <= min(FEW, width):
        few = torch.cat(list(pieces())).double()
        average = few.mean(dim=0)
        return average, torch.linalg.svd(few - average, full_matrices=False).Vh[:count].T
    if width <= WIDEST:
        average, covariance = _moments(pieces)
        return average, _leading(covariance, count)
    products = torch.randn(width, count + SPARE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(ITERATIONS):
        basis = torch.linalg.qr(products).Q
        average, products = _moments(pieces, basis)
    return average, basis @ _leading(basis.T @ products, count)


def _moments(pieces: Callable[[], Iterable[Tensor]], basis: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) of rows, and their covariance (D, D), or its product with a basis (D, k), in float64."""
    sums, products, rows = torch.zeros(()), torch.zeros(()), 0
    for piece in pieces():
        sums = sums + piece.sum(dim=0).double()
        products = products + piece.T @ (piece if basis is None else piece @ basis.float())
        rows += len(piece)
    average = sums / rows
    along = average if basis is None else average @ basis
    return average, products.double() / rows - torch.outer(average, along)


def _leading(symmetric: Tensor, count: int) -> Tensor:
    """Return the eigenvectors of the largest eigenvalues, the largest first."""
    return torch.linalg.eigh(symmetric).eigenvectors[:, -count:].flip(1)


def _scaled(place: Place, scale: int) -> Place:
    """Return the cells of a finer level in the same place."""
    rows, columns = place
    return slice(rows.start * scale, rows.stop * scale), slice(columns.start * scale, columns.stop * scale)


class _Pieces:
    """A video in pieces of whole cells of the coarsest level, whose pixels are ordered as that level's are.

    Args:
        frames: (N, 3, H, W), uint8; edges are repeated up to the size of the grid's cells.
        coarse: the coarsest level.

    Attributes:
        places: of the pieces.
        side: pixels per side of a cell.
    """

    def __init__(self, frames: Tensor, coarse: Level) -> None:
        self.frames, self.coarse, self.side = frames, coarse, coarse.side
        height, width = coarse.grid.shape[2:]
        cells = max(PIECE_BYTES // (len(frames) * 3 * self.side**2 * 4), 1)
        columns = min(width, cells)
        rows = max(min(height, cells // width), 1)
        self.places = [
            (slice(top, min(top + rows, height)), slice(left, min(left + columns, width)))
            for top in range(0, height, rows)
            for left in range(0, width, columns)
        ]
        self._fitted: dict[Level | None, Tensor] = {}

    def residual(self, place: Place, level: Level, others: Sequence[Level]) -> Tensor:
        """Return what other levels leave of a piece for one level, as its cells: (T, rows, columns, D)."""
        cells = self.fitted(place, level)
        if others:
            cells = cells - self.coarse.mean if self.coarse in others else cells.clone()
        for other in others:
            maps = level.fit_in_time(other.at_all_frames(self.side, place))
            cells -= other.decode_within(maps, self.side)
        return level.cells_within(cells, self.side)

    def fitted(self, place: Place, level: Level) -> Tensor:
        """Return the coarse cells (T, rows, columns, D) that come nearest to a piece at a level's rate."""
        if level not in self._fitted:
            pixels = self._pixels(place)
            cells = level.fit_in_time(pixels)
            if len(self.places) > 1:
                return cells
            self._fitted[level] = cells
        return self._fitted[level]

    def _pixels(self, place: Place) -> Tensor:
        """Return a piece: (N, rows, columns, D), float32 in [0, 1]."""
        if None in self._fitted:
            return self._fitted[None]
        rows, columns = _scaled(place, self.side)
        piece = self.frames[:, :, rows, columns].permute(0, 2, 3, 1)
        for axis, pixels in ((1, rows), (2, columns)):
            inside = torch.arange(pixels.stop - pixels.start).clamp(max=piece.shape[axis] - 1)
            piece = piece if len(inside) == piece.shape[axis] else piece.index_select(axis, inside)
        split = piece.flatten(2).unflatten(2, (-1, 3 * self.side)).unflatten(1, (-1, self.side)).transpose(2, 3)
        cells = as_float(split.flatten(3))
        if len(self.places) == 1:
            self._fitted[None] = cells
        return cells
