"""Recipe of the tuning that compression does: some epochs more, with rounded and pruned weights."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from enerv_zoo.config import CompressConfig, FitConfig, as_spec, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.losses import check_loss
from enerv_zoo.registry import optimizers
from enerv_zoo.storage.description import FitRecord

logger = logging.getLogger(__name__)


def tuning_recipe(record: FitRecord | None, config: CompressConfig) -> FitConfig:
    """Return the fit's own recipe, but for what tuning changes: all parts move at its rate, along a cosine.

    Args:
        record: of the fit; without one, the loss is L2.
        config: of the compression.
    """
    own = dict(record.recipe.fit) if record is not None and record.recipe is not None else {"loss": "L2"}
    changed: dict[str, Any] = {
        "epochs": config.tune_epochs, "lr": config.lr, "seed": config.seed, "time_budget": None, "eval_every": 0,
        "warmup": 0.1, "warmup_steps": 0, "schedule": "cosine", "rates": {}, "start_std": None, "ema": None,
        "prune": 0.0, "bits": None, "scales": "tensor", "rounded_share": 1.0, "rate_weight": 0.0, "bpp": None,
        "phases": (),
    }  # fmt: skip
    recipe = from_dict(FitConfig, {**own, **changed}, "fit")
    try:
        check_loss(recipe.loss)
    except ConfigError as error:  # a callable of the user's own, or of a plug-in that is not here
        logger.warning("tuning with the loss L2, as the fit's own is not here: %s", error)
        recipe = dataclasses.replace(recipe, loss="L2")
    spec = as_spec(recipe.optimizer)
    try:
        optimizers.check_options(spec.pop("name"), spec)
    except ConfigError as error:
        logger.warning("tuning with the optimizer adam, as the fit's own is not here: %s", error)
        recipe = dataclasses.replace(recipe, optimizer="adam", betas=FitConfig.betas)
    return dataclasses.replace(recipe, batch_size=config.batch_size or recipe.batch_size or 1)
