"""Space as sines and cosines, contextualised by attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from enerv_zoo.config import VideoInfo
from enerv_zoo.layers import FrequencyEncoding, TransformerBlock, mlp
from enerv_zoo.registry import embeddings


@embeddings.register("spatial")
class SpatialEmbedding(nn.Module):
    """E-NeRV's embedding of space: encoded coordinates, an MLP, a transformer block (Li et al. 2022, 3.2).

    Rows y = r / h and columns x = c / w are encoded apart and concatenated. Nothing here depends on time. The
    coordinates (2 h w numbers that the authors keep as a parameter) follow from the grid and are not stored.

    Args:
        base, levels, order: of the encoding of each coordinate; see `enerv_zoo.layers.FrequencyEncoding`.
        widths: of the MLP's layers.
        activation: of the MLP.
        heads, head_dim, mlp_dim: of the transformer block.

    Shapes: any index -> (1, widths[-1], h, w).
    """

    fixed = True

    def __init__(
        self,
        info: VideoInfo,
        grid: tuple[int, int],
        *,
        base: float = 1.25,
        levels: int = 80,
        order: str = "interleaved",
        widths: Sequence[int] = (256,),
        activation: str = "gelu",
        heads: int = 1,
        head_dim: int = 64,
        mlp_dim: int = 128,
    ) -> None:
        super().__init__()
        self.encoding = FrequencyEncoding(base, levels, order)
        self.mlp = mlp([2 * self.encoding.width, *widths], activation)
        width = widths[-1] if widths else 2 * self.encoding.width
        self.transformer = TransformerBlock(width, heads, head_dim, mlp_dim)
        self.shape = (width, *grid)
        h, w = grid
        self.fixed_numbers = 2 * h * w
        y, x = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
        self.register_buffer("coordinates", torch.stack((y.flatten(), x.flatten())), persistent=False)
        self.coordinates: Tensor

    def forward(self, index: Tensor) -> Tensor:
        encoded = self.encoding(self.coordinates)  # (2, h w, 2 levels)
        tokens = self.mlp(torch.cat((encoded[0], encoded[1]), dim=-1)).unsqueeze(0)
        return self.transformer(tokens).transpose(1, 2).unflatten(-1, self.shape[1:])
