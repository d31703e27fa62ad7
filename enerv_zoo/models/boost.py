"""Boosting Neural Representations for Video (Zhang et al., CVPR 2024): a conditional decoder on three networks."""

from __future__ import annotations

from collections.abc import Sequence

from enerv_zoo.composition import ModelConfig, stage_steps
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.models.family import family
from enerv_zoo.models.geometry import plan
from enerv_zoo.models.hnerv import content_embedding, content_plan, hnerv_stages

SFT: Spec = {"name": "sft", "with": "condition"}


def _time(base: float, levels: int, widths: Sequence[int] = (), act: str = "sin") -> Spec:
    """Encoded time, t = i / N, through an MLP."""
    encoding: Spec = {"name": "frequency", "base": base, "levels": levels, "order": "split", "time": "exclusive"}
    return {**encoding, "widths": list(widths), "activation": act}


def _stages(
    strides: Sequence[int], widths: Sequence[int], ks: Sequence[int], dec_blks: Sequence[int], act: str
) -> tuple[tuple[Spec, ...], ...]:
    """NeRV's stages, each block followed by a residual block that the condition steers."""
    return tuple(
        stage_steps(
            {"name": "nerv", "activation": act, "kernel": min(ks[1] + 2 * i, ks[2], 3)}, width, stride, depth, after=SFT
        )
        for i, (stride, width, depth) in enumerate(zip(strides, widths, _depths(dec_blks, len(strides)), strict=True))
    )


def _depths(dec_blks: Sequence[int], stages: int) -> list[int]:
    """Blocks of every stage; the last one stands for those that are not given."""
    return [dec_blks[min(i, len(dec_blks) - 1)] for i in range(stages)]


