"""FFNeRV: Flow-Guided Frame-Wise Neural Representations for Videos (Lee et al., ACM MM 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from enerv_zoo.composition import ModelConfig, stage_steps
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.models.family import family
from enerv_zoo.models.geometry import plan
from enerv_zoo.models.nerv import decoder_widths


@family("ffnerv", widths=("fc_dim", "lower_width"))
def ffnerv(
    info: VideoInfo,
    *,
    fc_dim: int = 32,
    fc_hw: Sequence[int] | None = None,
    stride_list: Sequence[int] | None = None,
    t_dim: Sequence[int] = (64, 128, 256, 512),
    expansion: float = 8,
    reduction: float = 2,
    lower_width: int = 48,
    num_blocks: int = 1,
    agg_ind: Sequence[int] = (-2, -1, 1, 2),
    act: str = "gelu",
    norm: str = "none",
    conv_type: str = "conv",
    bias: bool = True,
    wbit: int = 32,
) -> ModelConfig:
    """Grids of time in place of a stem; frames refined by their neighbours, which flow warps to them (Lee et al.,
    ACM MM 2023). For video with steady motion; decoding frames in order is faster than one by one.

    Args:
        info: the video.
        fc_dim: channels C of the first feature map, shared out among the grids.
        fc_hw: its (h, w); by default chosen from the frame's size, as are the strides.
        stride_list: upsampling factor of each stage.
        t_dim: cells of each grid.
        expansion: of the channels in stage 0.
        reduction: of the channels in each later stage that upsamples.
        lower_width: floor of the channels after stage 0.
        num_blocks: blocks a stage; further ones have stride 1.
        agg_ind: neighbours, relative to the frame.
        act: activation.
        norm: `"none"`, `"batch"` or `"instance"`.
        conv_type: `"conv"`, or `"compact"` for grouped convolutions.
        bias: of the convolutions.
        wbit: 32, or 8 for weights that are quantised while fitting.
    """
    grid, strides = plan(info.height, info.width, stride_list, fc_hw)
    widths = decoder_widths(fc_dim, strides, expansion, reduction, lower_width)
    block: Spec = {
        "name": "nerv",
        "upsampling": conv_type,
        "norm": norm,
        "activation": act,
        "bias": bias,
        "weight_bits": wbit,
    }
    return ModelConfig(
        family="ffnerv",
        grid=grid,
        embeddings={"time": {"name": "temporal_grid", "sizes": list(t_dim), "channels": fc_dim, "weight_bits": wbit}},
        join={"name": "identity", "with": ["time"], "channels": fc_dim},
        stages=tuple(stage_steps(block, width, s, num_blocks) for s, width in zip(strides, widths, strict=True)),
        head={"name": "flow_guided", "neighbours": list(agg_ind), "bias": bias, "weight_bits": wbit},
    )
