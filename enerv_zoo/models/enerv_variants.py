"""E-NeRV with one part changed each, as in its paper's ablations (Li et al. 2022, 4.3); with the options of `enerv`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, get_type_hints

from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import Spec, VideoInfo
from enerv_zoo.models.enerv import enerv
from enerv_zoo.models.family import family

WIDTHS = ("fc_dim", "lower_width", "block_dim", "mlp_dim", "stem_dim")
GRIDS = (256, 512)
"""Cells of the grids that take the place of the stem, as Rabbit NeRV has them."""

Change = Callable[[ModelConfig, dict[str, Any]], ModelConfig]


def _variant(name: str, *without: str) -> Callable[[Change], Callable[..., ModelConfig]]:
    """Register E-NeRV with a change, which gets E-NeRV's config and all its options.

    Args:
        name: of the family.
        without: options that mean nothing after the change, and are not there.
    """

    def decorate(change: Change) -> Callable[..., ModelConfig]:
        signature = inspect.signature(enerv)
        options_left = [p for p in signature.parameters.values() if p.name not in without]

        @wraps(change)
        def make(info: VideoInfo, **options: Any) -> ModelConfig:
            defaults = {p.name: p.default for p in options_left if p.kind is p.KEYWORD_ONLY} | options
            return replace(change(enerv(info, **options), defaults), family=name)

        make.__signature__ = signature.replace(parameters=options_left)  # type: ignore[attr-defined]
        make.__annotations__ = get_type_hints(enerv)  # by which options are checked
        return family(name, widths=[width for width in WIDTHS if width not in without])(make)

    return decorate


def _embeddings(config: ModelConfig, *names: str) -> dict[str, Spec]:
    return {name: config.embeddings[name] for name in names}


@_variant("enerv_unmodulated", "pos_b_tm", "pos_l_tm", "tm_dim")
def enerv_unmodulated(config: ModelConfig, options: dict[str, Any]) -> ModelConfig:
    """E-NeRV without temporal modulation: stages see time only through the first feature map. An ablation."""
    stages = tuple(tuple(step for step in stage if "with" not in step) for stage in config.stages)
    return replace(config, embeddings=_embeddings(config, "time", "space"), stages=stages)


@_variant("enerv_nerv_block")
def enerv_nerv_block(config: ModelConfig, options: dict[str, Any]) -> ModelConfig:
    """E-NeRV with NeRV's block in its first stage too, whose one kernel is larger than the two of E-NeRV's. Among
    the best published networks at equal size and epochs."""
    first, *rest = config.stages
    steps = tuple({**step, "name": "nerv"} if step["name"] == "enerv" else step for step in first)
    return replace(config, stages=(steps, *rest))


@_variant("enerv_coupled", "block_dim", "mlp_dim", "xypos_b", "xypos_l")
def enerv_coupled(config: ModelConfig, options: dict[str, Any]) -> ModelConfig:
    """E-NeRV whose first feature map comes from NeRV's stem, space and time coupled in one MLP. An ablation."""
    time = {key: value for key, value in config.embeddings["time"].items() if key not in ("widths", "activation")}
    return replace(
        config,
        embeddings={"time": time, **_embeddings(config, "modulation")},
        join={
            "name": "coupled",
            "hidden": list(options["stem_dim"]),
            "activation": options["act"],
            "with": ["time"],
            "channels": options["fc_dim"],
        },
    )


@_variant("enerv_grids", "block_dim", "mlp_dim", "stem_dim", "pos_b", "pos_l", "xypos_b", "xypos_l")
def enerv_grids(config: ModelConfig, options: dict[str, Any]) -> ModelConfig:
    """E-NeRV whose first feature map comes from FFNeRV's grids of time. An ablation."""
    grids: Spec = {"name": "temporal_grid", "sizes": list(GRIDS), "channels": options["fc_dim"]}
    return replace(
        config,
        embeddings={"time": grids, **_embeddings(config, "modulation")},
        join={"name": "identity", "with": ["time"], "channels": options["fc_dim"]},
    )
