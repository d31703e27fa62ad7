"""Tests of a part of any kind."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import torch
from torch import Tensor

from enerv_zoo.config import PartSpec, as_spec
from enerv_zoo.errors import ConfigError
from enerv_zoo.registry import Registry


class PartTests:
    """A registered part.

    Attributes:
        registry: of its kind.
        part: its name, or a spec of its name and options.
    """

    registry: ClassVar[Registry]
    part: ClassVar[PartSpec]

    def build(self, *sizes: Any) -> Any:
        """Build the part from what its kind's contract tells it."""
        return self.registry.build(as_spec(self.part), *sizes)

    def test_it_is_registered_and_documented(self) -> None:
        name = as_spec(self.part)["name"]
        assert name in self.registry.names()
        assert (self.registry.get(name).__doc__ or "").strip(), f"{self.registry.kind} {name!r} has no docstring"

    def test_its_options_are_plain_data_and_others_are_refused(self) -> None:
        name = as_spec(self.part)["name"]
        for parameter in self.registry.options(name).values():
            if parameter.default is not parameter.empty:
                json.dumps(parameter.default)
        try:
            self.registry.check_options(name, {"no_such_option": 1})
        except ConfigError:
            return
        raise AssertionError(f"{self.registry.kind} {name!r} takes any option; name its options in the signature")


def seeded(seed: int) -> torch.Generator:
    """Return a generator of random numbers."""
    return torch.Generator().manual_seed(seed)


def random_tensor(*shape: int, seed: int = 0) -> Tensor:
    """Return normal random numbers, float32."""
    return torch.randn(shape, generator=seeded(seed))


def random_frames(*shape: int, seed: int = 0) -> Tensor:
    """Return smooth random frames (..., 3, H, W), float32 in [0, 1]."""
    noise = torch.rand(shape, generator=seeded(seed))
    rows = torch.linspace(0, 1, shape[-2])[:, None]
    columns = torch.linspace(0, 1, shape[-1])
    return (0.25 * noise + 0.75 * (rows + columns) / 2).clamp(0, 1)
