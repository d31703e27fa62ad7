"""A head whose frame is the network's correction of a linear picture of grids (`pca_nerv`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from enerv_zoo.coding import CodingHint
from enerv_zoo.errors import ConfigError
from enerv_zoo.heads.principal import Level, start
from enerv_zoo.heads.rgb import Loss
from enerv_zoo.layers import centred_places, enlarged, plain_conv
from enerv_zoo.precision import at_least_float32
from enerv_zoo.registry import heads

Shape = tuple[int, ...]


@heads.register("linear_skip")
class LinearSkipHead(nn.Module):
    """A convolution of the last map, added to linear maps of grids; a pixel shuffle makes the frame.

    Each cell of a grid becomes, by a 1 x 1 convolution, the pixels that it covers. With grids of centred cells these
    maps, and the grids, have a closed-form start: principal components of what is left of the video at each grid's rate
    (see `enerv_zoo.heads.principal`). The convolution begins small, so that a fit begins with that picture. Frames are
    within [0, 1] but while fitting, where nothing holds them there.

    Args:
        factors: pixels per side of a cell of each grid in `with`, coarse to fine, as the last map counts them.
        patch: pixels of the frame per side of a pixel of the last map.
        kernel: of the convolution, odd.
        gain: factor on the convolution's initial weights.

    Shapes: [..., (B, C, H, W)], (B, C_l, H / factor_l, W / factor_l) ... -> [(B, 3, patch H, patch W)]
    """

    def __init__(
        self,
        channels: Sequence[int],
        shapes: Sequence[Shape],
        *,
        factors: Sequence[int],
        patch: int = 2,
        kernel: int = 3,
        gain: float = 0.1,
    ) -> None:
        super().__init__()
        sizes = {(shape[1] * factor, shape[2] * factor) for shape, factor in zip(shapes, factors, strict=False)}
        if len(shapes) != len(factors) or not shapes or len(sizes) != 1 or list(factors) != sorted(factors)[::-1]:
            raise ConfigError(
                f"it takes maps, coarse to fine, that factors {list(factors)} enlarge to one size, got shapes "
                f"{list(shapes)}"
            )
        if any(coarse % fine for coarse, fine in pairwise(factors)):
            raise ConfigError(f"each factor is a multiple of the one after it, got {list(factors)}")
        self.stride, self.factors, width = patch, tuple(factors), 3 * patch**2
        self.linear = nn.ModuleList(
            nn.Conv2d(shape[0], width * factor**2, 1, bias=number == 0)
            for number, (shape, factor) in enumerate(zip(shapes, factors, strict=True))
        )
        self.conv = plain_conv(channels[-1], width, kernel)
        with torch.no_grad():
            self.conv.weight.mul_(gain)
            if self.conv.bias is not None:
                self.conv.bias.zero_()

    def forward(self, features: Sequence[Tensor], *embedded: Tensor) -> list[Tensor]:
        x = self.conv(features[-1])
        for linear, factor, each in zip(self.linear, self.factors, embedded, strict=True):
            x = x + enlarged(linear(each), factor)
        frame = enlarged(at_least_float32(x), self.stride)  # a CPU moves float32 sooner than bfloat16
        return [frame if self.training else frame.clamp(0, 1)]

    def objective(self, outputs: Sequence[Tensor], target: Tensor, loss: Loss) -> Tensor:
        return loss(outputs[-1], target)

    def coding_hints(self) -> dict[str, CodingHint]:
        """Linear maps are few, and every pixel depends on them."""
        return {f"linear.{number}.weight": CodingHint("weight", 0, False) for number in range(len(self.linear))}

    @torch.no_grad()
    def start_from(self, frames: Tensor, embeddings: Sequence[nn.Module]) -> None:
        """Set the linear maps and the grids in closed form.

        Args:
            frames: (N, 3, H, W), uint8.
            embeddings: the grids in `with`; where one is no grid of centred cells, nothing is set.
        """
        grids, maps = list[Any](embeddings), list[Any](self.linear)
        if not all(getattr(part, "centred", False) and len(part.grids) == 1 for part in grids):
            return
        index = torch.arange(len(frames))
        levels = []
        for part, linear, factor in zip(grids, maps, self.factors, strict=True):
            cells, weight = part.grids[0].detach().cpu(), linear.weight.detach().cpu().flatten(1)
            places = centred_places(index, part.frames, len(cells))
            levels.append(Level(cells.contiguous(), factor * self.stride, *places, weight, torch.zeros(len(weight))))
        start(frames.cpu(), levels)
        for part, linear, factor, level in zip(grids, maps, self.factors, levels, strict=True):
            part.grids[0].copy_(level.grid)
            linear.weight.copy_(self._packed(level.weight, factor)[:, :, None, None])
            if linear.bias is not None:
                linear.bias.copy_(self._packed(level.mean, factor))

    def _packed(self, pixels: Tensor, factor: int) -> Tensor:
        """Order the pixels (D, ...) of a cell as channels of patches: from rows of pixels to rows of patches."""
        split = pixels.unflatten(0, (factor, self.stride, factor, self.stride, 3)).transpose(1, 2)
        return split.flatten(0, 4)
