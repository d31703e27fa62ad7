"""DNeRV's options and tensor names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from enerv_zoo.errors import ConfigError
from enerv_zoo.interop.names import Options, Renaming, need, read

ACTIVATIONS = {"non": "none"}
ENCODERS = {"encoder_layers": "content", "diff_enc_layers": "difference"}

GATE = "stages.2.1"
"""After the third block, in every network of this code base."""


def options(config: Mapping[str, Any]) -> tuple[str, Options]:
    """Return family and options of a config of the DNeRV code base."""
    kernels, paddings = need(config, "kernel_list", list), need(config, "padding_list", list)
    kernel, padding = (need(config, key, list)[0] for key in ("diff_dec_kernel", "diff_dec_padding"))
    if [(each - 1) // 2 for each in (*kernels, kernel)] != [*paddings, padding]:
        raise ConfigError("the config's paddings are not those that leave the size as it is, which alone are known")
    encoder = need(config, "encoder_list", list)
    act = need(config, "act")
    return "dnerv", {
        **read(config, c1=int, c2=int, d=int, stride_list=list, conv_type=str),
        "encoder_list": encoder,
        "diff_enc_list": need(config, "diff_enc_list", list)[: len(encoder)],
        "diff_dec_stride": need(config, "diff_dec_stride", list)[0],
        "kernel_list": kernels,
        "diff_dec_kernel": kernel,
        "act": ACTIVATIONS.get(act, act),
    }


NAMES: Renaming = [
    (r"(?:encoder_layers|diff_enc_layers)\.\d+\.(?:norm\.(?:weight|bias)|gamma)", ""),
    (r"diff_dec_layers\.[1-9].*", ""),
    *(
        pair
        for theirs, ours in ENCODERS.items()
        for pair in (
            (rf"{theirs}\.(\d+)\.dwconv\.(\w+)", rf"embeddings.{ours}.encoder.0.\1.conv_dw.\2"),
            (rf"{theirs}\.(\d+)\.pwconv([12])\.(\w+)", rf"embeddings.{ours}.encoder.0.\1.mlp.fc\2.\3"),
            (rf"{theirs}\.(\d+\.(?:weight|bias))", rf"embeddings.{ours}.encoder.0.\1"),
        )
    ),
    (r"enc_embedding_layer\.(weight|bias)", r"embeddings.content.encoder.1.\1"),
    (r"diff_enc_ebd_layer\.(weight|bias)", r"embeddings.difference.encoder.1.\1"),
    (r"enc_c2_layer\.(weight|bias)", r"join.conv.\1"),
    (r"decoder_layers\.(\d+)\.conv\.(?:conv|up_scale)\.(weight|bias)", r"blocks.\1.upsample.conv.\2"),
    (r"diff_exc_layer\.(weight|bias)", rf"{GATE}.conv.\1"),
    (r"diff_dec_layers\.0\.conv\.(?:conv|up_scale)\.(weight|bias)", rf"{GATE}.block.upsample.conv.\1"),
    (r"dec_p_c\.(weight|bias)", rf"{GATE}.content_of_map.\1"),
    (r"dec_p_d\.(weight|bias)", rf"{GATE}.content_of_change.\1"),
    (r"dec_s_c\.(weight|bias)", rf"{GATE}.gate_of_map.\1"),
    (r"dec_s_d\.(weight|bias)", rf"{GATE}.gate_of_change.\1"),
    (r"dec_head_layers\.\d+\.(weight|bias)", r"head.conv.\1"),
]
"""Tensor names; norms and scales of the encoders' blocks are in checkpoints, and no frame depends on them."""
