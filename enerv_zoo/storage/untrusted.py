"""Untrusted configs: each is built, and decodes a frame, on the meta device first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import VideoInfo, size_text
from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.meta import MetaParameters, meta_arithmetic
from enerv_zoo.network import Network

Result = TypeVar("Result")

MAX_FRAMES = 1 << 24
MAX_PARTS = 16
MAX_OPTION = 1 << 20
MAX_OPTION_LENGTH = 64
MAX_GRID = 1 << 20
MAX_NUMBERS = 1 << 32
MAX_TENSOR_BYTES = 8 << 30
"""Bytes of the largest tensor that decoding a frame may take; an 8K frame of 64 channels does."""


def build_on_meta(model: ModelConfig, video: VideoInfo, where: str) -> Network:
    """Return the network of a config with its parameters on the meta device.

    Raises:
        ConfigError: its parts do not fit together, or it would fill the memory.
    """
    _check_bounds(model, video, where)

    def build() -> Network:
        with MetaParameters():
            return Network(model, video).eval()

    network = _tried(build, where)
    sizes = {name: tensor.numel() for name, tensor in network.state_dict().items()}
    empty = next((name for name, size in sizes.items() if size == 0), None)
    if empty is not None:
        raise ConfigError(f"{where}: asks for a part without parameters ({empty}); it decodes nothing")
    count = sum(sizes.values())
    if count > MAX_NUMBERS:
        raise ConfigError(f"{where}: asks for {count:,} stored parameters; more than {MAX_NUMBERS:,} are not loaded")
    return network


def check_forward_on_meta(network: Network, where: str) -> None:
    """Decode a frame by shapes alone, on the meta device, where an outlined network then is.

    PyTorch takes seconds to load what this needs, so it is for repositories, not for folders.

    Raises:
        ConfigError: the frame has another size than the video's, or decoding it would fill the memory.
    """
    frame = _tried(lambda: _decode_on_meta(network.to("meta")), where)
    info = network.info
    if frame is not None and frame.shape != (1, 3, info.height, info.width):
        raise ConfigError(
            f"{where}: decodes to {tuple(frame.shape[1:])}, expected a frame (3, {info.height}, {info.width})"
        )


def _tried(make: Callable[[], Result], where: str) -> Result:
    try:
        return make()
    except EnervZooError as error:
        raise ConfigError(f"{where}: {error}") from error
    except Exception as error:  # options that nobody thought of, in parts that may be anyone's
        raise ConfigError(f"{where}: no network can be built from it ({str(error)[:200]})") from error


def _check_bounds(model: ModelConfig, video: VideoInfo, where: str) -> None:
    """Refuse what would make even the building of an empty network long."""
    if video.frames > MAX_FRAMES:
        raise ConfigError(f"{where}: has {video.frames:,} frames; more than {MAX_FRAMES:,} are not loaded")
    if len(model.embeddings) > MAX_PARTS:
        raise ConfigError(f"{where}: more than {MAX_PARTS} embeddings are not loaded")
    if math.prod(model.grid) > MAX_GRID:
        raise ConfigError(f"{where}: has a grid of {size_text(*model.grid)}; larger ones than 2^20 are not loaded")
    steps = [step for stage in model.stages for step in stage]
    for spec in [*model.embeddings.values(), model.join, model.head, *steps]:
        for option, value in spec.items():
            if not _is_small(value):
                raise ConfigError(
                    f"{where}: the option {option!r:.40} is {value!r:.40}; expected a name, a number up to "
                    f"{MAX_OPTION:,} or a list of up to {MAX_OPTION_LENGTH} of them"
                )


def _is_small(value: Any, depth: int = 3) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return depth > 0 and len(value) <= MAX_OPTION_LENGTH and all(_is_small(item, depth - 1) for item in value)
    if isinstance(value, (int, float)):
        return abs(value) <= MAX_OPTION
    return value is None or (isinstance(value, str) and len(value) <= MAX_OPTION_LENGTH)


class _Bounded(TorchDispatchMode):
    """Refuses operations whose results are too large to hold."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        largest = max((t.numel() * t.itemsize for t in tree_leaves(results) if isinstance(t, Tensor)), default=0)
        if largest > MAX_TENSOR_BYTES:
            raise ConfigError(
                f"decoding a frame takes {largest / 2**30:,.0f} GB in one piece; more than {MAX_TENSOR_BYTES >> 30} GB "
                "is not loaded"
            )
        return results


@torch.no_grad()
def _decode_on_meta(network: Network) -> Tensor | None:
    """Return a frame's shape, by the shapes of everything before it; `None` where a part reads values."""
    try:
        with meta_arithmetic(), _Bounded():
            return network(torch.zeros(1, device="meta"))
    except NotImplementedError:
        return None
    except RuntimeError as error:
        if "meta tensor" in str(error):
            return None
        raise
