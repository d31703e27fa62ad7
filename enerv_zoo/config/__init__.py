"""The descriptions of a video, of a fit, of a compression and of a recipe.

Frozen dataclasses that turn into plain dicts and back. Reading validates: unknown keys, wrong types and values out of
range raise `ConfigError` with the place and the legal keys, before anything is allocated.
"""

from enerv_zoo.config.colour import HD, MATRICES, PRIMARIES, TRANSFERS, Colour
from enerv_zoo.config.compress import CompressConfig
from enerv_zoo.config.fit import DEFAULT_METRICS, OPEN, FitConfig, Recipe
from enerv_zoo.config.parts import LossSpec, MetricSpec, PartSpec, Spec, as_spec
from enerv_zoo.config.plain import from_dict, to_dict
from enerv_zoo.config.ranges import Count, Factor, Finite, Side, Width
from enerv_zoo.config.video import (
    DEFAULT_FPS,
    MAX_TERM,
    SELECTION,
    SQUARE,
    Tags,
    VideoInfo,
    VideoSelection,
    as_pixel_aspect,
    size_text,
)

__all__ = [
    "DEFAULT_FPS",
    "DEFAULT_METRICS",
    "HD",
    "MATRICES",
    "MAX_TERM",
    "OPEN",
    "PRIMARIES",
    "SELECTION",
    "SQUARE",
    "TRANSFERS",
    "Colour",
    "CompressConfig",
    "Count",
    "Factor",
    "Finite",
    "FitConfig",
    "LossSpec",
    "MetricSpec",
    "PartSpec",
    "Recipe",
    "Side",
    "Spec",
    "Tags",
    "VideoInfo",
    "VideoSelection",
    "Width",
    "as_pixel_aspect",
    "as_spec",
    "from_dict",
    "size_text",
    "to_dict",
]
