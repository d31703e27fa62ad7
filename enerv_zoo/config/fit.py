"""The descriptions of a fit and of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, PlainValidator, StrictBool

from enerv_zoo.config.parts import LossSpec, MetricSpec, PartSpec, Spec, check_loss, check_part
from enerv_zoo.config.plain import from_dict
from enerv_zoo.config.ranges import Bits, Fraction01, NotNegative, Positive
from enerv_zoo.errors import ConfigError
from enerv_zoo.options import Option, parse_seconds

OPEN = "auto"
"""Size of a network, or of frames (`resize`), that is chosen as the fit begins (`enerv_zoo.fitting.choice`)."""

DEFAULT_METRICS: tuple[MetricSpec, ...] = ("psnr", "ms_ssim")
"""Metrics of a fit that names none."""


@dataclass(frozen=True)
class FitConfig:
    """Recipe of a fit to a video. The defaults are E-NeRV's published recipe (Li et al. 2022, section 4.1).

    Attributes:
        epochs: passes over all frames.
        batch_size: frames per step; `None` measures which one the device works at well, and scales `lr` with its root.
        lr: peak learning rate.
        optimizer: an optimizer, timm's or a registered one, by its name or with options; see `enerv_zoo.optimizers`.
        betas: the optimizer's moment decays, as many as it has; `None` for its own defaults, as is the rule for others
            than Adam.
        eps: the optimizer's epsilon.
        weight_decay: the optimizer's weight decay.
        loss: a loss by its name, weights of several, or one with options; `{"name": ..., <option>: ...}` as plain
            data, or what a callable of one's own is called. See `enerv_zoo.losses`.
        schedule: schedule of the rate, by its name or with options; `{"name": ..., <option>: ...}` as plain data.
        warmup: fraction of all steps in which the rate rises from 0.1 lr to lr; then the schedule goes its way, by
            default a half cosine to 0.
        warmup_steps: steps that the warm-up has at least, up to half of all: a few hundred keep a network alive in a
            fit of few steps.
        rates: factors on the rate of parts of the network, by the names with which their parameters' names begin;
            `{"embeddings": 0.1, "embeddings.time": 0.5, "head": 2}`. The longest one counts; 0 leaves a part as it is.
        start_std: standard deviation of the values that convolutions give before the first step: those of join and
            stages are scaled to it, from the first to the last, over a few frames, and maps that are encoded from
            frames are whitened. `None` for the published first weights. See
            `enerv_zoo.fitting.first_weights.scale_values`.
        clip_grad: largest allowed L2 norm of the gradient; `None` leaves it alone.
        ema: decay per step of an average of the weights (0.998, say), which is evaluated, and is the phase's result, in
            place of the last weights; `None` for none. It shows a sharp picture while the rate is high; where the rate
            falls to 0, it ends as the last weights.
        shuffle: random order of the frames of an epoch (a function of seed and epoch).
        seed: seed of the initial weights and of the order of frames.
        eval_every: epochs between evaluations on all frames, 0 for one at the end alone.
        checkpoint_every: seconds between checkpoints, 0 for one after every step.
        time_budget: time for the whole fit, evaluation included, in place of epochs; in seconds. The schedule is
            stretched to the measured speed. Options that give both are refused; either overrules the other of a recipe.
        precision: precision of convolutions: float32, bfloat16, or auto for bfloat16 where the device is faster in it
            (GPUs, some CPUs). The fitted network is float32 in any case.
        deterministic: use only algorithms that give the same results on every run.
        prune: part of the weights that is zero, from 0 to below 1: those of smallest magnitude when the phase begins
            (Chen et al. 2021, section 3.3).
        prune_size_weight: above 0, large tensors are pruned more: magnitudes are divided by n^prune_size_weight in a
            tensor of n weights, `prune` is a part of all parameters, and grids stay (Kwan et al. 2023; theirs is 0.5).
        bits: bits of the weights that steps see, 2 to 16: they are rounded in the forward pass, and gradients pass
            straight through (Bengio et al. 2013); `None` for exact weights. The fitted weights themselves stay exact.
        scales: how many scales the rounding has: one per `"tensor"`, one per output `"channel"`, or one per `"slice"`,
            a line of values along a tensor's longest axis. The last is HiNeRV's rounding (Kwan et al. 2023): gradients
            of rounded weights move the scales alone, and biases stay exact. `"learned"` ones, one per tensor, begin as
            `bits` say (7 by default) and move with the weights (Esser et al. 2020); the fitted weights are then rounded
            ones, which `compress` stores as they are.
        rounded_share: part of the weights that each step rounds, drawn anew; with scales per slice alone, whose authors
            round 0.9.
        rate_weight: weight, in the loss, of the weights' estimated bits per pixel; with `bits` or learned scales alone.
        bpp: bits per pixel of the file to fit to, over all frames, held-out ones too. Scales are learned; `rate_weight`
            follows from it, and so does the network's size unless it is given.
        phases: what follows this phase: each is a mapping of these options (all but `seed`, `start_std`,
            `precision`, `deterministic`, `time_budget`, `eval_every`, `checkpoint_every`, `fit_frames`, `metrics` and
            `phases`) on top of those before it, with an optimizer and a schedule of its own. `epochs` of a phase are
            its own.
        fit_frames: frames that are fitted, of those that are taken, such as ::2; by default all. Others are held out,
            and scored apart.
        metrics: metrics of the fitted frames; as `enerv_zoo.evaluate` takes them, and the first one leads.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    LATER: ClassVar = (
        "schedule", "warmup_steps", "rates", "start_std", "ema", "prune", "prune_size_weight", "bits", "scales",
        "rounded_share", "rate_weight", "bpp", "phases", "fit_frames", "metrics",
    )  # fmt: skip
    WHOLE: ClassVar = (
        "seed", "start_std", "precision", "deterministic", "time_budget", "eval_every", "checkpoint_every", "phases",
        "fit_frames", "metrics",
    )  # fmt: skip
    """Options of the whole fit, which phases cannot change."""

    epochs: Annotated[int, Field(ge=1, le=10_000_000)] = 300
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=1 << 20)] | None,
        Option("By default under a time budget, what suits the device."),
    ] = 1
    lr: Positive = 5e-4
    optimizer: Annotated[
        PartSpec,
        check_part("optimizer", "{name: adan, no_prox: true}"),
        Option(
            "Names: enerv-zoo models --parts.", example="adam, adan or '{name: adan, no_prox: true}'", kind="optimizer"
        ),
    ] = "adam"
    betas: Annotated[
        Annotated[tuple[Fraction01, ...], Field(min_length=2, max_length=3)] | None, Option(example="0.9,0.999")
    ] = (0.5, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0
    loss: Annotated[
        LossSpec,
        PlainValidator(check_loss),
        Option(
            "Names and options: enerv-zoo models --parts. Also '{name: charbonnier, eps: 1e-2}'.",
            example="L1=0.7,SSIM=0.3",
            kind="loss",
        ),
    ] = "Fusion6"
    schedule: Annotated[
        PartSpec,
        check_part("schedule", "{name: cosine, floor: 0.01}"),
        Option(example="cosine, linear, constant or '{name: cosine, floor: 0.01}'", kind="schedule"),
    ] = "cosine"
    warmup: Fraction01 = 0.2
    warmup_steps: Annotated[int, Field(ge=0, le=1 << 31)] = 0
    rates: Annotated[dict[str, NotNegative], Option(example="embeddings=0.1,head=2")] = field(default_factory=dict)
    start_std: Positive | None = None
    clip_grad: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    shuffle: StrictBool = True
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    eval_every: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: NotNegative = 60.0
    time_budget: Annotated[
        Positive | None, Option(example="120s, 10m or 1.5h", parse=parse_seconds, metavar="TIME")
    ] = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    deterministic: StrictBool = False
    prune: Fraction01 = 0.0
    prune_size_weight: NotNegative = 0.0
    bits: Bits | None = None
    scales: Literal["tensor", "channel", "slice", "learned"] = "tensor"
    rounded_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    rate_weight: NotNegative = 0.0
    bpp: Positive | None = None
    phases: Annotated[
        Annotated[tuple[Spec, ...], Field(fail_fast=True)], Option(example="'{epochs: 10, bits: 6}'")
    ] = ()
    fit_frames: Annotated[str | None, Option()] = None
    metrics: Annotated[
        Annotated[tuple[MetricSpec, ...], Field(min_length=1, max_length=32, fail_fast=True)],
        Option(
            "The first one leads. Names and options: enerv-zoo models --parts.",
            example="psnr,psnr_yuv",
            default="psnr,ms_ssim",
            kind="metric",
        ),
    ] = DEFAULT_METRICS

    def __post_init__(self) -> None:
        if self.rate_weight and self.bits is None and self.scales != "learned":
            raise ConfigError("rate_weight weighs the bits of rounded weights; give bits, too, or learned scales")
        if self.bpp is not None and (self.rate_weight or self.scales not in ("tensor", "learned")):
            raise ConfigError("under bpp, scales are learned and rate_weight follows; leave rate_weight and scales out")
        if self.rounded_share < 1 and self.scales != "slice":
            raise ConfigError("rounded_share is for scales per slice; give scales slice, too")
        if not self.phases:
            return
        if self.time_budget is not None:
            raise ConfigError("phases last for epochs, and this fit for a time budget; give epochs instead")
        self.split()  # refuses what a phase cannot say

    def split(self) -> list[FitConfig]:
        """Return the phases in order, each as a config of its own without phases; the first is this one.

        Raises:
            ConfigError: a phase has an unknown option, one of the whole fit, or no epochs.
        """
        parts = [dataclasses.replace(self, phases=())]
        for number, phase in enumerate(self.phases, start=2):
            where = f"phase {number}"
            if fixed := sorted(phase.keys() & set(self.WHOLE)):
                raise ConfigError(f"{where}: {fixed[0]} is an option of the whole fit; give it outside the phases")
            if "epochs" not in phase:
                raise ConfigError(f"{where}: does not say for how many epochs; give it epochs")
            own = from_dict(FitConfig, {**vars(parts[-1]), **phase}, where)
            if "betas" not in phase and optimizer_name(own.optimizer) != optimizer_name(parts[-1].optimizer):
                own = dataclasses.replace(own, betas=FitConfig.betas if is_adam(own.optimizer) else None)
            parts.append(own)
        return parts

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases."""
        return self.epochs + sum(phase["epochs"] for phase in self.phases)


def is_adam(optimizer: Any) -> bool:
    """Return whether the optimizer of a recipe is the one that the default betas are for."""
    return optimizer_name(optimizer) == "adam"


def optimizer_name(optimizer: Any) -> Any:
    """Return the name in an optimizer's spec."""
    return optimizer.get("name") if isinstance(optimizer, Mapping) else optimizer


@dataclass(frozen=True)
class Recipe:
    """A file in `configs/`: which network, how fitted, on which part of a video.

    Attributes:
        description: one line for listings.
        model: `{"name": family, "size": "1.5M", <family keyword>: ...}`.
        fit: fields of `FitConfig`.
        video: fields of `VideoSelection`.
        others: names of the recipes that are taken instead for other families than `model` names, by family; `any` is
            for all that have none. A single name is for all of them. They meet sizes within 10 %, and may name others.
        format: 2. Files and plain data without it are of format 1, whose sizes as text are HEIGHTxWIDTH; they are
            converted by `enerv_zoo.compatibility` when they are read.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    description: str = ""
    model: Spec = field(default_factory=lambda: {"name": "enerv"})
    fit: Spec = field(default_factory=dict)
    video: Spec = field(default_factory=dict)
    others: str | dict[str, str] | None = None
    format: Literal[2] = 2
