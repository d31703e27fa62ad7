"""The composition of a network as data: which parts, joined how."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from enerv_zoo.config import Factor, Side, Spec, Width, from_dict
from enerv_zoo.errors import ConfigError


@dataclass(frozen=True)
class Wiring:
    """The keys of a part's spec that the network reads; all others are the part's own options.

    Attributes:
        takes: names of the embeddings that the part takes (`with`: one name, or a list of them).
        channels: of the feature map after the part; `None` leaves them as they are.
        stride: by which a block upsamples.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    takes: Annotated[tuple[str, ...], Field(max_length=16, fail_fast=True)] = ()
    channels: Width | None = None
    stride: Factor = 1


def split_spec(spec: Spec, *keys: Literal["with", "channels", "stride"]) -> tuple[Spec, Wiring]:
    """Divide a part's spec into what the part is told (its name and options) and what the network reads.

    Args:
        spec: of a join (`keys`: `with`, `channels`), a step (`with`, or `channels` and `stride`) or a head (`with`).
        keys: those that the network reads here.

    Raises:
        ConfigError: a value that such a key cannot have.
    """
    read = {"takes" if key == "with" else key: spec[key] for key in keys if key in spec}
    if isinstance(read.get("takes"), str):
        read["takes"] = (read["takes"],)
    names = read.get("takes", ())
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{spec.get('name')!r}: 'with' names embeddings, one or a list, got {names!r:.80}")
    own = {key: value for key, value in spec.items() if key not in keys}
    return own, from_dict(Wiring, read, f"{spec.get('name')!r}")


def stage_steps(
    block: Spec, channels: int, stride: int, depth: int = 1, *, before: Spec | None = None, after: Spec | None = None
) -> tuple[Spec, ...]:
    """Return the steps of a stage of the common kind: `before`, then `depth` times a block followed by `after`.

    Args:
        block: its name and options.
        channels: after the stage.
        stride: of the first block; further ones have stride 1.
        depth: number of blocks.
        before, after: modulations with their `with`, or `None`.
    """
    blocks = [{**block, "channels": channels, **({"stride": stride} if i == 0 else {})} for i in range(depth)]
    follow = () if after is None else (after,)
    return (*(() if before is None else (before,)), *(step for block in blocks for step in (block, *follow)))


@dataclass(frozen=True)
class ModelConfig:
    """A network's full composition (format 2); see `enerv_zoo.network.Network` for how the parts are joined.

    Every part is a mapping of its `name` and options. `with` names the embeddings that it takes, vectors or maps.

    Attributes:
        family: the family that made this composition (a record; nothing depends on it).
        grid: (h, w) of the first feature map.
        embeddings: embeddings by a name of this config's choosing.
        join: the fusion part that turns the embeddings in its `with` into the first feature map of `channels`.
        stages: of the decoder, each a list of steps. A step that takes embeddings (`with`) is a modulation, any other
            one is a block, with its `channels` (as before, if not given) and its `stride` (1).
        head: the stages' feature maps, and embeddings where it names some, to RGB.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    family: str
    grid: tuple[Side, Side]
    embeddings: dict[str, Spec]
    join: Spec
    stages: Annotated[
        tuple[Annotated[tuple[Spec, ...], Field(min_length=1, max_length=256, fail_fast=True)], ...],
        Field(min_length=1, max_length=16, fail_fast=True),
    ]
    head: Spec

    def replace_steps(self, pattern: str, spec: Spec) -> ModelConfig:
        """Return the composition with `spec` in place of every step whose name matches a shell-style wildcard.

        What the network reads of a step stays as it is, unless `spec` says otherwise: `with` of a modulation,
        `channels` and `stride` of a block.
        """

        def replaced(step: Spec) -> Spec:
            if not fnmatchcase(str(step.get("name")), pattern):
                return step
            wiring = ("with",) if "with" in step else ("channels", "stride")
            return {**spec, **{key: step[key] for key in wiring if key in step and key not in spec}}

        stages = tuple(tuple(replaced(step) for step in stage) for stage in self.stages)
        return dataclasses.replace(self, stages=stages)

    @property
    def strides(self) -> tuple[int, ...]:
        """The factor by which each stage upsamples."""
        return tuple(math.prod(block.stride for block in _blocks(stage)) for stage in self.stages)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the first feature map, then of the map after each stage.

        Raises:
            ConfigError: the join does not say how many.
        """
        first = split_spec(self.join, "with", "channels")[1].channels
        if first is None:
            raise ConfigError(f"the join {self.join.get('name')!r} needs 'channels', those of the first feature map")
        widths = [first]
        for stage in self.stages:
            channels = [block.channels for block in _blocks(stage)]
            widths.append(next((width for width in reversed(channels) if width is not None), widths[-1]))
        return tuple(widths)


def _blocks(stage: Sequence[Spec]) -> list[Wiring]:
    """Return what the network reads of a stage's blocks; the options of a modulation are its own, however called."""
    return [split_spec(step, "channels", "stride")[1] for step in stage if "with" not in step]
