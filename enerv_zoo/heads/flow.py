"""Frames refined by their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo import layers
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.heads.rgb import Loss, Shape, take_no_embeddings
from enerv_zoo.precision import at_least_float32
from enerv_zoo.registry import heads

AUXILIARY = 0.1
"""Weight of the independent and of the aggregated frame in the objective, beside the final one."""


@heads.register("flow_guided")
class FlowGuidedHead(nn.Module):
    """Each frame is decoded alone, and blended with its neighbours, warped to it by flow (Lee et al. 2023, 3.3).

    The last feature map gives the *independent* frame and how much it counts; the third to last gives a flow to each
    neighbour and how much that counts. The neighbours' independent frames, warped backward and blended, are the
    *aggregated* frame; the final frame is the blend of both.

    Args:
        neighbours: which ones, relative to the frame; those outside the video are black.
        kernel, bias: of the convolutions.
        weight_bits: 32, or fewer for numbers that are quantised while fitting (see `enerv_zoo.layers.fake_quantised`).

    Shapes: [..., (B, C, h, w), ..., (B, C', H, W)] -> independent, aggregated and final frame, each (B, 3, H, W).
    """

    def __init__(
        self,
        channels: Sequence[int],
        shapes: Sequence[Shape],
        *,
        neighbours: Sequence[int] = (-2, -1, 1, 2),
        kernel: int = 1,
        bias: bool = True,
        weight_bits: int = 32,
    ) -> None:
        super().__init__()
        take_no_embeddings(shapes)
        if not neighbours or 0 in neighbours or len(set(neighbours)) < len(neighbours):
            raise ConfigError(f"neighbours are different integers other than 0, got {list(neighbours)}")
        self.neighbours = tuple(neighbours)
        self.coarse = max(len(channels) - 3, 0)
        self.flow, self.frame = (
            layers.Conv(width, outputs, kernel, bias=bias, weight_bits=weight_bits)
            for width, outputs in ((channels[self.coarse], 3 * len(neighbours)), (channels[-1], 5))
        )
        self.register_buffer("latest", None)
        self.latest: Tensor | None

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The independent frame, the logits of (independent, aggregated), flows and the neighbours' logits."""
        drawn = self.frame(features[-1])
        return [torch.sigmoid(at_least_float32(drawn[:, :3])), drawn[:, 3:], self.flow(features[self.coarse])]

    def aggregate(self, frames: Sequence[Tensor], around: Tensor) -> list[Tensor]:
        """Refine what `forward` returned by the neighbours' independent frames (B, A, 3, H, W)."""
        independent, shares, coarse = frames
        count = len(self.neighbours)
        size = independent.shape[-2:]
        factor = size[0] / coarse.shape[-2]
        flows = F.interpolate(coarse[:, : 2 * count], size=size, mode="bilinear", align_corners=False) * factor
        weights = torch.softmax(F.interpolate(coarse[:, 2 * count :], size=size, mode="nearest"), dim=1)
        warped = _warped(around.flatten(0, 1), flows.unflatten(1, (count, 2)).flatten(0, 1))
        aggregated = (warped.unflatten(0, (-1, count)) * weights.unsqueeze(2)).sum(1)
        share = torch.softmax(shares, dim=1)
        return [independent, aggregated, share[:, :1] * independent + share[:, 1:] * aggregated]

    def objective(self, outputs: Sequence[Tensor], target: Tensor, loss: Loss) -> Tensor:
        independent, aggregated, final = (loss(output, target) for output in outputs)
        return final + AUXILIARY * (aggregated + independent)

    # ------------------------------------------------------------------ while fitting

    def start_fitting(self, info: VideoInfo, size: tuple[int, int]) -> None:
        """Remember every frame's latest independent frame, black at first; see the contract of heads."""
        self.latest = torch.zeros(info.frames, 3, *size, device=self.frame.weight.device)

    def end_fitting(self) -> None:
        """Forget them: from here on neighbours are decoded."""
        self.latest = None

    def recall(self, index: Tensor) -> Tensor:
        """Return the neighbours (B, A, 3, H, W) of frames (B,), as they were decoded last."""
        assert self.latest is not None
        places = torch.stack([index.long() + neighbour for neighbour in self.neighbours], dim=1)
        inside = (places >= 0) & (places < len(self.latest))
        return self.latest[places.clamp(0, len(self.latest) - 1)] * inside[..., None, None, None]

    def remember(self, index: Tensor, outputs: Sequence[Tensor]) -> None:
        """Keep the independent frames of a step."""
        assert self.latest is not None
        self.latest[index.long()] = outputs[0].detach()


def _warped(frames: Tensor, flow: Tensor) -> Tensor:
    """Frames (B, 3, H, W) sampled where each pixel's flow (B, 2, H, W), x then y, points to; edges are repeated."""
    height, width = frames.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    halves = max(width - 1, 1) / 2, max(height - 1, 1) / 2
    at = [(flow[:, i] + place) / halves[i] - 1 for i, place in enumerate((x, y))]
    return F.grid_sample(frames, torch.stack(at, dim=-1), mode="bilinear", padding_mode="border", align_corners=False)
