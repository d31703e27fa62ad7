"""Places between the cells of a line of grids, and maps whose channels are pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.precision import wide

is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", bool)
"""Return whether `torch.export` is tracing; never with a PyTorch that is too old for `enerv_zoo.export`."""


def centred_places(index: Tensor, frames: int, cells: int, aligned: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two cells beside each frame of a video, and how far it is towards the second one.

    Cells are at the centres of their intervals: frame i is at (i + 1/2) T / N - 1/2, within [0, T - 1].

    Args:
        index: of frames (B,), integer or fractional.
        frames: of the video, N.
        cells: on the line, T.
        aligned: whether the first and the last cell are the first and the last frame, at i (T - 1) / (N - 1); a single
            frame is then in the middle.

    Returns:
        (B,) three times: left, right (int64) and the share of the right one (float32).
    """
    if aligned:
        place = wide(index) * ((cells - 1) / (frames - 1)) if frames > 1 else wide(index) + (cells - 1) / 2
    else:
        place = (wide(index) + 0.5) * (cells / frames) - 0.5
    place = place.clamp(0, cells - 1)
    left = place.floor()
    return left.long(), (left + 1).clamp(max=cells - 1).long(), (place - left).float()


def blended(cells: Tensor, left: Tensor, right: Tensor, share: Tensor) -> Tensor:
    """Return maps (T, C, h, w) blended at places (B,): (B, C, h, w)."""
    return torch.lerp(cells[left], cells[right], share.to(cells.dtype)[:, None, None, None])


@torch.no_grad()
def blend_others(cells: Tensor, index: Tensor) -> None:
    """Replace the cells (T, C, h, w) that are not at indices by blends of the nearest ones that are."""
    index = index.to(cells.device).unique()
    places = torch.arange(len(cells), device=cells.device)
    right = torch.searchsorted(index, places).clamp(max=len(index) - 1)
    left = (right - (index[right] > places).long()).clamp(min=0)
    before, after = index[left], index[right]
    share = ((places - before) / (after - before).clamp(min=1)).clamp(0, 1)
    cells.copy_(blended(cells.clone(), before, after, share))


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Turn channels into pixels: (B, factor^2 C, H, W) -> (B, C, factor H, factor W).

    Channels are ordered (row, column, channel), so that runs of channels are copied in channels_last memory.
    """
    if is_exporting():  # other runtimes have the shuffle of single numbers as one operation
        return F.pixel_shuffle(x.unflatten(1, (factor**2, -1)).transpose(1, 2).flatten(1, 2), factor)
    return from_cells(x.permute(0, 2, 3, 1), factor).permute(0, 3, 1, 2)


def to_cells(pixels: Tensor, factor: int) -> Tensor:
    """(N, H, W, channels) -> (N, H / factor, W / factor, factor^2 channels), ordered (row, column, channel)."""
    count, height, width, channels = pixels.shape
    cells = pixels.view(count, height // factor, factor, width // factor, factor, channels)
    return cells.permute(0, 1, 3, 2, 4, 5).flatten(3)


def from_cells(cells: Tensor, factor: int) -> Tensor:
    """Undo `to_cells`.

    Each of a cell's rows is moved at once, in both directions: as one permutation, gradients would move a cell at a
    time, which takes a CPU three times as long.
    """
    count, height, width, channels = cells.shape
    rows = cells.split(channels // factor, dim=-1)
    return torch.stack(rows, dim=2).view(count, height * factor, width * factor, channels // factor**2)
