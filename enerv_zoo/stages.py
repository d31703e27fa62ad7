"""Stages: blocks and modulations, in the order that a `Stage` of a config describes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from enerv_zoo.config import Spec, Stage
from enerv_zoo.errors import ConfigError
from enerv_zoo.precision import Precision, computing
from enerv_zoo.registry import blocks, fusion


class StageNetwork(nn.Module):
    """A stage: `before`, then every block followed by its `after`.

    Args:
        stage: its description.
        in_channels: channels of the map it gets.
        condition_width: numbers of the condition, or `None` where there is none.

    Shapes: (B, in_channels, H, W), (B, condition_width) -> (B, out_channels, stride H, stride W).

    Raises:
        ConfigError: a modulation without a condition, or parts that do not exist or fit.
    """

    def __init__(self, stage: Stage, in_channels: int, condition_width: int | None) -> None:
        super().__init__()
        channels = stage.out_channels
        self.before = _modulation(stage.before, in_channels, condition_width)
        self.blocks = nn.ModuleList(
            blocks.build(stage.block, in_channels if i == 0 else channels, channels, stage.stride if i == 0 else 1)
            for i in range(stage.depth)
        )
        self.after = nn.ModuleList(
            modulation
            for _ in range(stage.depth)
            if (modulation := _modulation(stage.after, channels, condition_width)) is not None
        )

    def forward(self, x: Tensor, condition: Tensor | None, precision: Precision) -> Tensor:
        if self.before is not None:
            x = _modulated(self.before, x, condition, precision)
        for i, block in enumerate(self.blocks):
            with computing(x.device, precision):
                x = block(x)
            if self.after:
                x = _modulated(self.after[i], x, condition, precision)
        return x


def _modulated(part: nn.Module, x: Tensor, condition: Tensor | None, precision: Precision) -> Tensor:
    with computing(x.device, precision if getattr(part, "convolves", False) else "float32"):
        return part(x, condition)


def _modulation(spec: Spec | None, channels: int, condition_width: int | None) -> nn.Module | None:
    if spec is None:
        return None
    if condition_width is None:
        raise ConfigError(f"the modulation {spec.get('name')!r} needs a condition; name an embedding in 'condition'")
    return build_fusion("modulate", spec, channels, condition_width)


def build_fusion(role: str, spec: Spec, *sizes: Any) -> nn.Module:
    """The fusion part that `spec` describes, if it has that role.

    Raises:
        ConfigError: it has another role, which the message names with those that fit; or cannot be built.
    """
    name = spec.get("name")
    if isinstance(name, str):
        found = getattr(fusion.get(name), "role", None)
        if found != role:
            fitting = [n for n in fusion.names() if getattr(fusion.get(n), "role", None) == role]
            raise ConfigError(
                f"fusion {name!r} is a {found!r} part, here a {role!r} one is needed: {', '.join(fitting)}"
            )
    return fusion.build(spec, *sizes)
