"""DNeRV: Modeling Inherent Dynamics via Difference Neural Representation for Videos (Zhao et al., CVPR 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.models.family import family
from enerv_zoo.models.hnerv import content_plan

GATE_BEFORE = 2
"""Stages that follow the gate, as published."""

CHANGES = 2
"""Channels of the embedding of differences, as published."""

SHARE, LARGEST_STRIDE = 0.3, 16
"""Under a budget, the maps of differences take at most this part of it, or are as coarse as this stride makes them."""


def _coarser(info: VideoInfo, budget: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a budget asks for beside widths: maps of differences that are coarse enough."""
    if options.get("diff_enc_list") is not None or options.get("diff_dec_stride") is not None:
        return {}
    _, _, decoder = content_plan(info, options.get("encoder_list"), options.get("stride_list"))
    stride = 4
    while stride < LARGEST_STRIDE:
        factor = stride * math.prod(decoder[-GATE_BEFORE:])
        cells = math.ceil(info.height / factor) * math.ceil(info.width / factor)
        if CHANGES * cells * info.frames <= SHARE * budget:
            break
        stride *= 2
    return {"diff_dec_stride": stride}


@family("dnerv", widths=("c2", "d"), for_budget=_coarser)
def dnerv(
    info: VideoInfo,
    *,
    c1: int = 64,
    c2: int = 92,
    d: int = 16,
    stride_list: Sequence[int] | None = None,
    encoder_list: Sequence[int] | None = None,
    diff_enc_list: Sequence[int] | None = None,
    diff_dec_stride: int | None = None,
    kernel_list: Sequence[int] = (1, 3, 5, 5, 5),
    diff_dec_kernel: int = 3,
    act: str = "gelu",
    conv_type: str = "conv",
) -> ModelConfig:
    """HNeRV's map per frame, and a finer one of its differences to its
    neighbours, which a gate merges (Zhao et al., CVPR 2023). For video that moves much; needs many epochs on a GPU.

    Args:
        info: the video.
        c1: channels of both encoders.
        c2: channels C of the first feature map; each stage has 1 / 1.2 of those before it.
        d: channels of a frame's map.
        stride_list, encoder_list: strides of the decoder and of the encoder of frames; by default chosen from the
            frame's size, and alike.
        diff_enc_list: strides of the encoder of differences; by default `diff_dec_stride` and those of the stages after
            the gate.
        diff_dec_stride: by which the gate enlarges the differences; by default 4.
        kernel_list: kernels of the stages; the last one is that of further ones.
        diff_dec_kernel: kernel of the gate's block.
        act: activation.
        conv_type: `"conv"`, `"deconv"` or `"bilinear"`; only the first has kernels to choose.
    """
    grid, encoder, strides = content_plan(info, encoder_list, stride_list)
    gate = max(len(strides) - GATE_BEFORE, 1)
    enlarged = 4 if diff_dec_stride is None else diff_dec_stride
    differences = [enlarged, *strides[gate:]] if diff_enc_list is None else list(diff_enc_list)
    if math.prod(differences) != enlarged * math.prod(strides[gate:]):
        raise ConfigError(
            f"diff_enc_list {differences} comes to {math.prod(differences)}; the gate takes maps of the differences by "
            f"{enlarged * math.prod(strides[gate:])}, diff_dec_stride {enlarged} times the strides after it "
            f"({', '.join(map(str, strides[gate:]))})"
        )

    def block(kernel: int) -> Spec:
        kernels = {"kernel": kernel} if conv_type == "conv" else {}
        return {"name": "nerv", "upsampling": conv_type, "activation": act, **kernels}

    stages: list[tuple[Spec, ...]] = []
    width: float = c2
    for number, stride in enumerate(strides):
        width = max(width // 1.2, 1)
        kernel = kernel_list[min(number, len(kernel_list) - 1)]
        stages.append(({**block(kernel), "channels": int(width), "stride": stride},))
    stages[gate - 1] += (
        {
            "name": "gate",
            "with": "difference",
            "width": max(int(int(c2 / 1.2) / 1.2), 1),
            "stride": enlarged,
            "block": block(diff_dec_kernel),
        },
    )
    content: Spec = {"width": c1, "layout": "dnerv"}
    return ModelConfig(
        family="dnerv",
        grid=grid,
        embeddings={
            "content": {"name": "content", "strides": list(encoder), "channels": d, **content},
            "difference": {"name": "difference", "strides": differences, "channels": CHANGES, **content},
        },
        join={"name": "cells", "activation": "none", "with": ["content"], "channels": c2},
        stages=tuple(stages),
        head={"name": "rgb", "kernel": 3},
    )
