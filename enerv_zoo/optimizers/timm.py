"""timm's optimizers under timm's names, with the options that each one has."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, list_optimizers

from enerv_zoo.errors import ConfigError
from enerv_zoo.registry import optimizers


class TimmOptimizer:
    """Builder of one of timm's optimizers."""

    def __init__(self, name: str) -> None:
        info = get_optimizer_info(name)
        self.name, self.__doc__, self.__module__, self.__qualname__ = name, info.description, __name__, name
        self.missing = ""
        own: dict[str, inspect.Parameter] = {}
        try:
            own = dict(inspect.signature(get_optimizer_class(name, bind_defaults=False)).parameters)
        except (ImportError, AssertionError) as error:
            self.missing = str(error)
        positional = [inspect.Parameter(key, inspect.Parameter.POSITIONAL_ONLY) for key in ("groups", "lr")]
        defaults = info.defaults or {}
        self.__signature__ = inspect.Signature(
            [
                *positional,
                *(
                    parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=defaults.get(key, parameter.default))
                    for key, parameter in own.items()
                    if key not in ("params", "lr") and parameter.kind is not inspect.Parameter.VAR_KEYWORD
                ),
            ]
        )

    def __call__(self, groups: list[dict[str, Any]], lr: float, **options: Any) -> torch.optim.Optimizer:
        """Build it over parameter groups.

        Raises:
            ConfigError: it is not to be had on this machine, or refuses an option.
        """
        if self.missing:
            raise ConfigError(f"it is not to be had here: {self.missing}")
        legal = self.__signature__.parameters
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        if "fused" in legal:
            options.setdefault("fused", True)  # one kernel for all tensors, not ten for each
        betas = options.get("betas")
        if betas is not None and len(betas) != len(legal["betas"].default):
            raise ConfigError(f"it takes {len(legal['betas'].default)} betas, got {betas}; leave them out for its own")
        try:
            return create_optimizer_v2(groups, opt=self.name, lr=lr, **options)
        except (ImportError, AssertionError) as error:
            raise ConfigError(str(error)) from error


for _name in list_optimizers():
    optimizers.register(str(_name))(TimmOptimizer(str(_name)))
