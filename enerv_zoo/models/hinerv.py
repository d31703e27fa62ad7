"""HiNeRV: Video Compression with Hierarchical Encoding-based Neural Representation (Kwan et al., NeurIPS 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.models.family import family
from enerv_zoo.models.geometry import plan

CELLS = 18 * 32
"""Cells of the published base grid."""

CELLS_PER_FRAME = 0.3
"""Of the base grid, as published for 132 frames; there are a little fewer for longer clips."""

SPREAD = 1e-3
"""Largest initial weight of a grid."""

Value = TypeVar("Value")


@family("hinerv", widths=("channels", "base_grid_channels", "enc_grid_channels"))
def hinerv(
    info: VideoInfo,
    *,
    channels: int = 280,
    channels_reduce: float = 2,
    channels_reduce_base: int = 1,
    channels_min: int = 1,
    scales_hw: Sequence[int] | None = None,
    base_hw: Sequence[int] | None = None,
    depths: Sequence[int] = (3, 3, 3, 1),
    exps: Sequence[float] = (4, 4, 4, 1),
    kernels: Sequence[int] = (3, 3, 3, 3),
    stem_kernels: int = 3,
    base_grid_cells: int | None = None,
    base_grid_channels: int = 8,
    base_grid_level: int = 2,
    base_grid_level_scale: Sequence[float] = (2, 0.5),
    enc_grid_cells: int = -1,
    enc_grid_channels: int = 16,
    enc_grid_level: int = 3,
    enc_grid_level_scale: Sequence[float] = (2, 0.5),
    enc_grid_depth_scale: Sequence[float] = (1, 0.5),
    enc_align_corners: bool = False,
    stem_norm: str = "none",
    stem_act: str = "none",
    stem_bias: bool = True,
    upsample_type: str = "bilinear",
    upsample_norm: str = "layer",
    upsample_act: str = "none",
    block_norm: str = "layer",
    block_act: str = "gelu",
    block_bias: bool = False,
    block_layerscale: float = 0,
) -> ModelConfig:
    """Grids of time alone: a coarse one is interpolated, and every stage adds a tile of its own and
    convolves (Kwan et al., NeurIPS 2023). To compare with the paper's rates; needs a GPU and many epochs.

    The lists with a value per stage are stretched where there are more stages than values: the last value is that of
    the last stage, and the one before it that of all stages that have none.

    Args:
        info: the video.
        channels: C of the first feature map.
        channels_reduce: of the channels in each stage after the first.
        channels_reduce_base: channels after a stage are a multiple of it.
        channels_min: floor of the channels.
        scales_hw: upsampling factor of each stage; by default chosen from the frame's size, as is the base grid.
        base_hw: (h, w) of the base grid.
        depths: blocks of each stage.
        exps: expansion of each stage's blocks.
        kernels: of each stage's blocks, odd.
        stem_kernels: kernel of the first convolution, odd.
        base_grid_cells: cells of the base grid's first level, -1 for one per frame; by default 0.3 per frame.
        base_grid_channels: of that level.
        base_grid_level: levels of the base grid.
        base_grid_level_scale: factors by which each further level has fewer cells and fewer channels.
        enc_grid_cells: cells of the first stage's tiles, first level; -1 for one per frame in every stage.
        enc_grid_channels: of those; 0 for no tiles.
        enc_grid_level, enc_grid_level_scale: levels of the tiles, as for the base grid.
        enc_grid_depth_scale: factors on cells and channels of the tiles from stage to stage.
        enc_align_corners: whether the tiles' first and last cells are the first and the last frame.
        stem_norm, stem_act, stem_bias: of the first convolution.
        upsample_type: `"bilinear"`, `"nearest"`, or `"conv1x1"` or `"conv3x3"` (and pixel shuffle).
        upsample_norm, upsample_act: before and after the upsampling.
        block_norm, block_act, block_bias: of the blocks; see `enerv_zoo.blocks.ConvNeXtBlock`.
        block_layerscale: initial factors on what blocks add; 0 for none.
    """
    grid, strides = plan(info.height, info.width, scales_hw, base_hw, cells=CELLS)
    cells = max(round(CELLS_PER_FRAME * info.frames), 1) if base_grid_cells is None else base_grid_cells
    cells = info.frames if cells == -1 else cells
    embeddings = {"base": _grid(cells, base_grid_channels, base_grid_level, base_grid_level_scale)}
    stages = []
    after = max(channels, channels_min)
    for number, stride in enumerate(strides):
        depth = _of_stage(depths, number, len(strides))
        block: Spec = {
            "name": "convnext",
            "channels": after,
            "kernel": _of_stage(kernels, number, len(strides)),
            "expansion": _of_stage(exps, number, len(strides)),
            "norm": block_norm,
            "activation": block_act,
            "bias": block_bias,
            "layer_scale": block_layerscale,
        }
        tile: tuple[Spec, ...] = ()
        if enc_grid_channels:
            slower, narrower = (factor**number for factor in enc_grid_depth_scale)
            cells = info.frames if enc_grid_cells == -1 else max(int(enc_grid_cells * slower), 1)
            width = max(int(enc_grid_channels * narrower), 1)
            embeddings[f"local{number}"] = {
                **_grid(cells, width, enc_grid_level, enc_grid_level_scale),
                "size": [stride, stride],
                "aligned": enc_align_corners,
            }
            tile = ({"name": "add_tile", "with": f"local{number}"},)
        enlarge = _enlargement(stride, upsample_type, upsample_norm, upsample_act)
        stages.append((*enlarge, *tile, *(block for _ in range(depth))))
        reduced = channels_reduce_base * math.ceil((after // channels_reduce) / channels_reduce_base)
        after = max(reduced, channels_min)
    return ModelConfig(
        family="hinerv",
        grid=grid,
        embeddings=embeddings,
        join={
            "name": "conv", "with": ["base"], "channels": channels, "kernel": stem_kernels, "norm": stem_norm,
            "activation": stem_act, "bias": "zero" if stem_bias else False,
        },
        stages=tuple(stages),
        head={"name": "rgb", "bias": "zero"},
    )  # fmt: skip


def _grid(cells: int, channels: int, levels: int, scale: Sequence[float]) -> Spec:
    """Return grids of time at several levels, each with fewer cells and, by a scale below 1, more channels."""
    slower, narrower = scale
    return {
        "name": "temporal_grid",
        "sizes": [max(int(cells / slower**level), 1) for level in range(levels)],
        "channels": [max(int(channels / narrower**level), 1) for level in range(levels)],
        "centred": True,
        "spread": SPREAD,
    }


def _enlargement(stride: int, kind: str, norm: str, activation: str) -> tuple[Spec, ...]:
    """Return the steps that enlarge a map; a convolution that does follows a norm alone."""
    if kind not in ("conv1x1", "conv3x3"):
        return ({"name": "interpolate", "stride": stride, "mode": kind, "norm": norm, "activation": activation},)
    conv = {"name": "nerv", "stride": stride, "kernel": int(kind[-1]), "activation": activation}
    return ({"name": "interpolate", "norm": norm}, conv)


def _of_stage(values: Sequence[Value], number: int, stages: int) -> Value:
    """Return a stage's value of a list that may be shorter or longer than there are stages."""
    if number == stages - 1 or len(values) == 1:
        return values[-1]
    return values[min(number, len(values) - 2)]
