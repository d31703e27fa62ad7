"""Optimizers and schedules: timm's by name, registered ones, and parameter groups by part.

Contract. An optimizer is a class of `torch.optim.Optimizer`, or a function that returns such an object, built as
`optimizer(groups, lr, *, options)`. `groups` are PyTorch's parameter groups, each with its `params` and its `lr`; an
optimizer keeps their order and their other keys. Where it has the options `betas`, `eps` and `weight_decay`, they are
the fields of `FitConfig` of these names, unless the recipe's spec says otherwise. Its `state_dict` holds all that the
next step depends on. One with the attribute `routes = True` gets weights of hidden layers and all other parameters in
groups of their own, whose key `hidden` says which they are (`enerv_zoo.optimizers.groups.hidden_weights`). A schedule's
contract is at the top of `enerv_zoo.optimizers.schedules`.

A fit's `optimizer`, `schedule` and `rates` are, for example,

    "adan"                                                 a registered one
    {"name": "adan", "no_prox": true}                      one with options
    {"name": "cosine", "warmup": 0.1, "floor": 0.01}       a schedule with options
    {"embeddings": 0.1, "embeddings.time": 0.5, "head": 2} factors on the rate of parts
"""

from enerv_zoo.optimizers import classes, nesterov
from enerv_zoo.optimizers.building import check_recipe, make_optimizer
from enerv_zoo.optimizers.groups import parameter_groups
from enerv_zoo.optimizers.schedules import Scheduler

__all__ = ["Scheduler", "check_recipe", "classes", "make_optimizer", "nesterov", "parameter_groups"]
