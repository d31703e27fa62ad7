"""Optimizers that are classes, such as timm's and PyTorch's, as parts; the usual ones without timm."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from enerv_zoo.errors import ConfigError
from enerv_zoo.registry import optimizers


class OptimizerClass:
    """Builder of an optimizer.

    Args:
        name: of the optimizer.
        module: that registers it.
        text: what it is.
        parameters: of the class, by name; those after the first two are options.
        build: returns the optimizer of (groups, lr, options).
    """

    def __init__(
        self,
        name: str,
        module: str,
        text: str,
        parameters: Mapping[str, inspect.Parameter],
        build: Callable[..., torch.optim.Optimizer],
    ) -> None:
        self.__doc__, self.__module__, self.__qualname__ = text, module, name
        self._build = build
        positional = [inspect.Parameter(key, inspect.Parameter.POSITIONAL_ONLY) for key in ("groups", "lr")]
        options = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for key, parameter in parameters.items()
            if key not in ("params", "lr") and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        self.__signature__ = inspect.Signature([*positional, *options])
        self.__annotations__ = {  # which the registry checks
            option.name: option.annotation for option in options if option.name != "betas"
        }

    def __call__(self, groups: list[dict[str, Any]], lr: float, **options: Any) -> torch.optim.Optimizer:
        """Build it over parameter groups.

        Raises:
            ConfigError: it is not to be had on this machine, or refuses an option.
        """
        legal = self.__signature__.parameters
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        if "fused" in legal:
            options.setdefault("fused", True)  # one kernel for all tensors, not ten for each
        betas = options.get("betas")
        if betas is not None and len(betas) != len(legal["betas"].default):
            raise ConfigError(f"it takes {len(legal['betas'].default)} betas, got {betas}; leave them out for its own")
        try:
            return self._build(groups, lr=lr, **options)
        except (ImportError, AssertionError) as error:
            raise ConfigError(str(error)) from error


OF_TORCH = {
    "adam": (torch.optim.Adam, "torch.optim.Adam, Adaptive Moment Estimation"),
    "nadam": (torch.optim.NAdam, "torch.optim.NAdam, Adam with Nesterov momentum"),
}
"""The usual optimizers, by name: those that need no timm."""

for _name, (_class, _text) in OF_TORCH.items():
    optimizers.register(_name)(
        OptimizerClass(_name, __name__, _text, inspect.signature(_class).parameters, _class),
    )
