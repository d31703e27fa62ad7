"""Global magnitude pruning (Chen et al. 2021, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError
from enerv_zoo.network import Network
from enerv_zoo.nvz.quantisation import codable


def masks(video: Network, fraction: float) -> dict[str, Tensor]:
    """Return masks of the parameters that stay: all but the `fraction` of smallest magnitude of all prunable ones.

    Returns:
        Masks (True stays) by names of tensors; none for others and with a fraction of 0.

    Raises:
        ConfigError: the fraction is no number from 0 to below 1.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"the part of the weights to prune is a number from 0 to below 1, got {fraction}")
    hints = video.coding_hints()
    matrices = {name: tensor for name, tensor in codable(video).items() if hints[name].prunable}
    if not fraction or not matrices:
        return {}
    magnitudes = torch.cat([tensor.abs().flatten() for tensor in matrices.values()])
    count = round(fraction * len(magnitudes))
    order = torch.argsort(magnitudes, stable=True)  # of equal ones the first go, so that the count is exact
    stays = torch.ones(len(magnitudes), dtype=torch.bool, device=magnitudes.device)
    stays[order[:count]] = False
    parts = stays.split([tensor.numel() for tensor in matrices.values()])
    return {name: part.view(tensor.shape) for (name, tensor), part in zip(matrices.items(), parts, strict=True)}


@torch.no_grad()
def prune(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Set parameters that do not stay to zero, in place.

    Args:
        tensors: by name, such as `Network.stored_parameters`.
        masks: (True stays) by names of tensors.
    """
    for name, mask in masks.items():
        tensors[name].mul_(mask)
