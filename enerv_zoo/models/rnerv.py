"""Rabbit NeRV (Gwilliam et al., 2025): FFNeRV's grids, E-NeRV's modulation and first block, and no flow."""

from __future__ import annotations

from collections.abc import Sequence

from enerv_zoo.composition import ModelConfig, stage_steps
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.models.family import family
from enerv_zoo.models.geometry import plan
from enerv_zoo.models.nerv import decoder_widths


@family("rnerv", widths=("fc_dim", "lower_width"))
def rnerv(
    info: VideoInfo,
    *,
    fc_dim: int = 24,
    fc_hw: Sequence[int] | None = None,
    stride_list: Sequence[int] | None = None,
    t_dim: Sequence[int] = (256, 512),
    expansion: float = 3,
    reduction: float = 2,
    lower_width: int = 12,
    num_blocks: int = 1,
    pos_b: float = 1.25,
    pos_l: int = 80,
    tm_dim: int = 128,
    act: str = "gelu",
) -> ModelConfig:
    """Grids of time in place of a stem, every stage modulated by time (Gwilliam et al., 2025). For fast decoding;
    3 M for 1080p by default.

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
        pos_b, pos_l: base and levels of the frequency encoding that the modulation has of time.
        tm_dim: width of the modulation's MLP.
        act: activation.
    """
    grid, strides = plan(info.height, info.width, stride_list, fc_hw)
    widths = decoder_widths(fc_dim, strides, expansion, reduction, lower_width)
    modulation: Spec = {"name": "temporal_affine", "activation": act, "with": "modulation"}
    return ModelConfig(
        family="rnerv",
        grid=grid,
        embeddings={
            "time": {"name": "temporal_grid", "sizes": list(t_dim), "channels": fc_dim},
            "modulation": {
                "name": "frequency",
                "base": pos_b,
                "levels": pos_l,
                "order": "split",
                "time": "exclusive",
                "widths": [tm_dim, tm_dim],
                "activation": act,
            },
        },
        join={"name": "identity", "with": ["time"], "channels": fc_dim},
        stages=tuple(
            stage_steps({"name": "nerv" if i else "enerv", "activation": act}, width, s, num_blocks, before=modulation)
            for i, (s, width) in enumerate(zip(strides, widths, strict=True))
        ),
        head={"name": "rgb", "output": "sigmoid"},
    )
