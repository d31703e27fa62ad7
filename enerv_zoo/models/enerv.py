"""E-NeRV: Expedite Neural Video Representation with Disentangled Spatial-Temporal Context (Li et al., ECCV 2022)."""

from __future__ import annotations

from collections.abc import Sequence

from enerv_zoo.composition import ModelConfig, stage_steps
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.models.family import family
from enerv_zoo.models.geometry import plan
from enerv_zoo.models.nerv import decoder_widths, rgb_head


@family("enerv", widths=("fc_dim", "lower_width", "block_dim", "mlp_dim", "stem_dim"))
def enerv(
    info: VideoInfo,
    *,
    fc_dim: int = 196,
    fc_hw: Sequence[int] | None = None,
    stride_list: Sequence[int] | None = None,
    stem_dim: Sequence[int] = (512,),
    block_dim: int = 256,
    mlp_dim: int = 128,
    expansion: float = 3,
    reduction: float = 2,
    lower_width: int = 96,
    num_blocks: int = 1,
    pos_b: float = 1.25,
    pos_l: int = 80,
    xypos_b: float = 1.25,
    xypos_l: int = 80,
    pos_b_tm: float = 1.25,
    pos_l_tm: int = 80,
    tm_dim: int = 128,
    time: str = "inclusive",
    act: str = "gelu",
    norm: str = "none",
    conv_type: str = "conv",
    bias: bool = True,
    sin_res: bool = True,
    sigmoid: bool = True,
) -> ModelConfig:
    """Space and time embedded apart, multiplied, every stage modulated by time (Li et al., ECCV 2022). To compare with
    the paper, whose network of Bunny is the default.

    Args:
        info: the video.
        fc_dim: channels C of the first feature map.
        fc_hw: its (h, w); by default chosen from the frame's size, as are the strides.
        stride_list: upsampling factor of each stage.
        stem_dim: widths of the hidden layers of time's MLP.
        block_dim: D, width of the embeddings of space and time.
        mlp_dim: hidden width of the transformer blocks.
        expansion: of the channels in stage 0.
        reduction: of the channels in each later stage that upsamples.
        lower_width: floor of the channels after stage 0.
        num_blocks: blocks a stage; further ones have stride 1.
        pos_b, pos_l: base and levels of the encoding of time.
        xypos_b, xypos_l: the same for space.
        pos_b_tm, pos_l_tm: the same for the temporal modulation.
        tm_dim: width of the modulation's MLP.
        time: `"inclusive"` (i / (N - 1)) or `"exclusive"` (i / N).
        act: activation.
        norm: `"none"`, `"batch"` or `"instance"`.
        conv_type: `"conv"`, `"deconv"` or `"bilinear"`.
        bias: of the convolutions.
        sin_res: RGB after the last stage only; `False` puts a head on every stage.
        sigmoid: output by sigmoid rather than (tanh + 1) / 2.
    """
    grid, strides = plan(info.height, info.width, stride_list, fc_hw)
    block: Spec = {"upsampling": conv_type, "norm": norm, "activation": act, "bias": bias}
    modulation: Spec = {"name": "temporal_affine", "activation": act, "with": "modulation"}
    widths = decoder_widths(fc_dim, strides, expansion, reduction, lower_width)
    moment: Spec = {"name": "frequency", "time": time, "activation": act}
    return ModelConfig(
        family="enerv",
        grid=grid,
        embeddings={
            "time": {**moment, "base": pos_b, "levels": pos_l, "widths": [*stem_dim, block_dim]},
            "space": {
                "name": "spatial",
                "base": xypos_b,
                "levels": xypos_l,
                "widths": [block_dim],
                "activation": act,
                "mlp_dim": mlp_dim,
            },
            "modulation": {**moment, "base": pos_b_tm, "levels": pos_l_tm, "widths": [tm_dim, tm_dim]},
        },
        join={"name": "product", "mlp_dim": mlp_dim, "activation": act, "with": ["time", "space"], "channels": fc_dim},
        stages=tuple(
            stage_steps({"name": "enerv" if i == 0 else "nerv", **block}, width, s, num_blocks, before=modulation)
            for i, (s, width) in enumerate(zip(strides, widths, strict=True))
        ),
        head=rgb_head(sin_res, sigmoid, bias),
    )
