"""How each code base's options and tensor names translate to this package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from enerv_zoo.errors import ConfigError

Options = dict[str, Any]
Renaming = list[tuple[str, str]]
"""Pairs (pattern, replacement) for whole tensor names, tried in order."""

NORMS = {"none": "none", "bn": "batch", "in": "instance"}


def _need(config: Mapping[str, Any], key: str, kind: Callable[[Any], Any] = str) -> Any:
    if key not in config:
        raise ConfigError(f"the config lacks {key!r}; it has {', '.join(sorted(config))}")
    try:
        return kind(config[key])
    except (TypeError, ValueError):
        raise ConfigError(f"the config's {key!r} cannot be used: {config[key]!r}") from None


def _integers(text: Any) -> list[int]:
    return [int(number) for number in str(text).split("_")]


def _three(text: Any) -> tuple[int, int, int]:
    h, w, channels = _integers(text)
    return h, w, channels


def _two(text: Any) -> tuple[int, int]:
    width, depth = _integers(text)
    return width, depth


def _decoder(config: Mapping[str, Any], sine: str) -> Options:
    """The options that the NeRV and E-NeRV code bases share."""
    h, w, channels = _need(config, "fc_hw_dim", _three)
    norm = config.get("norm", "none")
    if norm not in NORMS:
        raise ConfigError(f"the config's 'norm' is {norm!r}; known: {', '.join(NORMS)}")
    activation = _need(config, "act")
    return {
        "fc_dim": channels,
        "fc_hw": [h, w],
        "stride_list": list(_need(config, "stride_list", list)),
        "expansion": config.get("expansion", 1),
        "reduction": config.get("reduction", 2),
        "lower_width": config.get("lower_width", 96),
        "num_blocks": config.get("num_blocks", 1),
        "act": sine if activation == "sin" else activation,
        "norm": NORMS[norm],
        "conv_type": config.get("conv_type", "conv"),
        "bias": bool(config.get("bias", True)),
        "sin_res": bool(config.get("sin_res", True)),
        "sigmoid": bool(config.get("sigmoid", True)),
    }


def _nerv_stem(config: Mapping[str, Any]) -> Options:
    """`d_n`: n hidden layers of width d."""
    width, depth = _need(config, "stem_dim_num", _two)
    return {"stem_dim": [width] * depth}


def nerv(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Family and options of a config of the NeRV code base."""
    embed = str(_need(config, "embed"))
    try:
        base, levels = embed.split("_")
        encoding = {"pos_b": float(base), "pos_l": int(levels)}
    except ValueError:
        raise ConfigError(f"the config's 'embed' should be base_levels such as 1.25_40, got {embed!r}") from None
    return "nerv", {**_decoder(config, "sin"), **_nerv_stem(config), **encoding, "time": "exclusive"}


def enerv(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Family and options of a config of the E-NeRV code base: E-NeRV, or its NeRV baseline."""
    name = _need(config, "model_name")
    shared = {
        **_decoder(config, "sin30"),
        "pos_b": _need(config, "pos_b", float),
        "pos_l": _need(config, "pos_l", int),
        "time": "inclusive",
    }
    if name == "NeRV":
        return "nerv", {**shared, **_nerv_stem(config)}
    if name != "E_NeRV":
        raise ConfigError(f"the config's 'model_name' is {name!r}; known: E_NeRV, NeRV")
    return "enerv", {
        **shared,
        "stem_dim": _need(config, "stem_dim_num", _integers),
        "block_dim": _need(config, "block_dim", int),
        "mlp_dim": _need(config, "mlp_dim", int),
        "xypos_b": _need(config, "xypos_b", float),
        "xypos_l": _need(config, "xypos_l", int),
        "pos_b_tm": _need(config, "pos_b_tm", float),
        "pos_l_tm": _need(config, "pos_l_tm", int),
    }


NERV_NAMES: Renaming = [
    (r"stem\.(\d+)\.(weight|bias)", r"join.mlp.\1.\2"),
    (r"layers\.(\d+)\.conv\.(?:conv|up_scale)\.(weight|bias)", r"blocks.\1.upsample.conv.\2"),
    (r"layers\.(\d+)\.norm\.(\w+)", r"blocks.\1.norm.\2"),
    (r"head_layers\.(\d+)\.(weight|bias)", r"heads.\1.\2"),
]

ENERV_NAMES: Renaming = [
    (r"stem_t\.(\d+)\.(weight|bias)", r"embeddings.time.mlp.\1.\2"),
    (r"t_branch\.(\d+)\.(weight|bias)", r"embeddings.modulation.mlp.\1.\2"),
    (r"stem_xy\.(\d+)\.(weight|bias)", r"embeddings.space.mlp.\1.\2"),
    (r"trans1\.attn\.to_qkv\.weight", r"embeddings.space.transformer.qkv.weight"),
    (r"trans1\.attn\.to_out\.0\.(weight|bias)", r"embeddings.space.transformer.out.\1"),
    (r"trans1\.ffn\.net\.0\.(weight|bias)", r"embeddings.space.transformer.ffn.0.\1"),
    (r"trans1\.ffn\.net\.3\.(weight|bias)", r"embeddings.space.transformer.ffn.2.\1"),
    (r"trans2\.attn\.to_qkv\.weight", r"join.transformer.qkv.weight"),
    (r"trans2\.attn\.to_out\.0\.(weight|bias)", r"join.transformer.out.\1"),
    (r"trans2\.ffn\.net\.0\.(weight|bias)", r"join.transformer.ffn.0.\1"),
    (r"trans2\.ffn\.net\.3\.(weight|bias)", r"join.transformer.ffn.2.\1"),
    (r"toconv\.0\.(weight|bias)", r"join.project.0.\1"),
    (r"t_layers\.(\d+)\.0\.(weight|bias)", r"stages.\1.before.mlp.0.\2"),
    (r"layers\.0\.conv1\.(?:conv|up_scale)\.(weight|bias)", r"blocks.0.convs.0.conv.\1"),
    (r"layers\.0\.conv2\.(?:conv|up_scale)\.(weight|bias)", r"blocks.0.convs.1.conv.\1"),
    (r"layers\.0\.conv1\.(weight|bias)", r"blocks.0.convs.0.\1"),
    (r"layers\.0\.conv2\.(weight|bias)", r"blocks.0.convs.1.\1"),
    *NERV_NAMES[1:],
]
"""The grid `xy_coord` follows from the config; `import_checkpoint` checks and drops it."""
