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


def hnerv(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Family and options of a config of the HNeRV code base: HNeRV, or its NeRV, which is fed with encoded time."""
    kernels = _need(config, "ks", _integers)
    decoder: Options = {
        "fc_dim": _need(config, "fc_dim", int),
        "dec_strds": _need(config, "dec_strds", list),
        "ks": kernels,
        "reduce": _need(config, "reduce", float),
        "lower_width": _need(config, "lower_width", int),
        "act": _need(config, "act"),
        "out_bias": _out_bias(config),
    }
    if config.get("norm", "none") != "none":
        raise ConfigError(f"the config's 'norm' is {config['norm']!r}; known: none")
    if encoding := _encoding(config):
        return "hnerv_nerv", {**decoder, **encoding, **_blocks(config), "fc_hw": _need(config, "fc_hw", _integers)}
    return "hnerv", {**decoder, **_content(config), **_blocks(config)}


def boosting(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Family and options of a config of the Boosting-NeRV code base: NeRV, E-NeRV or HNeRV, boosted."""
    model = _need(config, "model")
    for option, known in (("sft_block", "res_sft"), ("lfreq", "pi"), ("norm", "none")):
        if config.get(option, known) != known:
            raise ConfigError(f"the config's {option!r} is {config[option]!r}; known: {known}")
    shared: Options = {
        "fc_dim": _need(config, "fc_dim", int),
        "dec_strds": _need(config, "dec_strds", list),
        "ks": _need(config, "ks", _integers),
        "reduce": _need(config, "reduce", float),
        "lower_width": _need(config, "lower_width", int),
        "dec_blks": _need(config, "dec_blks", list),
        "ch_t": _need(config, "ch_t", int),
        "act": _need(config, "act"),
        "out_bias": _out_bias(config),
        **_encoding(config),
    }
    if model == "HNeRV_Boost":
        return "hnerv_boost", {**shared, **_content(config), "enc_blks": int(config.get("enc_blks", 1))}
    shared["fc_hw"] = _need(config, "fc_hw", _integers)
    if model == "NeRV_Boost":
        return "nerv_boost", shared
    if model == "ENeRV_Boost":
        return "enerv_boost", {**shared, "block_dim": _need(config, "block_dim", int)}
    raise ConfigError(f"the config's 'model' is {model!r}; known: NeRV_Boost, ENeRV_Boost, HNeRV_Boost")


def ffnerv(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Family and options of a config of the FFNeRV code base."""
    if config.get("sin_res", False):
        raise ConfigError("the config's 'sin_res' is true, a network without neighbours; known: false")
    if not config.get("sigmoid", True):
        raise ConfigError("the config's 'sigmoid' is false; known: true")
    shared = _decoder(config, "sin")
    options = {key: value for key, value in shared.items() if key not in ("sin_res", "sigmoid")}
    more = {"t_dim": _need(config, "t_dim", list), "agg_ind": _need(config, "agg_ind", list)}
    return "ffnerv", {**options, **more, "wbit": int(config.get("wbit", 32))}


def _encoding(config: Mapping[str, Any]) -> Options:
    """`pe_base_levels`; nothing where content is embedded instead."""
    embed = str(config.get("embed", ""))
    if not embed:
        return {}
    try:
        kind, base, levels = embed.split("_")
        if kind != "pe":
            raise ValueError
        return {"pos_b": float(base), "pos_l": int(levels)}
    except ValueError:
        raise ConfigError(f"the config's 'embed' should be pe_base_levels such as pe_1.25_80, got {embed!r}") from None


def _content(config: Mapping[str, Any]) -> Options:
    return {
        "enc_strds": _need(config, "enc_strds", list),
        "enc_dim": _need(config, "enc_dim", _integers),
    }


def _blocks(config: Mapping[str, Any]) -> Options:
    """`encoder_decoder` blocks a stage."""
    return {"num_blks": _integers(config.get("num_blks", "1_1"))}


def _out_bias(config: Mapping[str, Any]) -> str | float:
    """`tanh`, `sigmoid`, or a number."""
    bias = str(_need(config, "out_bias"))
    try:
        return bias if bias in ("tanh", "sigmoid") else float(bias)
    except ValueError:
        raise ConfigError(f"the config's 'out_bias' is {bias!r}; known: tanh, sigmoid or a number") from None


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
    (r"t_layers\.(\d+)\.0\.(weight|bias)", r"stages.\1.0.mlp.0.\2"),
    (r"layers\.0\.conv1\.(?:conv|up_scale)\.(weight|bias)", r"blocks.0.convs.0.conv.\1"),
    (r"layers\.0\.conv2\.(?:conv|up_scale)\.(weight|bias)", r"blocks.0.convs.1.conv.\1"),
    (r"layers\.0\.conv1\.(weight|bias)", r"blocks.0.convs.0.\1"),
    (r"layers\.0\.conv2\.(weight|bias)", r"blocks.0.convs.1.\1"),
    *NERV_NAMES[1:],
]
"""The grid `xy_coord` follows from the config; `import_checkpoint` checks and drops it."""


def _of_blocks(theirs: str, first: int) -> Renaming:
    """The names of blocks and of what steers them, which the authors number through all stages from `first` on."""
    blocks, after = f"blocks{first or ''}", f"after{first or ''}"
    return [
        (rf"{theirs}\.(\d+)\.conv\.upconv\.0\.(weight|bias)", rf"{blocks}.\1.upsample.conv.\2"),
        (rf"{theirs}\.(\d+)\.sft_block\.{_SFT_CONV}", rf"{after}.\1.convs.\2.\3"),
        (rf"{theirs}\.(\d+)\.sft_block\.{_SFT_FIRST}", rf"{after}.\1.transforms.\2.\3.0.\4"),
        (rf"{theirs}\.(\d+)\.sft_block\.{_SFT_SECOND}", rf"{after}.\1.transforms.\2.\3.2.\4"),
    ]


_SFT_CONV = r"conv([01])\.(weight|bias)"
_SFT_FIRST = r"sft([01])\.SFT_(scale|shift)_conv0\.(weight|bias)"
_SFT_SECOND = r"sft([01])\.SFT_(scale|shift)_conv1\.(weight|bias)"

_HEAD: Renaming = [(r"head_layer\.(weight|bias)", r"heads.0.\1")]
_CONDITION = (r"(?:stem_t|t_branch)\.(\d+)\.(weight|bias)", r"embeddings.condition.mlp.\1.\2")
_ENCODER: Renaming = [
    (r"encoder\.downsample_layers\.(\d+)\.([01])\.(\w+)", r"embeddings.content.encoder.downsampling.\1.\2.\3"),
    (r"encoder\.stages\.(\d+)\.(\d+)\.dwconv\.(\w+)", r"embeddings.content.encoder.stages.\1.\2.conv_dw.\3"),
    (r"encoder\.stages\.(\d+)\.(\d+)\.pwconv([12])\.(\w+)", r"embeddings.content.encoder.stages.\1.\2.mlp.fc\3.\4"),
    (r"encoder\.stages\.(\d+)\.(\d+)\.(norm\.\w+|gamma)", r"embeddings.content.encoder.stages.\1.\2.\3"),
]
_CELLS: Renaming = [
    (r"decoder\.0\.conv\.downconv\.(weight|bias)", r"join.conv.\1"),
    (rf"decoder\.0\.sft_block\.{_SFT_CONV}", r"stages.0.0.convs.\1.\2"),
    (rf"decoder\.0\.sft_block\.{_SFT_FIRST}", r"stages.0.0.transforms.\1.\2.0.\3"),
    (rf"decoder\.0\.sft_block\.{_SFT_SECOND}", r"stages.0.0.transforms.\1.\2.2.\3"),
]

FFNERV_NAMES: Renaming = [
    (r"video_grid\.(\d+)", r"embeddings.time.grids.\1"),
    (r"layers\.(\d+)\.conv\.conv1\.(weight|bias)", r"blocks.\1.upsample.conv.\2"),
    (r"layers\.(\d+)\.conv\.conv2\.(weight|bias)", r"blocks.\1.upsample.second.\2"),
    (r"head_layers\.(\d+)\.(weight|bias)", r"heads.\1.\2"),
]
HNERV_NAMES: Renaming = [*_ENCODER, *_CELLS, *_of_blocks("decoder", 1), *_HEAD]
HNERV_NERV_NAMES: Renaming = [
    (r"decoder\.0\.conv\.downconv\.(weight|bias)", r"join.mlp.0.\1"),
    *_of_blocks("decoder", 1),
    *_HEAD,
]
NERV_BOOST_NAMES: Renaming = [NERV_NAMES[0], _CONDITION, *_of_blocks("layers", 0), *_HEAD]
ENERV_BOOST_NAMES: Renaming = [
    ENERV_NAMES[0],
    _CONDITION,
    *(pair for pair in ENERV_NAMES if pair[0].startswith(("stem_xy", "trans", "toconv"))),
    (r"layers\.0\.conv1\.upconv\.0\.(weight|bias)", r"blocks.0.convs.0.conv.\1"),
    (r"layers\.0\.conv2\.upconv\.0\.(weight|bias)", r"blocks.0.convs.1.conv.\1"),
    (r"layers\.0\.conv1\.(weight|bias)", r"blocks.0.convs.0.\1"),
    (r"layers\.0\.conv2\.(weight|bias)", r"blocks.0.convs.1.\1"),
    *_of_blocks("layers", 0),
    *_HEAD,
]
HNERV_BOOST_NAMES: Renaming = [_CONDITION, *HNERV_NAMES]
