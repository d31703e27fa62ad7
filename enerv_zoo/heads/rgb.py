"""A convolution to three channels, after the last stage or after every one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from enerv_zoo import layers
from enerv_zoo.errors import ConfigError
from enerv_zoo.registry import heads

Loss = Callable[[Tensor, Tensor], Tensor]
Shape = tuple[int, ...]


def take_no_embeddings(shapes: Sequence[Shape]) -> None:
    """Refuse embeddings for a head that takes none.

    Raises:
        ConfigError: there are some.
    """
    if shapes:
        raise ConfigError(f"it takes no embeddings, got {len(shapes)}; leave out its 'with'")


@heads.register("rgb")
class RGBHead(nn.Module):
    """The last feature map to a frame (Chen et al. 2021, 3.1).

    Args:
        output: `"sigmoid"`, `"tanh"` for (tanh + 1) / 2, or a number that is added.
        kernel: of the convolution.
        bias: whether the convolution has one; `"zero"` for one that starts at 0.

    Shapes: [..., (B, C, H, W)] -> [(B, 3, H, W)].
    """

    def __init__(
        self,
        channels: Sequence[int],
        shapes: Sequence[Shape],
        *,
        output: str | float = "sigmoid",
        kernel: int = 1,
        bias: layers.Bias = True,
    ) -> None:
        super().__init__()
        take_no_embeddings(shapes)
        self.output = layers.output(output)
        self._add_convolutions(channels, partial(layers.plain_conv, out_channels=3, kernel=kernel, bias=bias))

    def _add_convolutions(self, channels: Sequence[int], to_rgb: Callable[[int], nn.Conv2d]) -> None:
        self.conv = to_rgb(channels[-1])

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [self.output(self.conv(features[-1]))]

    def objective(self, outputs: Sequence[Tensor], target: Tensor, loss: Loss) -> Tensor:
        return loss(outputs[-1], target)


@heads.register("multiscale")
class MultiscaleHead(RGBHead):
    """A frame from every stage; each is compared with the frame average-pooled to its size (Chen et al. 2021).

    Args:
        output, kernel, bias: as in the `rgb` head.

    Shapes: [(B, C_i, h_i, w_i)] -> [(B, 3, h_i, w_i)].
    """

    def _add_convolutions(self, channels: Sequence[int], to_rgb: Callable[[int], nn.Conv2d]) -> None:
        self.convs = nn.ModuleList(to_rgb(width) for width in channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [self.output(conv(x)) for conv, x in zip(self.convs, features, strict=True)]

    def objective(self, outputs: Sequence[Tensor], target: Tensor, loss: Loss) -> Tensor:
        sizes = [(output.shape[-2], output.shape[-1]) for output in outputs]
        losses = [loss(o, F.adaptive_avg_pool2d(target, size)) for o, size in zip(outputs, sizes, strict=True)]
        return sum(losses[1:], losses[0])
