"""Entropy models: how many bits levels take, and their coding. One object does both.

Contract. Built as `entropy_model(*, options)`: a class with the methods of `EntropyModel`, or a function that returns
an object of one. A file holds the name and the options of a tensor's model, unless that is the built-in one, `table`;
so models of the same name and options decode the same bytes to the same levels, on every machine and for ever. Decoding
is given bytes of unknown origin: it raises `ValueError` for those that it cannot decode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.config import PartSpec, Spec, as_spec
from enerv_zoo.errors import ConfigError
from enerv_zoo.nvz.tables import estimate_bits, parse_table
from enerv_zoo.nvz.temporal import TemporalModel
from enerv_zoo.nvz.tensors import QuantizedTensor, code_levels, decode_levels, laplace_bits
from enerv_zoo.registry import entropy_models

TABLE = "table"
"""The built-in entropy model, which files do not name."""


class EntropyModel(Protocol):
    """The rate of a tensor's levels while it is fitted, and their coder afterwards (Balle et al. 2018)."""

    def bits(self, values: Tensor) -> Tensor:
        """Return about how many bits values in units of their step take, of any shape: a differentiable scalar."""
        ...

    def encode(self, levels: Tensor) -> bytes:
        """Return a tensor's levels, int32 of any shape from -2^15 to 2^15, as bytes."""
        ...

    def decode(self, data: bytes, shape: Sequence[int]) -> Tensor:
        """Return the levels, int32, that `encode` was given.

        Raises:
            ValueError: the bytes are no such tensor.
        """
        ...


@entropy_models.register(TABLE)
class TableModel:
    """A table of frequencies per tensor, chosen among four kinds and written with it, and rANS (`docs/nvz.md`)."""

    def bits(self, values: Tensor) -> Tensor:
        """Return the bits under a Laplace distribution of the values' mean magnitude m: n log2(1 + 2 e m)."""
        return laplace_bits(values)

    def encode(self, levels: Tensor) -> bytes:
        """Return the table, then the stream."""
        return b"".join(code_levels(levels.numpy()))

    def decode(self, data: bytes, shape: Sequence[int]) -> Tensor:
        """Read the table, then the stream."""
        view = memoryview(data)
        used = parse_table(view)[1] if math.prod(shape) else 0
        return torch.from_numpy(decode_levels(view[:used], view[used:], tuple(shape)))


def best_model(levels: np.ndarray, model: Spec | None = None) -> tuple[Spec | None, float]:
    """Return the entropy model that codes a tensor, as `QuantizedTensor` names it, and an estimate of its bits.

    Args:
        levels: int32, of any shape.
        model: the one to take, whose bits are then estimated as the table's; by default the built-in one that takes the
            fewest bits: `temporal` is for grids, and helps wherever a place along axis 0 is like the one before, as in
            layers that give a picture's pixels.
    """
    bits = estimate_bits(levels)
    if model is not None:
        return model_spec(model), bits
    if levels.ndim > 1:
        temporal = TemporalModel().estimate_bits(torch.from_numpy(levels), below=bits)
        if temporal < bits:
            return {"name": "temporal"}, temporal
    return None, bits


def tensor_bits(tensor: QuantizedTensor, model: Spec | None = None) -> float:
    """Estimate the bits that a tensor takes in a file: its levels, by `best_model`, and its scales."""
    return best_model(tensor.levels, model)[1] + 8 * len(tensor.scale_bytes())


def rate(values: Tensor, kind: str, model: Spec | None = None) -> Tensor:
    """Return about how many bits values in units of their step take: a differentiable scalar.

    Args:
        values: of any shape.
        kind: of the tensor, as its `enerv_zoo.coding.CodingHint` says.
        model: entropy model; by default the built-in one that takes the fewest bits, which for kernels of several
            weights is hardly ever `temporal`: it is not tried for them, as that takes time in every step.
    """
    if model is not None:
        return _own_bits(as_spec(model), values)
    bits = laplace_bits(values)
    if values.ndim < 2 or (kind != "grid" and math.prod(values.shape[2:]) > 1):
        return bits
    return torch.minimum(bits, TemporalModel().bits(values))


def _own_bits(spec: Spec, values: Tensor) -> Tensor:
    """Return the bits that a named model says values take.

    Raises:
        ConfigError: there is no such model, or it gives no scalar tensor.
    """
    model: EntropyModel = entropy_models.build(spec)
    try:
        bits: Any = model.bits(values)
    except Exception as error:  # a plug-in's model may raise anything
        raise ConfigError(f"entropy_model {spec['name']!r}: {type(error).__name__}: {error}") from error
    if not isinstance(bits, Tensor) or bits.ndim:
        raise ConfigError(f"entropy_model {spec['name']!r}: bits gave {type(bits).__name__}, expected a scalar tensor")
    return bits


def model_spec(model: PartSpec) -> Spec | None:
    """Return the spec of an entropy model as a tensor has it: `None` for the built-in one.

    Raises:
        ConfigError: there is no such model, or it has no such options.
    """
    spec = as_spec(model)
    entropy_models.build(spec)
    return None if spec == {"name": TABLE} else spec


def encode_with(spec: Spec, levels: np.ndarray) -> bytes:
    """Return levels as an entropy model codes them.

    Raises:
        ConfigError: there is no such model, or it gives no bytes.
    """
    model: EntropyModel = entropy_models.build(spec)
    try:
        stream: Any = model.encode(torch.from_numpy(levels))
    except Exception as error:  # a plug-in's encoder may raise anything
        raise ConfigError(f"entropy_model {spec['name']!r}: {type(error).__name__}: {error}") from error
    if not isinstance(stream, bytes):
        raise ConfigError(f"entropy_model {spec['name']!r}: encode gave {type(stream).__name__}, expected bytes")
    return stream


def decode_with(spec: Spec, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Return the levels that `encode_with` was given.

    Raises:
        ConfigError: the bytes are no such levels.
    """
    model: EntropyModel = entropy_models.build(spec)
    try:
        levels: Any = model.decode(data, shape)
    except Exception as error:  # a plug-in's decoder may raise anything
        raise ConfigError(f"entropy_model {spec['name']!r}: {type(error).__name__}: {error}") from error
    if not isinstance(levels, Tensor) or levels.dtype != torch.int32 or tuple(levels.shape) != shape:
        kind = f"{levels.dtype} {tuple(levels.shape)}" if isinstance(levels, Tensor) else type(levels).__name__
        raise ConfigError(f"entropy_model {spec['name']!r} gave {kind}, expected torch.int32 {shape}")
    return levels.contiguous().numpy()
