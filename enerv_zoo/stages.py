"""Stages: blocks and modulations, in the order that a `ModelConfig` lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from enerv_zoo.composition import Wiring, split_spec
from enerv_zoo.config import Spec
from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.precision import Precision, computing
from enerv_zoo.registry import blocks, fusion

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of the embeddings' outputs without the batch, by name."""


class Stage(nn.ModuleList):
    """The steps of a stage.

    Args:
        steps: their specs.
        channels: of the map that the stage gets.
        size: (h, w) of that map.
        shapes: of the embeddings that steps may take.

    Attributes:
        takes: for each step the embeddings that it takes; `None` for a block.
        channels, size: of the map after the stage.

    Shapes: (B, C, h, w) and the embeddings (B, *shape) -> (B, C', stride h, stride w).

    Raises:
        ConfigError: parts that do not exist, do not fit or take embeddings that there are not.
    """

    def __init__(self, steps: Sequence[Spec], channels: int, size: tuple[int, int], shapes: Shapes) -> None:
        super().__init__()
        self.takes: list[tuple[str, ...] | None] = []
        for spec in steps:
            if "with" in spec:
                own, wiring = wired(spec, shapes)
                self.append(build_fusion("modulate", own, channels, size, [shapes[name] for name in wiring.takes]))
                self.takes.append(wiring.takes)
            else:
                own, wiring = split_spec(spec, "channels", "stride")
                width = wiring.channels or channels
                self.append(blocks.build(own, channels, width, wiring.stride))
                self.takes.append(None)
                channels, size = width, (size[0] * wiring.stride, size[1] * wiring.stride)
        self.channels, self.size = channels, size

    def forward(self, x: Tensor, embedded: Mapping[str, Tensor], precision: Precision) -> Tensor:
        for step, takes in zip(self, self.takes, strict=True):
            convolves = takes is None or getattr(step, "convolves", False)
            with computing(x.device, precision if convolves else "float32"):
                x = step(x, *(embedded[name] for name in takes or ()))
        return x


def wired(spec: Spec, shapes: Shapes, *keys: Literal["channels"]) -> tuple[Spec, Wiring]:
    """Divide the spec of a part that takes embeddings, as `split_spec` does.

    Args:
        spec: of a join, a modulation or a head.
        shapes: of the embeddings that there are.
        keys: that the network reads beside `with`.

    Raises:
        ConfigError: it takes an embedding that there is not, or a key has a value that it cannot have.
    """
    own, wiring = split_spec(spec, "with", *keys)
    for name in wiring.takes:
        if name not in shapes:
            raise ConfigError(
                f"no embedding is called {name!r}.{did_you_mean(name, shapes)} There are: {', '.join(shapes)}"
            )
    return own, wiring


def build_fusion(role: str, spec: Spec, *sizes: Any) -> nn.Module:
    """Build the fusion part that `spec` describes, if it has that role.

    Raises:
        ConfigError: it has another role, which the message names with those that fit; or cannot be built.
    """
    name = spec.get("name")
    if isinstance(name, str):
        actual = getattr(fusion.get(name), "role", None)
        if actual != role:
            fitting = [n for n in fusion.names() if getattr(fusion.get(n), "role", None) == role]
            raise ConfigError(
                f"fusion {name!r} is a {actual!r} part, here a {role!r} one is needed: {', '.join(fitting)}"
            )
    return fusion.build(spec, *sizes)


def per_frame(embedded: Tensor, index: Tensor) -> Tensor:
    """Return an output (B or 1, *shape) of an embedding for every index (B,) of a batch."""
    count = index.shape[0]  # and no len(), by which torch.export would fix the batch
    return embedded if embedded.shape[0] == count else embedded.expand(count, *embedded.shape[1:])
