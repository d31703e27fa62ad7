"""Coding hints of a network's tensors: those that a part gives, and defaults where it gives none.

A part that knows better has `coding_hints()`, which returns hints by the names that tensors have in it. Compression
asks the network (`NeuralVideo.coding_hints`), and never looks at names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from enerv_zoo.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class CodingHint:
    """Coding of a tensor.

    Attributes:
        kind: `"weight"` (of a matrix or a convolution), `"grid"` (a table or grid of feature maps) or `"bias"` (and
            other vectors).
        axis: along which scales may differ; `None` for one scale.
        prunable: whether small values may be set to zero.
        slices: groups of axes, of which one may be chosen to have a scale for each place along all others; by default
            every axis on its own.
    """

    kind: Literal["weight", "grid", "bias"]
    axis: int | None = None
    prunable: bool = True
    slices: tuple[tuple[int, ...], ...] | None = None


GRID = CodingHint("grid", axis=1, slices=((0, 2, 3), (1,)))
"""A table of feature maps (T, C, h, w), with a scale per channel."""

TILES = CodingHint("grid", axis=1, slices=((0,), (1, 2, 3)))
"""A table of small maps, each of which is like a vector."""


def default_hint(tensor: Tensor) -> CodingHint:
    """Return the hint of a tensor of which its part says nothing: a bias, or a weight with scales per channel."""
    return CodingHint("bias", prunable=False) if tensor.ndim < 2 else CodingHint("weight", axis=0)


def coding_hints(network: nn.Module) -> dict[str, CodingHint]:
    """Return the hint of every parameter of a network, by its name in the state dict."""
    hints = {name: default_hint(parameter) for name, parameter in network.named_parameters()}
    for path, part in network.named_modules():
        if path and hasattr(part, "coding_hints"):
            hints |= {f"{path}.{name}": hint for name, hint in part.coding_hints().items()}
    return hints


def named_parts(tensors: Sequence[str], parts: Collection[str], option: str) -> dict[str, str]:
    """Return the part that each tensor belongs to, of those that an option names; others are not there.

    Args:
        tensors: names of tensors, such as `embeddings.time.weight`.
        parts: names, such as `"embeddings.time"`, for the tensor `embeddings.time` and all of `embeddings.time. ...`;
            the longest one that fits a tensor counts.
        option: for messages.

    Raises:
        ConfigError: no tensor belongs to a part.
    """
    fitting = {name: [part for part in parts if f"{name}.".startswith(f"{part}.")] for name in tensors}
    for part in parts:
        if not any(part in each for each in fitting.values()):
            legal = sorted({name[:end] for name in tensors for end in range(len(name)) if name[end] == "."})
            raise ConfigError(
                f"{option}: the network has no part {part!r}.{did_you_mean(part, legal)} "
                f"Its parts: {', '.join(dict.fromkeys(_part(name) for name in tensors))}"
            )
    return {name: max(each, key=len) for name, each in fitting.items() if each}


def _part(name: str) -> str:
    """Return the part that a message names for a tensor: `head`, `embeddings.time`, `stages.0`."""
    first, *rest = name.split(".")
    return ".".join((first, *rest[:1])) if first in ("embeddings", "stages") else first
