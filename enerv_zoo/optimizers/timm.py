"""timm's optimizers under timm's names, with the options that each one has."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, list_optimizers

from enerv_zoo.optimizers.classes import OF_TORCH, OptimizerClass
from enerv_zoo.registry import optimizers


def _unavailable(error: Exception, groups: list[dict[str, Any]], **options: Any) -> torch.optim.Optimizer:
    raise ImportError(f"it is not to be had here: {error}")


def _of_timm(name: str) -> OptimizerClass:
    info = get_optimizer_info(name)
    try:
        own = dict(inspect.signature(get_optimizer_class(name, bind_defaults=False)).parameters)
    except (ImportError, AssertionError) as error:
        return OptimizerClass(name, __name__, info.description, {}, partial(_unavailable, error))
    own |= {key: own[key].replace(default=value) for key, value in (info.defaults or {}).items() if key in own}
    return OptimizerClass(name, __name__, info.description, own, partial(create_optimizer_v2, opt=name))


for _name in map(str, list_optimizers()):
    if _name not in OF_TORCH:
        optimizers.register(_name)(_of_timm(_name))
