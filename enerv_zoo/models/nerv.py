"""NeRV: Neural Representations for Videos (Chen et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from enerv_zoo.composition import ModelConfig, stage_steps
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.models.family import family
from enerv_zoo.models.geometry import plan


def decoder_widths(
    width: int, strides: Sequence[int], expansion: float, reduction: float, lower_width: int
) -> list[int]:
    """Channels after each stage: `int(width * expansion)`, then divided by `reduction` wherever a stage upsamples."""
    widths = [max(int(width * expansion), 1)]
    for stride in strides[1:]:
        widths.append(max(int(widths[-1] // (1 if stride == 1 else reduction)), lower_width))
    return widths


@family("nerv", widths=("fc_dim", "lower_width", "stem_dim"))
def nerv(
    info: VideoInfo,
    *,
    fc_dim: int = 26,
    fc_hw: Sequence[int] | None = None,
    stride_list: Sequence[int] | None = None,
    stem_dim: Sequence[int] = (512,),
    expansion: float = 1,
    reduction: float = 2,
    lower_width: int = 96,
    num_blocks: int = 1,
    pos_b: float = 1.25,
    pos_l: int = 40,
    time: str = "exclusive",
    act: str = "swish",
    norm: str = "none",
    conv_type: str = "conv",
    bias: bool = True,
    sin_res: bool = True,
    sigmoid: bool = False,
) -> ModelConfig:
    """Time encoded, an MLP to the first feature map, upsampling blocks, RGB (Chen et al., NeurIPS 2021). The baseline
    of most papers; NeRV-S by default.

    Args:
        info: the video.
        fc_dim: channels C of the first feature map.
        fc_hw: its (h, w); by default chosen from the frame's size, as are the strides.
        stride_list: upsampling factor of each stage.
        stem_dim: widths of the MLP's hidden layers.
        expansion: of the channels in stage 0.
        reduction: of the channels in each later stage that upsamples.
        lower_width: floor of the channels after stage 0.
        num_blocks: blocks a stage; further ones have stride 1.
        pos_b, pos_l: base and levels of the frequency encoding.
        time: `"exclusive"` (i / N) or `"inclusive"` (i / (N - 1)).
        act: activation.
        norm: `"none"`, `"batch"` or `"instance"`.
        conv_type: `"conv"`, `"deconv"` or `"bilinear"`.
        bias: of the convolutions.
        sin_res: RGB after the last stage only; `False` puts a head on every stage.
        sigmoid: output by sigmoid rather than (tanh + 1) / 2.
    """
    grid, strides = plan(info.height, info.width, stride_list, fc_hw)
    block: Spec = {"name": "nerv", "upsampling": conv_type, "norm": norm, "activation": act, "bias": bias}
    widths = decoder_widths(fc_dim, strides, expansion, reduction, lower_width)
    return ModelConfig(
        family="nerv",
        grid=grid,
        embeddings={"time": {"name": "frequency", "base": pos_b, "levels": pos_l, "time": time}},
        join={"name": "coupled", "hidden": list(stem_dim), "activation": act, "with": ["time"], "channels": fc_dim},
        stages=tuple(stage_steps(block, width, s, num_blocks) for s, width in zip(strides, widths, strict=True)),
        head=rgb_head(sin_res, sigmoid, bias),
    )


def rgb_head(sin_res: bool, sigmoid: bool, bias: bool) -> Spec:
    """The head that NeRV and E-NeRV share, from their option names."""
    return {"name": "rgb" if sin_res else "multiscale", "output": "sigmoid" if sigmoid else "tanh", "bias": bias}
