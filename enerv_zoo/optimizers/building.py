"""The optimizer that a recipe describes."""

from __future__ import annotations

import torch
from torch import nn

from enerv_zoo.config import FitConfig, Spec, as_spec
from enerv_zoo.errors import ConfigError
from enerv_zoo.optimizers.groups import parameter_groups
from enerv_zoo.registry import optimizers, schedules


def check_recipe(config: FitConfig) -> None:
    """Refuse a schedule that cannot be, before anything is read or written.

    Optimizers are checked where they are built, as timm takes seconds to import.

    Raises:
        ConfigError: an unknown name or option.
    """
    spec = as_spec(config.schedule)
    schedules.check_options(spec.pop("name"), spec)


def make_optimizer(video: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe over all parameters of a network, in groups as `rates` says.

    Raises:
        ConfigError: there is no such optimizer, it refuses the recipe, or `rates` names no part of the network.
    """
    spec = {**_fields(config), **as_spec(config.optimizer)}
    routes = getattr(optimizers.get(spec["name"]), "routes", False)
    groups = parameter_groups(video, config.lr, config.rates, routes)
    optimizer = optimizers.build(spec, groups, config.lr)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ConfigError(
            f"optimizer {spec['name']!r}: called with parameter groups and a rate, it gave {type(optimizer).__name__}, "
            "expected a torch.optim.Optimizer"
        )
    if getattr(optimizer, "is_second_order", False):
        raise ConfigError(f"optimizer {spec['name']!r} needs second derivatives, which are not computed; try adam")
    return optimizer


def _fields(config: FitConfig) -> Spec:
    """Return the fields of a recipe that its optimizer has as options; a weight decay that it lacks is refused."""
    legal = optimizers.options(as_spec(config.optimizer)["name"])
    fields: Spec = {"eps": config.eps} if "eps" in legal else {}
    if "betas" in legal and config.betas is not None:
        fields["betas"] = config.betas
    if "weight_decay" in legal or config.weight_decay:
        fields["weight_decay"] = config.weight_decay
    return fields
