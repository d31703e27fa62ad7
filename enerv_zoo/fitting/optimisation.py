"""Optimisers by timm's names, and the one schedule that all published recipes share."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch

from enerv_zoo.config import FitConfig
from enerv_zoo.errors import ConfigError
from enerv_zoo.neural_video import NeuralVideo

WARMUP_FLOOR = 0.1
"""Fraction of the peak rate at which the warm-up starts."""


def make_optimizer(video: NeuralVideo, config: FitConfig) -> torch.optim.Optimizer:
    """The timm optimiser that a recipe names, over all parameters alike.

    Raises:
        ConfigError: timm has no such optimiser, or it refuses the recipe's numbers.
    """
    from timm.optim import create_optimizer_v2, get_optimizer_class, list_optimizers

    known = [str(name) for name in list_optimizers()]
    if config.optimizer not in known:
        raise ConfigError(f"unknown optimizer {config.optimizer!r}; timm has {', '.join(known)}")
    try:
        legal = signature(get_optimizer_class(config.optimizer, bind_defaults=False)).parameters
    except (ImportError, AssertionError) as error:
        raise ConfigError(f"optimizer {config.optimizer!r} is not to be had here: {error}") from error
    options: dict[str, Any] = (
        {"fused": True} if "fused" in legal else {}
    )  # one kernel for all tensors, not ten for each
    if "eps" in legal:
        options["eps"] = config.eps
    if "betas" in legal and config.betas is not None:
        if len(config.betas) != len(legal["betas"].default):
            raise ConfigError(
                f"optimizer {config.optimizer!r} takes {len(legal['betas'].default)} betas, got {config.betas}; "
                "leave them out for its own"
            )
        options["betas"] = config.betas
    try:
        optimizer = create_optimizer_v2(
            list(video.parameters()), opt=config.optimizer, lr=config.lr, weight_decay=config.weight_decay, **options
        )
    except (TypeError, ValueError, ImportError, AssertionError) as error:
        raise ConfigError(f"optimizer {config.optimizer!r} refuses this recipe: {error}") from error
    if getattr(optimizer, "is_second_order", False):
        raise ConfigError(f"optimizer {config.optimizer!r} needs second derivatives, which are not computed; try adam")
    return optimizer


def make_scheduler(optimizer: torch.optim.Optimizer, config: FitConfig, steps: int) -> Any:
    """Linear warm-up from a tenth of the rate, then a half cosine to zero, set before each step k = 0 .. steps - 1.

    With K_w = warmup * steps: 0.1 + 0.9 k / K_w below K_w, then (1 + cos(pi (k - K_w) / (steps - K_w))) / 2. This is
    E-NeRV's schedule (warmup 0.2) and HNeRV's `cosine_0.1_1_0.1` (warmup 0.1).
    """
    from timm.scheduler import CosineLRScheduler

    warmup = config.warmup * steps
    return CosineLRScheduler(
        optimizer,
        t_initial=steps - warmup,  # type: ignore[arg-type]  # fractions of a step are fine
        warmup_t=warmup,  # type: ignore[arg-type]
        warmup_lr_init=WARMUP_FLOOR * config.lr,
        warmup_prefix=True,
        t_in_epochs=False,
    )
