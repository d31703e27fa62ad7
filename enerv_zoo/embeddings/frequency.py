"""Time as sines and cosines."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.layers import FrequencyEncoding, mlp
from enerv_zoo.precision import wide
from enerv_zoo.registry import embeddings


@embeddings.register("frequency")
class FrequencyEmbedding(nn.Module):
    """The frequency encoding of a frame's time, through an MLP if widths are given (Chen et al. 2021, 3.1).

    Args:
        base, levels, order: of the encoding; see `enerv_zoo.layers.FrequencyEncoding`.
        time: `"inclusive"`, t = i / (N - 1) as in E-NeRV, or `"exclusive"`, t = i / N as in NeRV. A single frame has
            t = 0 in both.
        widths: of the MLP's layers; none gives the encoding itself.
        activation: of the MLP.

    Shapes: (B,) -> (B, widths[-1]), or (B, 2 levels) without an MLP.
    """

    fixed = False

    def __init__(
        self,
        info: VideoInfo,
        grid: tuple[int, int],
        *,
        base: float = 1.25,
        levels: int = 80,
        order: str = "interleaved",
        time: str = "inclusive",
        widths: Sequence[int] = (),
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        if time not in ("inclusive", "exclusive"):
            raise ConfigError(f"time is 'inclusive' (i / (N - 1)) or 'exclusive' (i / N), got {time!r}")
        self.period = max(info.frames - 1, 1) if time == "inclusive" else info.frames
        self.encoding = FrequencyEncoding(base, levels, order)
        self.mlp = mlp([self.encoding.width, *widths], activation)
        self.shape = (widths[-1] if widths else self.encoding.width,)

    def forward(self, index: Tensor) -> Tensor:
        t = (wide(index) / self.period).float()  # one rounding, from float64
        return self.mlp(self.encoding(t))
