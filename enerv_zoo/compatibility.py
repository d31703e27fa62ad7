"""Format 1 of everything that is stored, read for ever: the one place that knows it.

The rule: whoever reads a file turns it into the present format at once, by a function of this module, and the rest of
the package knows no other. What format 1 was:

- Recipes, records and manifests have no marker (`format: 2`); sizes as text are HEIGHTxWIDTH, and pixels were always
  made square. In format 2 they are WIDTHxHEIGHT, and pixels are taken as they are stored.
- In compositions one embedding, the `condition`, steered every modulation; a stage was `before`, then `depth` times a
  block followed by `after`, and its tensors were named by these words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field

from enerv_zoo.composition import ModelConfig, stage_steps
from enerv_zoo.config import Factor, Side, Spec, Width, from_dict
from enerv_zoo.errors import ConfigError

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

FORMAT = 2
SIZES = ("resize", "crop")
_TWO_NUMBERS = re.compile(r"\s*([0-9]{1,6})\s*[xX]\s*([0-9]{1,6})\s*")


# ---------------------------------------------------------------------- recipes, records, manifests


def format_of(data: Mapping[str, Any], where: str = "") -> int:
    """Return the format of a recipe, a record or a manifest.

    Raises:
        ConfigError: it is none that this version reads.
    """
    version = data.get("format", 1)
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ConfigError(
            f"{where or 'recipe'}: format {version!r:.40} is not one that this version reads (1 to {FORMAT}); "
            "upgrade enerv-zoo"
        )
    return version


def turned(size: Any) -> Any:
    """Return a size as text with its two numbers in the other order; anything else as it is."""
    match = _TWO_NUMBERS.fullmatch(size) if isinstance(size, str) else None
    return size if match is None else f"{match[2]}x{match[1]}"


def turned_sizes(selection: Mapping[str, Any]) -> dict[str, Any]:
    """Return a selection with the numbers of sizes as text in the other order."""
    return {key: turned(value) if key in SIZES else value for key, value in selection.items()}


def upgrade(data: Mapping[str, Any], where: str = "", *, fitted: bool = False, note: bool = False) -> dict[str, Any]:
    """Return a recipe, or the record of a fit, in format 2.

    Args:
        data: with `video`, which may say `resize` and `crop`.
        where: it comes from, for messages.
        fitted: it is the record of a fit, whose frames had square pixels if it is of format 1.
        note: log how a size was read that is meant otherwise in format 2.

    Raises:
        ConfigError: it is of a newer format.
    """
    if format_of(data, where) == FORMAT:
        return dict(data)
    video = data.get("video") or {}
    if not isinstance(video, Mapping):
        return {**data, "format": FORMAT}  # refused by whoever reads it
    sizes = turned_sizes(video)
    if note:
        note_sizes(video, where)
    return {**data, "format": FORMAT, "video": {**sizes, "square_pixels": True} if fitted else sizes}


def note_sizes(selection: Mapping[str, Any], where: str) -> None:
    """Log how the sizes of a format-1 text were read, where the order of their numbers matters."""
    for key in SIZES:
        size = selection.get(key)
        if turned(size) != size:
            logger.info(
                "%s: %s %s was read as HEIGHTxWIDTH, as it has no 'format: 2'; with that, write %s",
                *(where, key, size, turned(size)),
                extra={"once": True},
            )
            return


# ---------------------------------------------------------------------- compositions, names of tensors


@dataclass(frozen=True)
class Stage:
    """A stage as format 1 describes it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    block: Spec
    out_channels: Width
    stride: Factor
    depth: Annotated[int, Field(ge=1, le=64)] = 1
    before: Spec | None = None
    after: Spec | None = None

    def steps(self, condition: str | None) -> tuple[Spec, ...]:
        """Return the steps of the same stage in format 2."""
        before, after = (None if part is None else _modulation(part, condition) for part in (self.before, self.after))
        return stage_steps(self.block, self.out_channels, self.stride, self.depth, before=before, after=after)


@dataclass(frozen=True)
class Composition:
    """A composition as format 1 describes it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    family: str
    grid: tuple[Side, Side]
    width: Width
    embeddings: dict[str, Spec]
    join: Spec
    inputs: Annotated[tuple[str, ...], Field(fail_fast=True)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=16, fail_fast=True)]
    head: Spec
    condition: str | None = None


def _modulation(part: Spec, condition: str | None) -> Spec:
    if condition is None:
        raise ConfigError(f"the modulation {part.get('name')!r} needs a condition, and there is none")
    return {**part, "with": condition}


def read_model(data: Any, where: str = "") -> ModelConfig:
    """Return the composition that plain data of format 1 or 2 describe.

    Args:
        data: what `to_dict` gave, then or now; it may be untrusted.
        where: where the data come from, for messages.

    Raises:
        ConfigError: an unknown key, a missing one, a wrong type or a value out of range.
    """
    if not (isinstance(data, Mapping) and "inputs" in data):
        return from_dict(ModelConfig, data, where)
    old = from_dict(Composition, data, where)
    try:
        return ModelConfig(
            family=old.family,
            grid=old.grid,
            embeddings=old.embeddings,
            join={**old.join, "with": list(old.inputs), "channels": old.width},
            stages=tuple(stage.steps(old.condition) for stage in old.stages),
            head=old.head,
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}" if where else str(error)) from None


_OLD_NAME = re.compile(r"stages\.(\d+)\.(?:(before)|(blocks|after)\.(\d+))\.(.+)")


def current_name(config: ModelConfig, name: str) -> str:
    """Return the name that a tensor of format 1 has today; today's names pass unchanged.

    A name that fits no step of the composition is returned as it is.
    """
    match = _OLD_NAME.fullmatch(name)
    if match is None or int(match[1]) >= len(config.stages):
        return name
    stage = config.stages[int(match[1])]
    if match[2]:
        return f"stages.{match[1]}.0.{match[5]}"
    blocks = [place for place, step in enumerate(stage) if "with" not in step]
    number = int(match[4])
    if number >= len(blocks):
        return name
    return f"stages.{match[1]}.{blocks[number] + (match[3] == 'after')}.{match[5]}"


def current_names(config: ModelConfig, tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Return tensors, or what is said of them, by today's names, in their order."""
    return {current_name(config, name): value for name, value in tensors.items()}
