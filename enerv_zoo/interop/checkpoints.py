"""Reader of the authors' checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.config import VideoInfo, from_dict
from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.files import usable_path
from enerv_zoo.interop.codebases import choose_codebase
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage.tensors import check_tensors, not_finite


def import_checkpoint(
    checkpoint: str | Path | Mapping[str, Tensor],
    *,
    codebase: str | None = None,
    config: str | Path | Mapping[str, Any],
    frames: int,
    height: int,
    width: int,
    content: Tensor | None = None,
) -> NeuralVideo:
    """Turn an authors' checkpoint and config into a `NeuralVideo`.

    Args:
        checkpoint: a `.pth` / `.pt` file (only ever read with `weights_only=True`), a `.safetensors` file, or a state
            dict.
        codebase: `"e-nerv"` (E-NeRV and its NeRV baseline), `"nerv"`, `"hnerv"` (HNeRV and its NeRV baseline),
            `"ffnerv"`, `"boosting-nerv"` (all three networks), `"hinerv"`, `"dnerv"`, or a registered
            one (`enerv_zoo.list_components("codebase")`); by default the one that recognises config and tensors.
        config: the authors' options by their names, or a YAML / JSON file of them.
        frames, height, width: of the video it was fitted to.
        content: all frames (N, 3, H, W) of the video, uint8 or float in [0, 1], for networks that embed content: such a
            checkpoint holds the encoder, and the embeddings are computed by it from the frames.

    Raises:
        ConfigError: unknown code base, options that are missing or mean nothing here, tensors that are missing, left
            over or of the wrong shape.
        EnervZooError: a file that cannot be read, or holds more than tensors.
    """
    if isinstance(config, (str, Path)):
        config = read_mapping(config)
    state = read_checkpoint(checkpoint) if isinstance(checkpoint, (str, Path)) else dict(checkpoint)
    code = choose_codebase(codebase, config, state.keys())
    info = from_dict(VideoInfo, {"frames": frames, "height": height, "width": width})
    video = NeuralVideo.seeded(code.model(config, info), info, seed=0)  # initial weights are replaced
    family = video.config.family
    embeds_content = any(spec["name"] == "content" for spec in video.config.embeddings.values())
    if embeds_content and content is None:
        raise ConfigError(f"{family!r} embeds the frames' content; give the video's frames as 'content'")
    if content is not None:
        if not embeds_content:
            raise ConfigError(f"{family!r} has no part that encodes content; leave 'content' out")
        video.start_fitting()
    renamed = code.tensors(video, state)
    check_tensors(video, renamed, "checkpoint")
    if (name := not_finite(renamed)) is not None:
        raise ConfigError(f"the checkpoint's {name!r:.80} holds infinite values or NaN; take an earlier one")
    video.load_state_dict(renamed)
    return video.eval() if content is None else video.eval().bake(content)


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file, by name; pickles are only read with `weights_only=True`.

    Raises:
        EnervZooError: the file is missing, damaged, holds more than tensors, or no state dict.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = usable_path(path)
    if not path.is_file():
        raise EnervZooError(f"{path}: no such checkpoint file")
    try:
        if path.suffix == ".safetensors":
            return load(path.read_bytes())
        with path.open("rb") as file:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise EnervZooError(f"{path}: not a safetensors file, or damaged ({error})") from error
    except Exception as error:  # a damaged pickle or zip raises almost anything
        raise EnervZooError(
            f"{path}: not a checkpoint of tensors, or damaged; files that hold other objects are refused, as they "
            f"could run code. Save its state dict alone ({type(error).__name__})"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise EnervZooError(f"{path}: holds no state dict (a mapping of names to tensors)")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}
