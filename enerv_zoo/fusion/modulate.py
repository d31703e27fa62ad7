"""Feature maps, changed by a condition."""

from __future__ import annotations

from torch import Tensor, nn

from enerv_zoo import layers
from enerv_zoo.registry import fusion


@fusion.register("temporal_affine")
class TemporalAffine(nn.Module):
    """Instance norm, then gamma x + beta a channel, both drawn from the condition (Li et al. 2022, 3.3).

    Args:
        activation: after the linear layer that draws (gamma, beta).

    Shapes: (B, C, H, W), (B, D) -> (B, C, H, W).
    """

    role = "modulate"

    def __init__(self, channels: int, condition_width: int, *, activation: str = "gelu") -> None:
        super().__init__()
        self.mlp = layers.mlp([condition_width, 2 * channels], activation)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return layers.instance_norm(x, *self.mlp(condition).chunk(2, dim=1))
