"""HNeRV: A Hybrid Neural Representation for Videos (Chen et al., CVPR 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from enerv_zoo.composition import ModelConfig, stage_steps
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.models.family import family
from enerv_zoo.models.geometry import plan

CELLS = 2 * 4
"""Pixels of the published embedding: a map is stored for every frame, so it is small."""


def hnerv_stages(
    width: int,
    strides: Sequence[int],
    kernels: Sequence[int],
    reduce: float,
    lower_width: int,
    depths: Sequence[int],
    act: str,
    after: Spec | None = None,
    skip: bool = False,
) -> tuple[tuple[Spec, ...], ...]:
    """Stages whose kernels grow from `kernels[0]` by 2 up to `kernels[1]`, and whose widths shrink by `reduce`.

    A `reduce` of -1 stands for the root of each stage's stride; `skip` adds a way around each block.
    """
    stages = []
    for number, stride in enumerate(strides):
        width = max(round(width / (stride**0.5 if reduce == -1 else reduce)), lower_width)
        kernel = min(kernels[0] + 2 * number, kernels[1])
        block: Spec = {"name": "nerv", "activation": act, "kernel": kernel}
        block = {"name": "skip", "block": block} if skip else block
        depth = depths[min(number, len(depths) - 1)]
        stages.append(stage_steps(block, width, stride, depth, after=after))
    return tuple(stages)


def content_plan(
    info: VideoInfo, enc_strds: Sequence[int] | None, dec_strds: Sequence[int] | None
) -> tuple[tuple[int, int], tuple[int, ...], tuple[int, ...]]:
    """The decoder's grid, the encoder's strides and the decoder's, chosen from the frame's size where not given.

    The encoder's strides come to a multiple of the decoder's, as every pixel of an embedding becomes whole cells.

    Raises:
        ConfigError: they do not.
    """
    strides = dec_strds or enc_strds
    _, decoder = plan(info.height, info.width, strides, cells=CELLS)
    encoder = tuple(enc_strds) if enc_strds else decoder
    cells, rest = divmod(math.prod(encoder), math.prod(decoder))
    if rest:
        raise ConfigError(
            f"the encoder's strides {list(encoder)} come to {math.prod(encoder)}, which is no multiple of the "
            f"decoder's, {list(decoder)}: {math.prod(decoder)}"
        )
    stride = math.prod(encoder)
    return (cells * math.ceil(info.height / stride), cells * math.ceil(info.width / stride)), encoder, decoder


def content_embedding(strides: Sequence[int], enc_dim: Sequence[int], depth: int) -> Spec:
    """The `content` embedding by HNeRV's option names."""
    return {"name": "content", "strides": list(strides), "width": enc_dim[0], "channels": enc_dim[1], "depth": depth}


@family("hnerv", widths=("fc_dim", "lower_width"))
def hnerv(
    info: VideoInfo,
    *,
    fc_dim: int = 68,
    enc_strds: Sequence[int] | None = None,
    dec_strds: Sequence[int] | None = None,
    enc_dim: Sequence[int] = (64, 16),
    ks: Sequence[int] = (0, 1, 5),
    reduce: float = 1.2,
    lower_width: int = 12,
    num_blks: Sequence[int] = (1, 1),
    act: str = "gelu",
    out_bias: str | float = "tanh",
) -> ModelConfig:
    """A tiny map per frame, computed by an encoder that is not stored, and a decoder (Chen et al., CVPR 2023). To
    compare with the paper; the encoder makes fitting slow, so plan many epochs on a GPU.

    Args:
        info: the video.
        fc_dim: channels C of the first feature map.
        enc_strds, dec_strds: strides of encoder and decoder; by default chosen from the frame's size, and alike.
        enc_dim: channels of the encoder, and of the embedding.
        ks: 0 (of the authors' encoder, unused), first kernel of the decoder, largest one.
        reduce: of the channels in each stage; -1 for the root of its stride.
        lower_width: floor of the channels.
        num_blks: blocks a stage of encoder and decoder.
        act: activation of the decoder.
        out_bias: `"tanh"` for (tanh + 1) / 2, `"sigmoid"`, or a number that is added.
    """
    grid, encoder, decoder = content_plan(info, enc_strds, dec_strds)
    return ModelConfig(
        family="hnerv",
        grid=grid,
        embeddings={"content": content_embedding(encoder, enc_dim, num_blks[0])},
        join={"name": "cells", "activation": act, "with": ["content"], "channels": fc_dim},
        stages=hnerv_stages(fc_dim, decoder, ks[1:], reduce, lower_width, num_blks[1:], act),
        head={"name": "rgb", "output": out_bias, "kernel": 3},
    )


