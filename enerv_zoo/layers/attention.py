"""Attention over the cells of a map."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TransformerBlock(nn.Module):
    """x = attention(x) + x; x = ffn(x) + x, without normalisation (Li et al. 2022, 3.2).

    Args:
        width: D, numbers a token.
        heads, head_dim: attention heads and the width of each.
        mlp_dim: hidden width of the feed-forward part.

    Shapes: (B, tokens, D) -> (B, tokens, D).
    """

    def __init__(self, width: int, heads: int, head_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.out = nn.Identity() if heads == 1 and head_dim == width else nn.Linear(inner, width)
        self.ffn = nn.Sequential(nn.Linear(width, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # written out: on a CPU the fused kernel rounds otherwise, which the stages after it amplify past 2e-6
        attention = torch.softmax((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5, dim=-1)
        x = self.out((attention @ v).transpose(1, 2).flatten(-2)) + x
        return self.ffn(x) + x
