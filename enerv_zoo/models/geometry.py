"""From a frame's size to a base grid and strides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from enerv_zoo.config import size_text
from enerv_zoo.errors import ConfigError

MAX_STAGES = 5
CELLS = 9 * 16
"""Cells of the papers' base grid."""


def plan(
    height: int, width: int, strides: Sequence[int] | None = None, grid: Sequence[int] | None = None, cells: int = CELLS
) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Choose a base grid (h, w) and strides that decode at least height x width.

    Where nothing is given: at most five strides out of 2, 3, 4, 5, largest first, and a grid of about 9 x 16 cells,
    or as many as `cells` says.
    Sizes that the strides divide exactly are preferred; else a little more is decoded, and cropped.

    Args:
        height, width: of the frame.
        strides: if given, only the grid is chosen.
        grid: if given with strides, both are only checked.
        cells: about how many cells the grid is to have.

    Raises:
        ConfigError: strides and grid that decode less than the frame, or a grid without strides.
    """
    if strides is None and grid is not None:
        raise ConfigError(f"a grid of {grid} was given without strides; give both or neither")
    strides = tuple(strides) if strides is not None else _best_strides(height, width, cells)
    stride = math.prod(strides)
    if not strides or min(strides) < 1:
        raise ConfigError(f"strides must be integers of at least 1, got {list(strides)}")
    smallest = (math.ceil(height / stride), math.ceil(width / stride))
    if grid is None:
        return smallest, strides
    if len(grid) != 2 or grid[0] < smallest[0] or grid[1] < smallest[1]:
        raise ConfigError(
            f"a grid of {'x'.join(map(str, reversed(grid)))} with strides {list(strides)} decodes to less than "
            f"{size_text(height, width)}; it needs at least {size_text(*smallest)}"
        )
    return (grid[0], grid[1]), strides


def _best_strides(height: int, width: int, cells: int) -> tuple[int, ...]:
    def cost(strides: tuple[int, ...]) -> tuple[float, int]:
        stride = math.prod(strides)
        h, w = math.ceil(height / stride), math.ceil(width / stride)
        surplus = h * w * stride**2 / (height * width) - 1
        return round(surplus + 0.05 * abs(math.log2(h * w / cells)), 9), -len(strides)

    return min(_candidates(), key=cost)


def _candidates(stages: int = MAX_STAGES, largest: int = 5) -> Iterator[tuple[int, ...]]:
    """Every descending list of at most `stages` strides; one stage of stride 1 for the tiniest frames."""
    if stages == MAX_STAGES:
        yield (1,)
    for stride in range(2, largest + 1):
        yield (stride,)
        if stages > 1:
            for rest in _candidates(stages - 1, stride):
                if rest != (1,):
                    yield (stride, *rest)