@family("hnerv_nerv", widths=("fc_dim", "lower_width"))
def hnerv_nerv(
    info: VideoInfo,
    *,
    fc_dim: int = 68,
    fc_hw: Sequence[int] | None = None,
    dec_strds: Sequence[int] | None = None,
    ks: Sequence[int] = (0, 3, 3),
    reduce: float = 2,
    lower_width: int = 12,
    num_blks: Sequence[int] = (1, 1),
    pos_b: float = 1.25,
    pos_l: int = 80,
    act: str = "gelu",
    out_bias: str | float = "tanh",
) -> ModelConfig:
    """The NeRV of HNeRV's code base: the decoder of `hnerv`, fed with encoded time (Chen et al., CVPR 2023, section 4).
    To compare with that paper's baseline.

    Args:
        info: the video.
        fc_hw: (h, w) of the first feature map; by default chosen from the frame's size.
        pos_b, pos_l: base and levels of the frequency encoding.
        fc_dim, dec_strds, ks, reduce, lower_width, num_blks, act, out_bias: as in `hnerv`.
    """
    grid, strides = plan(info.height, info.width, dec_strds, fc_hw)
    time: Spec = {"name": "frequency", "base": pos_b, "levels": pos_l, "order": "split", "time": "exclusive"}
    return ModelConfig(
        family="hnerv_nerv",
        grid=grid,
        embeddings={"time": time},
        join={"name": "coupled", "hidden": [], "activation": act, "with": ["time"], "channels": fc_dim},
        stages=hnerv_stages(fc_dim, strides, ks[1:], reduce, lower_width, num_blks[1:], act),
        head={"name": "rgb", "output": out_bias, "kernel": 3},
    )


@family("hnerv_latent", widths=("fc_dim", "lower_width"))
def hnerv_latent(
    info: VideoInfo,
    *,
    fc_dim: int = 68,
    fc_hw: Sequence[int] | None = None,
    dec_strds: Sequence[int] | None = None,
    latent_dim: int = 16,
    latent_hw: Sequence[int] | None = None,
    latent_frames: int = 1,
    ks: Sequence[int] = (0, 1, 5),
    reduce: float = 1.2,
    lower_width: int = 12,
    num_blks: Sequence[int] = (1, 1),
    skip: bool = False,
    act: str = "gelu",
    out_bias: str | float = "tanh",
) -> ModelConfig:
    """HNeRV without its encoder: the maps of frames are parameters, and fitted as such. For tiny decoders (the recipe
    tiny), and for fits faster than HNeRV's.

    Args:
        info: the video.
        fc_hw: (h, w) of the first feature map; by default chosen from the frame's size.
        latent_dim: channels of a frame's map.
        latent_hw: (h, w) of it, which divide those of the first feature map; by default the same.
        latent_frames: consecutive frames that share a map; the network is then told a frame's place among them.
        skip: whether each block has a way around it, by a 1 x 1 convolution and bilinear upsampling.
        fc_dim, dec_strds, ks, reduce, lower_width, num_blks, act, out_bias: as in `hnerv`.
    """
    grid, strides = plan(info.height, info.width, dec_strds, fc_hw, cells=CELLS)
    size = list(grid if latent_hw is None else latent_hw)
    return ModelConfig(
        family="hnerv_latent",
        grid=grid,
        embeddings={"latent": {"name": "latent", "channels": latent_dim, "size": size, "frames": latent_frames}},
        join={"name": "cells", "activation": act, "with": ["latent"], "channels": fc_dim},
        stages=hnerv_stages(fc_dim, strides, ks[1:], reduce, lower_width, num_blks[1:], act, skip=skip),
        head={"name": "rgb", "output": out_bias, "kernel": 3},
    )
