"""A network's numbers as whole numbers: which ones, in how many bits, with which scales."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz import Coded

LEAST_BITS, MOST_BITS = 2, 16
VECTOR_BITS = 12
"""Of biases and other vectors: they are few, and every pixel depends on each."""

NUMBERS_A_SCALE = 64
"""A scale costs four bytes, so it serves at least so many numbers."""

Bits = Mapping[str, int]
"""Bits of each coded tensor, by its name in the state dict."""


def is_vector(tensor: Tensor) -> bool:
    """Whether a tensor is a bias or the like."""
    return tensor.ndim < 2


def codable(video: NeuralVideo) -> dict[str, Tensor]:
    """The tensors that are coded: all parameters. Buffers (running statistics) are stored as they are."""
    return {name: parameter.detach() for name, parameter in video.named_parameters()}


def even_bits(video: NeuralVideo, bits: int) -> dict[str, int]:
    """The same bits for every matrix and convolution, and at least `VECTOR_BITS` for vectors.

    Raises:
        ConfigError: fewer than 2 bits, or more than 16.
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ConfigError(f"weights are coded in {LEAST_BITS} to {MOST_BITS} bits, got {bits}")
    return {name: max(bits, VECTOR_BITS) if is_vector(t) else bits for name, t in codable(video).items()}


def scale_axis(name: str, tensor: Tensor) -> int | None:
    """Along which axis a tensor has scales of its own: the output channel, for tables of maps the map's channel."""
    if is_vector(tensor):
        return None
    axis = 1 if name.startswith("embeddings.") and tensor.ndim == 4 else 0
    return axis if tensor.numel() // tensor.shape[axis] >= NUMBERS_A_SCALE else None


def scales(tensor: Tensor, bits: int, axis: int | None) -> Tensor:
    """What a level stands for, so that the largest number is the highest level: shape () or (n,), never 0."""
    steps = 2 ** (bits - 1) - 1
    others = tuple(i for i in range(tensor.ndim) if i != axis)
    largest = tensor.abs().amax(dim=others) if axis is not None else tensor.abs().max()
    return torch.where(largest > 0, largest / steps, torch.ones_like(largest)).float()


def _spread(scale: Tensor, tensor: Tensor, axis: int | None) -> Tensor:
    return scale if axis is None else scale.view([-1 if i == axis else 1 for i in range(tensor.ndim)])


def rounded(name: str, tensor: Tensor, bits: int) -> Tensor:
    """The numbers as they will be when they have been coded in `bits`."""
    axis = scale_axis(name, tensor)
    scale = _spread(scales(tensor, bits, axis), tensor, axis)
    return (tensor / scale).round() * scale


def coded(name: str, tensor: Tensor, bits: int) -> Coded:
    """The numbers as whole numbers, for the file."""
    tensor = tensor.detach().cpu()
    axis = scale_axis(name, tensor)
    scale = scales(tensor, bits, axis)
    levels = (tensor / _spread(scale, tensor, axis)).round().to(torch.int32)
    return Coded(np.ascontiguousarray(levels.numpy()), scale.numpy(), axis)
