"""PCA-NeRV: grids that start as principal components, and a light network that corrects them (this project's own)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.models.family import family

PATCH = 2
"""Pixels per side of a pixel that the network decodes: nothing is computed at the frame's full size."""

LEVELS, MOST_LEVELS = 3, 7
"""Grids that a network has at least, unless it is told otherwise, and at the most."""

CELLS = 1000
"""Cells of the coarsest grid at the most, unless a network is told how many grids it has."""

FRAME_SHARE = 0.3
FRAME_CHANNELS = 2
"""Under a budget, the grid with a cell for each frame takes at most this part of it with so many channels."""

GRID_SHARE = 0.45
"""About the part of a budget that grids take, in whole channels, and the network the rest: measured (docs/zoo.md)."""

MOST_CHANNELS = 1 / 4
"""Channels of the coarsest grid over the network's width under a budget, at the most: for few frames, grids with more
hold these as they are."""

FINER = 2 / 3
"""Channels of finer grids over those of the coarsest."""

SLOWER = 4
"""Each grid has a cell for so many times as many frames as the coarser one before it."""

HEAD_GAIN = 0.03
"""Factor on the first weights of the head's convolution: what the network adds is small beside what the grids show."""

NARROWING = (1, 7 / 9, 4 / 9, 2 / 9)
"""Channels of the last feature maps, coarse to fine, over the width; coarser ones have the width itself."""


def levels_for(info: VideoInfo, budget: int | None = None) -> int:
    """Return how many grids a network has: the fewest of which the coarsest is small enough, and cheap enough.

    Args:
        info: the video.
        budget: of stored parameters, or `None`.
    """
    for levels in range(LEVELS, MOST_LEVELS):
        height, width = _grid(info, levels)
        affordable = budget is None or FRAME_CHANNELS * height * width * info.frames <= FRAME_SHARE * budget
        if height * width <= CELLS and affordable:
            return levels
    return MOST_LEVELS


def _grid(info: VideoInfo, levels: int) -> tuple[int, int]:
    stride = PATCH * 2**levels
    return math.ceil(info.height / stride), math.ceil(info.width / stride)


def _times(info: VideoInfo, number: int) -> int:
    """Return how many cells in time a grid has; it has 2^number times the rows and columns of the coarsest."""
    return max(round(info.frames / SLOWER**number), 1)


def _narrowing(levels: int) -> list[float]:
    return [1.0] * (levels + 1 - len(NARROWING)) + list(NARROWING[-levels - 1 :])


def _for_budget(info: VideoInfo, budget: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the grids for a budget, and about the channels and the width by which they share it with the network."""
    levels = levels_for(info, budget) if options.get("levels") is None else options["levels"]
    if levels not in range(1, MOST_LEVELS + 1):
        return {}  # the family says so
    cells = [math.prod(_grid(info, levels)) * 4**number * _times(info, number) for number in range(levels)]
    kernels = 36 * sum(here * after for here, after in pairwise(_narrowing(levels)))  # 3x3, to four pixels each
    width = math.sqrt((1 - GRID_SHARE) * budget / kernels)
    channels = min(GRID_SHARE * budget / (cells[0] + FINER * sum(cells[1:])), MOST_CHANNELS * width)
    return {"levels": levels, "channels": max(round(channels), 1), "width": max(round(width), 1)}


@family("pca_nerv", widths=("channels", "width"), for_budget=_for_budget)
def pca_nerv(
    info: VideoInfo, *, width: int = 72, channels: int = 6, levels: int | None = None, act: str = "gelu"
) -> ModelConfig:
    """Grids of several rates in time, started in closed form; a dense, light decoder that adds what they lack (this
    project's own). Take it for a good result soon, at any size: sharp in seconds, fast to decode.

    The coarsest grid has a cell for each frame; each finer one has twice the rows and columns, and a cell for four
    times as many frames. The decoder begins with the coarsest, adds each finer one where its size is reached, and
    corrects the frame that all of them give by linear maps.

    Args:
        info: the video.
        width: channels of the coarsest feature map.
        channels: of the coarsest grid; finer ones have two thirds of them.
        levels: number of grids; the coarsest has a cell for 2^(levels + 1) x 2^(levels + 1) pixels. By default 3, or
            more for large frames and small budgets.
        act: activation.
    """
    levels = levels_for(info) if levels is None else levels
    if not 1 <= levels <= MOST_LEVELS:
        raise ConfigError(f"levels are 1 to {MOST_LEVELS}, got {levels}")
    widths = [max(round(width * share), 1) for share in _narrowing(levels)]
    names = [f"grid{number}" for number in range(levels)]
    embeddings = {
        name: {
            "name": "temporal_grid",
            "sizes": [_times(info, number)],
            "channels": channels if number == 0 else max(round(channels * FINER), 1),
            "scale": 2**number,
            "centred": True,
        }
        for number, name in enumerate(names)
    }
    enlarge = [{"name": "nerv", "channels": each, "stride": 2, "activation": "none"} for each in widths[1:-1]]
    add = [{"name": "add", "with": name, "activation": act} for name in names[1:]]
    last = {"name": "nerv", "channels": widths[-1], "stride": 2, "activation": act}
    return ModelConfig(
        family="pca_nerv",
        grid=_grid(info, levels),
        embeddings=embeddings,
        join={"name": "conv", "with": [names[0]], "channels": widths[0], "activation": act},
        stages=(*zip(enlarge, add, strict=True), (last,)),
        head={
            "name": "linear_skip",
            "with": names,
            "factors": [2 ** (levels - number) for number in range(levels)],
            "patch": PATCH,
            "gain": HEAD_GAIN,
        },
    )
