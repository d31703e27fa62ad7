"""Keyword arguments of functions, for type checkers: the fields of configs, which stand here a second time.

A type checker then refuses `fit("bunny", epoch=1)` as `fit` itself does. Tests hold both equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from enerv_zoo.config import LossSpec, MetricSpec, PartSpec, Recipe, Spec
    from enerv_zoo.losses import Loss


class SelectionOptions(TypedDict, total=False):
    """Fields of `enerv_zoo.config.VideoSelection`."""

    frames: str | None
    resize: str | int | tuple[int, int] | None
    crop: str | tuple[int, int] | None
    square_pixels: bool | None
    stream: int | None
    yuv: str | None
    deinterlace: bool | None
    full_depth: bool | None
    matrix: str | None
    tone_map: bool | None


class FitOptions(SelectionOptions, total=False):
    """Those, and fields of `enerv_zoo.FitConfig`; a loss may also be a callable."""

    epochs: int
    batch_size: int | None
    lr: float
    optimizer: PartSpec
    betas: tuple[float, ...] | None
    eps: float
    weight_decay: float
    loss: LossSpec | Loss
    schedule: PartSpec
    warmup: float
    warmup_steps: int
    rates: dict[str, float]
    start_std: float | None
    clip_grad: float | None
    ema: float | None
    shuffle: bool
    seed: int
    eval_every: int
    checkpoint_every: float
    time_budget: float | None
    precision: Literal["auto", "float32", "bfloat16"]
    deterministic: bool
    prune: float
    prune_size_weight: float
    bits: int | None
    scales: Literal["tensor", "channel", "slice", "learned"]
    rounded_share: float
    rate_weight: float
    bpp: float | None
    phases: tuple[Spec, ...]
    fit_frames: str | None
    metrics: tuple[MetricSpec, ...]


class CompareOptions(FitOptions, total=False):
    """Those, and what else a fit of a comparison takes."""

    recipe: str | Path | dict[str, Any] | Recipe | None
    model_options: dict[str, Any] | None
    frames_in: str


class CompressOptions(TypedDict, total=False):
    """Fields of `enerv_zoo.config.CompressConfig`."""

    bits: int | None
    part_bits: dict[str, int]
    scales: Literal["tensor", "channel", "slice"]
    bpp: float | None
    max_psnr_drop: float | None
    prune: float
    tune_epochs: int
    tune: Literal["weights", "rounding"]
    rate_weight: float
    lr: float
    batch_size: int | None
    seed: int
    entropy_model: PartSpec | None
    license: str | None
    measure: bool
    embed_graph: bool
    sound: bool
