"""Reading the authors' checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enerv_zoo.config import VideoInfo, from_dict, read_mapping
from enerv_zoo.embeddings import SpatialEmbedding
from enerv_zoo.errors import ConfigError, EnervZooError, did_you_mean
from enerv_zoo.interop import names
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.storage.tensors import check_tensors
from enerv_zoo.zoo import create_model


@dataclass(frozen=True)
class Codebase:
    """How one code base's configs and tensor names translate.

    Attributes:
        options: config -> family and its options.
        renaming: tensor names of each family.
    """

    options: Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
    renaming: Mapping[str, names.Renaming]


CODEBASES: dict[str, Codebase] = {
    "e-nerv": Codebase(names.enerv, {"enerv": names.ENERV_NAMES, "nerv": names.NERV_NAMES}),
    "nerv": Codebase(names.nerv, {"nerv": names.NERV_NAMES}),
    "ffnerv": Codebase(names.ffnerv, {"ffnerv": names.FFNERV_NAMES}),
    "hnerv": Codebase(names.hnerv, {"hnerv": names.HNERV_NAMES, "hnerv_nerv": names.HNERV_NERV_NAMES}),
    "boosting-nerv": Codebase(
        names.boosting,
        {
            "nerv_boost": names.NERV_BOOST_NAMES,
            "enerv_boost": names.ENERV_BOOST_NAMES,
            "hnerv_boost": names.HNERV_BOOST_NAMES,
        },
    ),
}


def import_checkpoint(
    checkpoint: str | Path | Mapping[str, Tensor],
    *,
    codebase: str,
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
            `"ffnerv"`, or `"boosting-nerv"` (all three networks).
        config: the authors' options by their names, or a YAML / JSON file of them.
        frames, height, width: of the video it was fitted to.
        content: all frames (N, 3, H, W) of the video, uint8 or float in [0, 1], for networks that embed content: such a
            checkpoint holds the encoder, and the embeddings are what it draws from the frames.

    Raises:
        ConfigError: unknown code base, options that are missing or mean nothing here, tensors that are missing, left
            over or of the wrong shape.
        EnervZooError: a file that cannot be read, or holds more than tensors.
    """
    if codebase not in CODEBASES:
        known = ", ".join(CODEBASES)
        raise ConfigError(f"unknown code base {codebase!r}.{did_you_mean(codebase, CODEBASES)} Known: {known}")
    if isinstance(config, (str, Path)):
        config = read_mapping(config)
    family, options = CODEBASES[codebase].options(config)
    info = from_dict(VideoInfo, {"frames": frames, "height": height, "width": width})
    with torch.random.fork_rng(devices=[]):  # initial weights are replaced
        video = create_model(family, info=info, **options)
    embeds_content = any(spec["name"] == "content" for spec in video.config.embeddings.values())
    if embeds_content and content is None:
        raise ConfigError(f"{family!r} embeds the frames' content; give the video's frames as 'content'")
    if content is not None:
        if not embeds_content:
            raise ConfigError(f"{family!r} has no part that encodes content; leave 'content' out")
        video.start_fitting()
    state = read_checkpoint(checkpoint) if isinstance(checkpoint, (str, Path)) else dict(checkpoint)
    _check_grid(video, state.pop("xy_coord", None))
    renamed = _rename(video, state, CODEBASES[codebase].renaming[family])
    check_tensors(video, renamed, "checkpoint")
    video.load_state_dict(renamed)
    return video.eval() if content is None else video.eval().bake(content)


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file, by name; pickles are only read with `weights_only=True`.

    Raises:
        EnervZooError: the file is missing, damaged, holds more than tensors, or no state dict.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
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


def _check_grid(video: NeuralVideo, grid: Tensor | None) -> None:
    """The authors keep E-NeRV's coordinates as a parameter; here they follow from the config, so they must agree."""
    if grid is None:
        return
    space = dict(video.embeddings.items()).get("space")
    ours = space.coordinates if isinstance(space, SpatialEmbedding) else torch.empty(0)
    if grid.shape != ours.shape or not torch.allclose(grid.float(), ours, rtol=0, atol=1e-6):
        raise ConfigError("the checkpoint's 'xy_coord' is not the regular grid of its config's 'fc_hw_dim'")


def _rename(video: NeuralVideo, state: Mapping[str, Tensor], renaming: names.Renaming) -> dict[str, Tensor]:
    ours = video.state_dict()
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in renaming:
            if match := re.fullmatch(pattern, name):
                place = _placed(video, match.expand(replacement))
                break
        else:
            raise ConfigError(f"the checkpoint's tensor {name!r} has no place in {video.config.family!r}")
        if (
            tensor.ndim == 4 and place in ours and ours[place].ndim == 2 and tensor.shape[2:] == (1, 1)
        ):  # a convolution of single numbers
            tensor = tensor.flatten(1)
        renamed[place] = tensor
    return renamed


def _placed(video: NeuralVideo, name: str) -> str:
    """Where a part is that authors number through all stages: `blocks` and `after` (`...1`: from 1 on), `heads`."""
    kind, _, rest = name.partition(".")
    if kind not in ("blocks", "blocks1", "after", "after1", "heads"):
        return name
    text, _, rest = rest.partition(".")
    if kind == "heads":
        last = len(video.config.stages) - 1
        part = {"multiscale": f"convs.{text}", "flow_guided": "frame" if int(text) == last else "flow"}
        return f"head.{part.get(video.config.head['name'], 'conv')}.{rest}"
    places = [
        f"stages.{stage}.{place}" if kind.startswith("blocks") else f"stages.{stage}.{place + 1}"
        for stage, steps in enumerate(video.config.stages)
        for place, step in enumerate(steps)
        if "with" not in step
    ]
    number = int(text) - kind.endswith("1")
    return f"{places[number]}.{rest}" if 0 <= number < len(places) else name
