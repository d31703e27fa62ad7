"""Parameter groups by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from enerv_zoo.coding import coding_hints, named_parts

SCALE = "lr_scale"
"""The key of a group's factor on the rate; timm's name for it."""


HIDDEN = "hidden"
"""The key of a group, for optimizers that route, that tells whether it holds hidden weights."""


def hidden_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of matrices and convolutions outside the head, by name.

    Parts say what their tensors are (`coding_hints`): grids, tables, biases and other vectors are none of them.
    """
    hints, head = coding_hints(network), getattr(network, "head", None)
    visible = {id(parameter) for parameter in head.parameters()} if isinstance(head, nn.Module) else set()
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if hints[name].kind == "weight" and id(parameter) not in visible
    }


def parameter_groups(
    network: nn.Module, lr: float, rates: Mapping[str, float], routes: bool = False
) -> list[dict[str, Any]]:
    """Return the parameters of a network in groups, one per factor on the rate.

    Args:
        network: whose parameters they are.
        lr: the rate of parameters that `rates` says nothing of, which are the first group, if there are any.
        rates: factors by the part's name: `"embeddings.time"` is for the parameters `embeddings.time` and
            `embeddings.time. ...`; the longest name that fits a parameter counts. A factor of 0 leaves a part as it is.
        routes: whether hidden weights and others are in groups of their own, which say so (`HIDDEN`).

    Raises:
        ConfigError: no parameter has such a name.
    """
    parts = named_parts([name for name, _ in network.named_parameters()], rates, "rates")
    hidden = hidden_weights(network) if routes else {}
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        part = parts.get(name, "")
        key = (part, name in hidden)
        if key not in groups:
            groups[key] = {"params": [], "lr": lr, **({HIDDEN: name in hidden} if routes else {})}
            if part:
                groups[key] |= {"lr": lr * rates[part], SCALE: rates[part]}
        groups[key]["params"].append(parameter)
    return sorted(groups.values(), key=lambda group: SCALE in group)
