"""Translation of each code base's options and tensor names to this package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from enerv_zoo.errors import ConfigError

Options = dict[str, Any]
Renaming = list[tuple[str, str]]
"""Pairs (pattern, replacement) for whole tensor names, tried in order; no replacement drops the tensor."""

NORMS = {"none": "none", "bn": "batch", "in": "instance"}


def need(config: Mapping[str, Any], key: str, kind: Callable[[Any], Any] = str) -> Any:
    """Return an option of a config as its kind.

    Raises:
        ConfigError: it is not there, or nothing of that kind.
    """
    if key not in config:
        raise ConfigError(f"the config lacks {key!r}; it has {', '.join(sorted(config))}")
    try:
        return kind(config[key])
    except (TypeError, ValueError):
        raise ConfigError(f"the config's {key!r} cannot be used: {config[key]!r}") from None


def read(config: Mapping[str, Any], **kinds: Callable[[Any], Any]) -> Options:
    """Read the options that have the same name here, each as its kind."""
    return {key: need(config, key, kind) for key, kind in kinds.items()}


def check_known(config: Mapping[str, Any], **expected: Any) -> None:
    """Refuse options with another value than the only one that is known here, which is their default."""
    for option, value in expected.items():
        if config.get(option, value) != value:
            raise ConfigError(f"the config's {option!r} is {config[option]!r}; known: {value}")


def _integers(text: Any) -> list[int]:
    return [int(number) for number in str(text).split("_")]


def _sizes(text: Any) -> tuple[int, int, int]:
    height, width, channels = _integers(text)
    return height, width, channels


def _layers(text: Any) -> list[int]:
    """`d_n`: n hidden layers of width d."""
    width, depth = _integers(text)
    return [width] * depth


_DECODER = {"expansion": 1, "reduction": 2, "lower_width": 96, "num_blocks": 1, "conv_type": "conv"}
"""Options that the NeRV and E-NeRV code bases share, with their defaults."""
_HNERV: Mapping[str, Callable[[Any], Any]] = {
    "fc_dim": int, "dec_strds": list, "ks": _integers, "reduce": float, "lower_width": int, "act": str,
}  # fmt: skip
"""Options that the HNeRV and Boosting-NeRV code bases share."""


def _decoder(config: Mapping[str, Any], sine: str) -> Options:
    height, width, channels = need(config, "fc_hw_dim", _sizes)
    norm = config.get("norm", "none")
    if norm not in NORMS:
        raise ConfigError(f"the config's 'norm' is {norm!r}; known: {', '.join(NORMS)}")
    activation = need(config, "act")
    return {
        **{key: config.get(key, default) for key, default in _DECODER.items()},
        **{key: bool(config.get(key, True)) for key in ("bias", "sin_res", "sigmoid")},
        **read(config, stride_list=list),
        "fc_dim": channels,
        "fc_hw": [height, width],
        "act": sine if activation == "sin" else activation,
        "norm": NORMS[norm],
    }


def nerv(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Return family and options of a config of the NeRV code base."""
    stem = need(config, "stem_dim_num", _layers)
    encoding = _encoding(config, "", "base_levels such as 1.25_40")
    return "nerv", {**_decoder(config, "sin"), **encoding, "stem_dim": stem, "time": "exclusive"}


def enerv(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Return family and options of a config of the E-NeRV code base: E-NeRV, or its NeRV baseline."""
    name = need(config, "model_name")
    shared = {**_decoder(config, "sin30"), **read(config, pos_b=float, pos_l=int), "time": "inclusive"}
    if name == "NeRV":
        return "nerv", {**shared, "stem_dim": need(config, "stem_dim_num", _layers)}
    if name != "E_NeRV":
        raise ConfigError(f"the config's 'model_name' is {name!r}; known: E_NeRV, NeRV")
    own = read(config, block_dim=int, mlp_dim=int, xypos_b=float, xypos_l=int, pos_b_tm=float, pos_l_tm=int)
    return "enerv", {**shared, **own, "stem_dim": need(config, "stem_dim_num", _integers)}


def hnerv(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Return family and options of a config of the HNeRV code base: HNeRV, or its NeRV, fed with encoded time."""
    decoder = {
        **read(config, **_HNERV),
        "out_bias": _out_bias(config),
        "num_blks": _integers(config.get("num_blks", "1_1")),  # of encoder and decoder, per stage
    }
    check_known(config, norm="none")
    if config.get("embed"):
        return "hnerv_nerv", {**decoder, **_time(config), **read(config, fc_hw=_integers)}
    return "hnerv", {**decoder, **_content(config)}


def boosting(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Return family and options of a config of the Boosting-NeRV code base: NeRV, E-NeRV or HNeRV, boosted."""
    model = need(config, "model")
    check_known(config, sft_block="res_sft", lfreq="pi", norm="none")
    own = read(config, **_HNERV, dec_blks=list, ch_t=int)
    shared = {**own, "out_bias": _out_bias(config), **_time(config)}
    if model == "HNeRV_Boost":
        return "hnerv_boost", {**shared, **_content(config), "enc_blks": int(config.get("enc_blks", 1))}
    if model == "NeRV_Boost":
        return "nerv_boost", {**shared, **read(config, fc_hw=_integers)}
    if model == "ENeRV_Boost":
        return "enerv_boost", {**shared, **read(config, fc_hw=_integers, block_dim=int)}
    raise ConfigError(f"the config's 'model' is {model!r}; known: NeRV_Boost, ENeRV_Boost, HNeRV_Boost")


def ffnerv(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Return family and options of a config of the FFNeRV code base."""
    if config.get("sin_res", False):
        raise ConfigError("the config's 'sin_res' is true, a network without neighbours; known: false")
    if not config.get("sigmoid", True):
        raise ConfigError("the config's 'sigmoid' is false; known: true")
    shared = _decoder(config, "sin")
    options = {key: value for key, value in shared.items() if key not in ("sin_res", "sigmoid")}
    return "ffnerv", {**options, **read(config, t_dim=list, agg_ind=list), "wbit": int(config.get("wbit", 32))}


def _encoding(config: Mapping[str, Any], prefix: str, form: str) -> Options:
    embed = str(need(config, "embed"))
    try:
        start, base, levels = f"{embed if prefix else '_' + embed}".split("_")
        if start != prefix:
            raise ValueError
        return {"pos_b": float(base), "pos_l": int(levels)}
    except ValueError:
        raise ConfigError(f"the config's 'embed' should be {form}, got {embed!r}") from None


def _time(config: Mapping[str, Any]) -> Options:
    """Read the encoding of time; there is none where content is embedded instead."""
    return _encoding(config, "pe", "pe_base_levels such as pe_1.25_80") if config.get("embed") else {}


def _content(config: Mapping[str, Any]) -> Options:
    return read(config, enc_strds=list, enc_dim=_integers)


def _out_bias(config: Mapping[str, Any]) -> str | float:
    """Read `tanh`, `sigmoid`, or a number."""
    bias = str(need(config, "out_bias"))
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
