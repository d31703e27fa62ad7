"""Activations, outputs and MLPs, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.precision import at_least_float32


class Sine(nn.Module):
    """sin(frequency * x)."""

    def __init__(self, frequency: float = 1.0) -> None:
        super().__init__()
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * x)


class _Sigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(at_least_float32(x))


class _Tanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (torch.tanh(at_least_float32(x)) + 1) / 2


class _Offset(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(x) + self.offset


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "leaky": lambda: nn.LeakyReLU(0.01),
    "leaky01": lambda: nn.LeakyReLU(0.1),
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "sin": Sine,
    "softplus": nn.Softplus,
    "swish": nn.SiLU,
}

OUTPUTS: dict[str, Callable[[], nn.Module]] = {"sigmoid": _Sigmoid, "tanh": _Tanh}

Entry = TypeVar("Entry")


def choose(kind: str, table: dict[str, Entry], name: str) -> Entry:
    """Return the entry called `name`.

    Raises:
        ConfigError: there is none; the message lists those that there are.
    """
    if name not in table:
        raise ConfigError(f"unknown {kind} {name!r}.{did_you_mean(str(name), table)} Known: {', '.join(table)}")
    return table[name]


def activation(name: str) -> nn.Module:
    """Return the activation called `name`: a key of `ACTIVATIONS`, or `sin` and a frequency.

    `"sin"` is sin(x), `"sin30"` is sin(30 x), and so with any frequency above 0.
    """
    sine = re.fullmatch(r"sin([0-9]{1,4}(?:\.[0-9]{1,4})?)", str(name))
    if sine and float(sine[1]):
        return Sine(float(sine[1]))
    return choose("activation", ACTIVATIONS, name)()


def output(name: str | float) -> nn.Module:
    """Return the layer that maps a head's values to [0, 1], in float32.

    Args:
        name: `"sigmoid"`, `"tanh"` for (tanh + 1) / 2, or a number to add (frames may then leave [0, 1]).
    """
    return _Offset(name) if isinstance(name, (int, float)) else choose("output", OUTPUTS, name)()


def mlp(widths: Sequence[int], activation_name: str) -> nn.Sequential:
    """MLP[d0, d1, ..., dn]: linear layers, each followed by the activation, the last one too.

    Shapes: (..., d0) -> (..., dn). A single width gives the identity.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation(activation_name)]
    return nn.Sequential(*layers)
