"""HiNeRV's options and tensor names, and its tensors as this package has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from enerv_zoo.composition import ModelConfig
from enerv_zoo.errors import ConfigError
from enerv_zoo.interop.names import Options, Renaming, check_known, need, read

NORMS = {"none": "none", "layernorm-no-affine": "layer", "layernorm": "layer_affine"}
ACTIVATIONS = {"leaky_relu": "leaky"}
UPSAMPLINGS = {"trilinear": "bilinear", "nearest": "nearest", "conv1x1": "conv1x1", "conv3x3": "conv3x3"}
DROPOUTS = [f"{part}_{kind}" for part in ("block", "stem", "head") for kind in ("dropout", "droppath")]
TILES = "normalized+temp_local_grid"

PARAMETRIZED = re.compile(r"(.+)\.parametrizations\.weight\.(?:(original)|\d+\.(mask)|\d+\.(?:bitwidth|noise_ratio))")
"""Tensors of a training checkpoint: a weight, what stays of it (True), and what it was rounded to."""


def options(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Return family and options of a config of the HiNeRV code base."""
    check_known(config, block_type="convnext", stem_type="conv_stem", head_type="linear_head", head_norm="none")
    check_known(config, head_act="sigmoid", head_bias=True, **dict.fromkeys(DROPOUTS, 0))
    scales = need(config, "scales_hw", list)
    check_known(config, scales_t=[1] * len(scales))
    norms = {key: _one_of(config, key, NORMS) for key in ("stem_norm", "upsample_norm", "block_norm")}
    activations = {key: need(config, key) for key in ("stem_act", "upsample_act", "block_act")}
    return "hinerv", {
        **read(
            config, channels=int, channels_reduce=float, channels_reduce_base=int, channels_min=int, depths=list,
            exps=list, kernels=list, stem_kernels=int, stem_bias=bool, block_bias=bool, block_layerscale=float,
        ),
        **norms,
        **{key: ACTIVATIONS.get(name, name) for key, name in activations.items()},
        "scales_hw": scales,
        "upsample_type": _one_of(config, "upsample_type", UPSAMPLINGS),
        **_base_grid(config),
        **_tiles(config),
    }  # fmt: skip


def _one_of(config: Mapping[str, Any], key: str, choices: Mapping[str, str]) -> str:
    value = need(config, key)
    if value not in choices:
        raise ConfigError(f"the config's {key!r} is {value!r}; known: {', '.join(choices)}")
    return choices[value]


def _base_grid(config: Mapping[str, Any]) -> Options:
    cells, height, width, channels = need(config, "base_grid_size", _four)
    slower, *sides, narrower = need(config, "base_grid_level_scale", _four)
    if sides != [1, 1]:
        raise ConfigError(f"the config's 'base_grid_level_scale' is {config['base_grid_level_scale']}; known: a 1 1 b")
    return {
        "base_grid_cells": cells,
        "base_hw": None if -1 in (height, width) else [height, width],
        "base_grid_channels": channels,
        "base_grid_level_scale": [slower, narrower],
        **read(config, base_grid_level=int),
    }


def _tiles(config: Mapping[str, Any]) -> Options:
    kind = need(config, "enc_type")
    if kind == "none":
        return {"enc_grid_channels": 0}
    if kind != TILES:
        raise ConfigError(f"the config's 'enc_type' is {kind!r}; known: {TILES}, none")
    cells, channels = need(config, "enc_grid_size", list)
    if channels == -1:
        raise ConfigError("the config's 'enc_grid_size' leaves the channels to each stage; known: a number of them")
    return {
        "enc_grid_cells": cells,
        "enc_grid_channels": channels,
        **read(
            config, enc_grid_level=int, enc_grid_level_scale=list, enc_grid_depth_scale=list, enc_align_corners=bool
        ),
    }


def _four(values: Any) -> list[Any]:
    if len(values) != 4:
        raise ValueError
    return list(values)


NAMES: Renaming = [
    (r"encoding\.grids\.(\d+)\.weight", r"embeddings.base.grids.\1"),
    (r"decoder\.stem\.(conv|norm)\.(weight|bias)", r"join.\1.\2"),
    (r"decoder\.blocks\.(\d+)\.0\.norm\.(weight|bias)", r"stages.\1.0.norm.\2"),
    (r"decoder\.blocks\.(\d+)\.0\.layer\.0\.(weight|bias)", r"stages.\1.1.upsample.conv.\2"),
    (r"decoder\.blocks\.(\d+)\.(\d+)\.enc\.grids\.(\d+)\.weight", r"embeddings.local\1.grids.\3"),
    (r"decoder\.blocks\.(\d+)\.(\d+)\.enc\.linear\.(weight|bias)", r"stages.\1.\2.conv.\3"),
    (r"decoder\.blocks\.(\d+)\.(\d+)\.dconv\.(weight|bias)", r"stages.\1.\2.conv.\3"),
    (r"decoder\.blocks\.(\d+)\.(\d+)\.((?:fc1|fc2|norm)\.(?:weight|bias))", r"stages.\1.\2.\3"),
    (r"decoder\.blocks\.(\d+)\.(\d+)\.layerscale", r"stages.\1.\2.layer_scale"),
    (r"decoder\.head\.linear\.(weight|bias)", r"head.conv.\1"),
]
"""Tensor names, with the places that steps have here."""


def prepare(config: ModelConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with pruned weights set to 0, grids as maps, and blocks numbered as steps."""
    prepared = {}
    for name, tensor in _plain(state).items():
        tensor = _as_maps(config, name, tensor)
        block = re.fullmatch(r"decoder\.blocks\.(\d+)\.([1-9]\d*)\.(.+)", name)
        if block and int(block[1]) < len(config.stages):
            steps = [step["name"] for step in config.stages[int(block[1])]]
            name = f"decoder.blocks.{block[1]}.{int(block[2]) + steps.index('convnext') - 2}.{block[3]}"
        prepared[name] = tensor
    return prepared


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a training checkpoint by the names of a network's, multiplied by their masks."""
    weights, masks = {}, {}
    for name, tensor in state.items():
        name = name.removeprefix("_orig_mod.").removeprefix("module.")
        match = PARAMETRIZED.fullmatch(name)
        if match is None:
            weights[name] = tensor
        elif match[2]:
            weights[f"{match[1]}.weight"] = tensor
        elif match[3]:
            masks[f"{match[1]}.weight"] = tensor
    return {name: tensor * masks[name] if name in masks else tensor for name, tensor in weights.items()}


def _as_maps(config: ModelConfig, name: str, tensor: Tensor) -> Tensor:
    """Return a grid (T h w, C) or (T, h w C) as maps (T, C, h, w), any other tensor as it is."""
    local = re.fullmatch(r"decoder\.blocks\.(\d+)\.1\.enc\.grids\.\d+\.weight", name)
    if local and int(local[1]) < len(config.stages):
        stride = config.strides[int(local[1])]
        shape: Sequence[int] = (len(tensor), stride, stride, -1)
    elif re.fullmatch(r"encoding\.grids\.\d+\.weight", name):
        shape = (-1, *config.grid, tensor.shape[-1])
    else:
        return tensor
    try:
        return tensor.reshape(shape).permute(0, 3, 1, 2)
    except RuntimeError:
        raise ConfigError(f"the checkpoint's {name!r} is {tuple(tensor.shape)}, no grid of this config") from None
