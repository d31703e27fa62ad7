"""PCA-NeRV: grids that start as principal components, and a light network that corrects them (this project's own)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.models.family import family

PATCH = 2
"""Pixels per side of a pixel that the network draws: nothing is computed at the frame's full size."""


@family("pca_nerv", widths=("widths", "channels"))
def pca_nerv(
    info: VideoInfo,
    *,
    widths: Sequence[int] = (72, 56, 32, 16),
    channels: Sequence[int] = (6, 4, 4),
    rates: Sequence[float] = (1, 0.25, 0.0625),
    act: str = "gelu",
) -> ModelConfig:
    """Grids of three rates in time, started in closed form; a dense, light decoder that adds what they lack.

    Args:
        info: the video.
        widths: channels of the feature maps, at 1/16, 1/8, 1/4 and 1/2 of the frame's sides.
        channels: of the grids, at 1/16, 1/8 and 1/4.
        rates: cells of each grid per frame.
        act: activation.
    """
    if not len(widths) - 1 == len(channels) == len(rates) >= 1:
        raise ConfigError(
            f"a width more than there are grids is needed, got {len(widths)} widths, {len(channels)} channels and "
            f"{len(rates)} rates"
        )
    stride = PATCH * 2 ** len(channels)
    names = [f"grid{number}" for number in range(len(channels))]
    embeddings = {
        name: {
            "name": "temporal_grid",
            "sizes": [max(round(rate * info.frames), 1)],
            "channels": count,
            "scale": 2**number,
            "centred": True,
        }
        for number, (name, count, rate) in enumerate(zip(names, channels, rates, strict=True))
    }
    enlarge = [{"name": "nerv", "channels": width, "stride": 2, "activation": "none"} for width in widths[1:-1]]
    add = [{"name": "add", "with": name, "activation": act} for name in names[1:]]
    last = {"name": "nerv", "channels": widths[-1], "stride": 2, "activation": act}
    return ModelConfig(
        family="pca_nerv",
        grid=(math.ceil(info.height / stride), math.ceil(info.width / stride)),
        embeddings=embeddings,
        join={"name": "conv", "with": [names[0]], "channels": widths[0], "activation": act},
        stages=(*zip(enlarge, add, strict=True), (last,)),
        head={
            "name": "linear_skip",
            "with": names,
            "factors": [2 ** (len(channels) - number) for number in range(len(channels))],
            "patch": PATCH,
        },
    )
