"""Muon for the hidden weights, Adam for all others."""

from __future__ import annotations

from typing import Any

import torch

from enerv_zoo.optimizers.groups import HIDDEN
from enerv_zoo.registry import optimizers


@optimizers.register("muon_hidden")
def muon_hidden(
    groups: list[dict[str, Any]],
    lr: float,
    *,
    momentum: float = 0.95,
    nesterov: bool = False,
    ns_steps: int = 5,
    betas: tuple[float, float] = (0.9, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Muon (Jordan et al. 2024), timm's, for weights of hidden layers; decoupled Adam for all others.

    The momentum of a weight, as a matrix (out, in x taps), is replaced by an orthogonal one near it, of 0.2 times the
    root of its longer side (Liu et al. 2025, section 2.2), so that the rate is one for Adam. timm's `muon` takes every
    matrix for a hidden weight: grids, encodings and heads, too.

    Args:
        groups: with the key `hidden`; where it is missing, timm's rule for shapes decides.
        lr: of all parameters.
        momentum, nesterov: of the orthogonalised update.
        ns_steps: Newton-Schulz iterations.
        betas, eps: of Adam.
        weight_decay: decoupled.
    """
    routed = [{**group, "use_fallback": not group[HIDDEN]} if HIDDEN in group else group for group in groups]
    options = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
    return optimizers.get("muon")(routed, lr, **options, betas=betas, eps=eps, weight_decay=weight_decay)


muon_hidden.routes = True  # type: ignore[attr-defined]
