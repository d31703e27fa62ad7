"""Global magnitude pruning (Chen et al. 2021, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError
from enerv_zoo.network import Network
from enerv_zoo.nvz.quantisation import codable

SCORE_EPS = 1e-6
"""Added to the divisor of scores, as the authors of HiNeRV do."""


def masks(video: Network, fraction: float, size_weight: float = 0.0) -> dict[str, Tensor]:
    """Return masks of the parameters that stay: all but the `fraction` of smallest magnitude of all prunable ones.

    Args:
        video: the network.
        fraction: that is zero afterwards, with those that are zero already.
        size_weight: above 0, large tensors are pruned more: compared are magnitudes over n^size_weight, in a tensor of
            which n weights are not zero. The fraction is then one of all parameters, and grids stay as they are
            (HiNeRV's rule with 0.5, Kwan et al. 2023).

    Returns:
        Masks (True stays) by names of tensors; none for others and with a fraction of 0.

    Raises:
        ConfigError: the fraction is no number from 0 to below 1.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"the part of the weights to prune is a number from 0 to below 1, got {fraction}")
    hints = video.coding_hints()
    matrices = {name: tensor for name, tensor in codable(video).items() if hints[name].prunable}
    if size_weight:
        matrices = {name: tensor for name, tensor in matrices.items() if hints[name].kind == "weight"}
    if not fraction or not matrices:
        return {}
    if size_weight:
        total = sum(tensor.numel() for tensor in codable(video).values())
        return _by_size(matrices, int(fraction * total), size_weight)
    magnitudes = torch.cat([tensor.abs().flatten() for tensor in matrices.values()])
    count = round(fraction * len(magnitudes))
    order = torch.argsort(magnitudes, stable=True)  # of equal ones the first go, so that the count is exact
    stays = torch.ones(len(magnitudes), dtype=torch.bool, device=magnitudes.device)
    stays[order[:count]] = False
    parts = stays.split([tensor.numel() for tensor in matrices.values()])
    return {name: part.view(tensor.shape) for (name, tensor), part in zip(matrices.items(), parts, strict=True)}


def _by_size(matrices: Mapping[str, Tensor], gone: int, size_weight: float) -> dict[str, Tensor]:
    """Return masks by which `gone` weights are zero, or a few more where several of them are as large."""
    stays = {name: tensor != 0 for name, tensor in matrices.items()}
    scores = {
        name: tensor.abs() / (int(stays[name].sum()) ** size_weight + SCORE_EPS) for name, tensor in matrices.items()
    }
    left = torch.cat([scores[name][mask] for name, mask in stays.items()])
    further = min(gone - sum(int((~mask).sum()) for mask in stays.values()), len(left))
    if further <= 0:
        return stays
    threshold = left.kthvalue(further).values
    return {name: mask & (scores[name] > threshold) for name, mask in stays.items()}


@torch.no_grad()
def prune(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Set parameters that do not stay to zero, in place.

    Args:
        tensors: by name, such as `Network.stored_parameters`.
        masks: (True stays) by names of tensors.
    """
    for name, mask in masks.items():
        tensors[name].mul_(mask)