@family("nerv_boost", widths=("fc_dim", "lower_width", "ch_t"))
def nerv_boost(
    info: VideoInfo,
    *,
    fc_dim: int = 68,
    fc_hw: Sequence[int] | None = None,
    dec_strds: Sequence[int] | None = None,
    ks: Sequence[int] = (0, 3, 3),
    reduce: float = 2,
    lower_width: int = 12,
    dec_blks: Sequence[int] = (1,),
    ch_t: int = 32,
    pos_b: float = 1.25,
    pos_l: int = 80,
    act: str = "sin",
    out_bias: str | float = "tanh",
) -> ModelConfig:
    """NeRV, boosted: every block is followed by one that time steers (Zhang et al., CVPR 2024). For long fits.

    Args:
        info: the video.
        fc_dim: channels C of the first feature map.
        fc_hw: its (h, w); by default chosen from the frame's size, as are the strides.
        dec_strds: upsampling factor of each stage.
        ks: 0 (unused), kernel of the first stage, largest kernel; the kernels grow by 2, to 3 at most.
        reduce: of the channels in each stage after the first.
        lower_width: floor of the channels after the first stage.
        dec_blks: blocks of each stage; the last one counts for those that are not given.
        ch_t: numbers of the condition.
        pos_b, pos_l: base and levels of the frequency encoding.
        act: activation.
        out_bias: `"tanh"` for (tanh + 1) / 2, `"sigmoid"`, or a number that is added.
    """
    grid, strides = plan(info.height, info.width, dec_strds, fc_hw)
    widths = [fc_dim]
    for _ in strides[1:]:
        widths.append(max(int(widths[-1] // reduce), lower_width))
    return ModelConfig(
        family="nerv_boost",
        grid=grid,
        embeddings={"time": _time(pos_b, pos_l), "condition": _time(pos_b, pos_l, (2 * ch_t, ch_t), act)},
        join={"name": "coupled", "hidden": [256], "activation": act, "with": ["time"], "channels": fc_dim},
        stages=_stages(strides, widths, ks, dec_blks, act),
        head={"name": "rgb", "output": out_bias},
    )


@family("enerv_boost", widths=("fc_dim", "lower_width", "block_dim", "ch_t"))
def enerv_boost(
    info: VideoInfo,
    *,
    fc_dim: int = 68,
    fc_hw: Sequence[int] | None = None,
    dec_strds: Sequence[int] | None = None,
    block_dim: int = 128,
    expansion: float = 3,
    ks: Sequence[int] = (0, 3, 3),
    reduce: float = 2,
    lower_width: int = 12,
    dec_blks: Sequence[int] = (1,),
    ch_t: int = 32,
    pos_b: float = 1.25,
    pos_l: int = 80,
    act: str = "sin",
    out_bias: str | float = "tanh",
) -> ModelConfig:
    """E-NeRV, boosted: its modulation gives way to blocks that time steers (Zhang et al., CVPR 2024). For long fits.

    Args:
        info: the video.
        block_dim: width D of the embeddings of space and time.
        expansion: of the channels in stage 0.
        fc_dim, fc_hw, dec_strds, ks, reduce, lower_width, dec_blks, ch_t, pos_b, pos_l, act, out_bias: as in
            `nerv_boost`.
    """
    grid, strides = plan(info.height, info.width, dec_strds, fc_hw)
    widths = [max(int(fc_dim * expansion), 1)]
    for _ in strides[1:]:
        widths.append(max(int(widths[-1] // reduce), lower_width))
    mlp_dim = max(block_dim // 2, 1)
    _, *rest = _stages(strides, widths, ks, dec_blks, act)
    first = stage_steps({"name": "enerv", "activation": act}, widths[0], strides[0], dec_blks[0], after=SFT)
    return ModelConfig(
        family="enerv_boost",
        grid=grid,
        embeddings={
            "time": _time(pos_b, pos_l, (2 * block_dim, block_dim), act),
            "space": {
                "name": "spatial",
                "base": pos_b,
                "levels": pos_l,
                "order": "split",
                "widths": [block_dim],
                "activation": act,
                "mlp_dim": mlp_dim,
            },
            "condition": _time(pos_b, pos_l, (2 * ch_t, ch_t), act),
        },
        join={"name": "product", "mlp_dim": mlp_dim, "activation": act, "with": ["time", "space"], "channels": fc_dim},
        stages=(first, *rest),
        head={"name": "rgb", "output": out_bias},
    )


@family("hnerv_boost", widths=("fc_dim", "lower_width", "ch_t"))
def hnerv_boost(
    info: VideoInfo,
    *,
    fc_dim: int = 68,
    enc_strds: Sequence[int] | None = None,
    dec_strds: Sequence[int] | None = None,
    enc_dim: Sequence[int] = (64, 16),
    ks: Sequence[int] = (0, 1, 5),
    reduce: float = 1.2,
    lower_width: int = 12,
    enc_blks: int = 1,
    dec_blks: Sequence[int] = (1,),
    ch_t: int = 32,
    pos_b: float = 1.25,
    pos_l: int = 80,
    act: str = "sin",
    out_bias: str | float = "tanh",
) -> ModelConfig:
    """HNeRV, boosted: the first map and every block are followed by a block that time steers (Zhang et al., CVPR
    2024). For long fits on a GPU.

    Args:
        info: the video.
        enc_strds, dec_strds, enc_dim: as in `hnerv`.
        reduce: of the channels in each stage; -1 for the root of its stride.
        enc_blks: blocks a stage of the encoder.
        fc_dim, ks, lower_width, dec_blks, ch_t, pos_b, pos_l, act, out_bias: as in `nerv_boost`.
    """
    grid, encoder, decoder = content_plan(info, enc_strds, dec_strds)
    kernels = (ks[1], min(ks[2], 3))
    depths = _depths(dec_blks, len(decoder))
    first, *rest = hnerv_stages(fc_dim, decoder, kernels, reduce, lower_width, depths, act, after=SFT)
    return ModelConfig(
        family="hnerv_boost",
        grid=grid,
        embeddings={
            "content": content_embedding(encoder, enc_dim, enc_blks),
            "condition": _time(pos_b, pos_l, (2 * ch_t, ch_t), act),
        },
        join={"name": "cells", "activation": act, "with": ["content"], "channels": fc_dim},
        stages=((SFT, *first), *rest),
        head={"name": "rgb", "output": out_bias, "kernel": 3},
    )
