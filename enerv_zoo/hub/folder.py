"""A network in a folder: `config.json` (what it is) and `model.safetensors` (its weights)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from enerv_zoo import __version__
from enerv_zoo.config import ModelConfig, VideoInfo, from_dict, read_mapping, to_dict
from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.files import replacing, write_json
from enerv_zoo.neural_video import NeuralVideo

logger = logging.getLogger(__name__)

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT = 1
"""Version of the folder format; newer ones are refused with a clear line."""


def save(video: NeuralVideo, path: str | Path) -> Path:
    """Write a network to a folder, replacing one that is there; each file appears whole or not at all.

    Raises:
        EnervZooError: the folder cannot be written.
    """
    folder = Path(path)
    config = {
        "format": FORMAT,
        "library": f"enerv-zoo {__version__}",
        "model": to_dict(video.config),
        "video": to_dict(video.info),
    }
    try:
        with replacing(folder / WEIGHTS) as temporary:
            temporary.write_bytes(to_bytes(video.weights()))
        write_json(folder / CONFIG, config)
    except (OSError, SafetensorError) as error:
        raise EnervZooError(f"{folder}: cannot be written ({error}); choose another folder") from error
    return folder


def load(path: str | Path, device: str = "cpu") -> NeuralVideo:
    """Read a fitted network from its folder.

    Args:
        path: a folder that holds `config.json` and `model.safetensors`.
        device: where to put the weights.

    Raises:
        EnervZooError: no fit is there, or its files are damaged or do not match.
    """
    config, info = read_config(path)
    weights = Path(path) / WEIGHTS
    if not weights.is_file():
        raise EnervZooError(f"{path}: holds no {WEIGHTS}; a fit that did not end leaves none, go on with --resume")
    try:
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise EnervZooError(f"{weights}: damaged or no safetensors file ({error})") from error
    video = NeuralVideo(config, info)
    check_tensors(video, state, str(weights))
    video.load_state_dict(state)
    return video.to(device).eval()


def check_tensors(video: NeuralVideo, state: dict[str, Any], where: str) -> None:
    """Refuse a state dict whose names, shapes or types are not the network's.

    Raises:
        ConfigError: names the first tensors that are missing, left over or of the wrong shape or type.
    """
    expected = video.state_dict()
    for what, which in (
        ("lack", expected.keys() - state.keys()),
        ("have too much:", state.keys() - expected.keys()),
    ):
        if which:
            some = ", ".join(sorted(which)[:4]) + (f" and {len(which) - 4} more" if len(which) > 4 else "")
            raise ConfigError(f"{where}: config and weights do not match, the weights {what} {some}")
    for name, tensor in state.items():
        ours = expected[name]
        if tensor.shape != ours.shape or tensor.is_floating_point() != ours.is_floating_point():
            raise ConfigError(
                f"{where}: config and weights do not match, {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"expected {ours.dtype} {tuple(ours.shape)}"
            )


def read_config(path: str | Path) -> tuple[ModelConfig, VideoInfo]:
    """The composition and the video that a fit's folder describes, without its weights.

    Raises:
        EnervZooError: there is no fit, or its config is damaged or of a newer format.
    """
    file = Path(path) / CONFIG
    if not file.is_file():
        raise EnervZooError(f"{path}: no fit is there (no {CONFIG}); expected a folder that 'enerv-zoo fit' wrote")
    data = read_mapping(file)
    version = data.get("format")
    if not isinstance(version, int) or not 1 <= version <= FORMAT:
        raise ConfigError(f"{file}: format {version!r} is not one that this version reads (1 to {FORMAT}); upgrade")
    return (
        from_dict(ModelConfig, data.get("model"), f"{file}: model"),
        from_dict(VideoInfo, data.get("video"), f"{file}: video"),
    )
