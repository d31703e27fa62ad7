"""Embeddings -> the first feature map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from enerv_zoo import layers
from enerv_zoo.config import size_text
from enerv_zoo.errors import ConfigError
from enerv_zoo.layers import TransformerBlock, mlp
from enerv_zoo.registry import fusion

Shape = tuple[int, ...]


@fusion.register("coupled")
class Coupled(nn.Module):
    """NeRV's stem: one MLP makes the whole feature map of a vector (Chen et al. 2021, 3.1).

    Args:
        hidden: widths of the hidden layers.
        activation: of every layer, the last one included.

    Shapes: (B, D) -> (B, C, h, w).
    """

    role = "join"

    def __init__(
        self,
        shapes: Sequence[Shape],
        width: int,
        grid: tuple[int, int],
        *,
        hidden: Sequence[int] = (512,),
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        if len(shapes) != 1 or len(shapes[0]) != 1:
            raise ConfigError(f"it joins one vector, got inputs of shapes {list(shapes)}")
        self.shape = (width, *grid)
        self.mlp = mlp([shapes[0][0], *hidden, width * grid[0] * grid[1]], activation)

    def forward(self, vector: Tensor) -> Tensor:
        return self.mlp(vector).unflatten(-1, self.shape)


@fusion.register("product")
class Product(nn.Module):
    """E-NeRV's fusion: space times time, elementwise, then a transformer block (Li et al. 2022, 3.2).

    Args:
        heads, head_dim, mlp_dim: of the transformer block.
        activation: of the projection to C channels, which is left out where the width is C already.

    Shapes: time (B, D) and space (B or 1, D, h, w) -> (B, C, h, w).
    """

    role = "join"

    def __init__(
        self,
        shapes: Sequence[Shape],
        width: int,
        grid: tuple[int, int],
        *,
        heads: int = 8,
        head_dim: int = 64,
        mlp_dim: int = 128,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        ranks = [len(shape) for shape in shapes]
        if ranks != [1, 3] or shapes[0][0] != shapes[1][0] or tuple(shapes[1][1:]) != tuple(grid):
            raise ConfigError(f"it joins a vector (D,) and a map (D, {grid[0]}, {grid[1]}), got shapes {list(shapes)}")
        inner = shapes[0][0]
        self.grid = grid
        self.transformer = TransformerBlock(inner, heads, head_dim, mlp_dim)
        self.project = nn.Identity() if inner == width else mlp([inner, width], activation)

    def forward(self, time: Tensor, space: Tensor) -> Tensor:
        tokens = space.flatten(2).transpose(1, 2) * time.unsqueeze(1)
        return self.project(self.transformer(tokens)).transpose(1, 2).unflatten(-1, self.grid)


@fusion.register("cells")
class Cells(nn.Module):
    """HNeRV's first block: a 1 x 1 convolution whose channels unfold into cells (Chen et al. 2023, 3.1).

    The map that it joins may be coarser than the first feature map by a whole factor (a, b): each of its pixels then
    becomes a x b pixels, from channels of their own.

    Args:
        activation: after the convolution.

    Shapes: (B, D, h / a, w / b) -> (B, C, h, w).
    """

    role = "join"

    def __init__(self, shapes: Sequence[Shape], width: int, grid: tuple[int, int], *, activation: str = "gelu") -> None:
        super().__init__()
        if len(shapes) != 1 or len(shapes[0]) != 3 or grid[0] % shapes[0][1] or grid[1] % shapes[0][2]:
            raise ConfigError(
                f"it joins one map whose sides divide those of the grid {size_text(*grid)}, got {list(shapes)}"
            )
        self.cells = (grid[0] // shapes[0][1], grid[1] // shapes[0][2])
        self.conv = nn.Conv2d(shapes[0][0], width * self.cells[0] * self.cells[1], 1)
        self.activation = layers.activation(activation)

    def forward(self, content: Tensor) -> Tensor:
        x = self.activation(self.conv(content))
        return x.unflatten(1, (-1, *self.cells)).permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


@fusion.register("conv")
class Conv(nn.Module):
    """A convolution of one map, then norm and activation (`pca_nerv`; Kwan et al. 2023, 3.2).

    Args:
        kernel: of the convolution, odd.
        bias: whether the convolution has one; `"zero"` for one that starts at 0.
        norm, activation: after the convolution.

    Shapes: (B, D, h, w) -> (B, C, h, w).
    """

    role = "join"

    def __init__(
        self,
        shapes: Sequence[Shape],
        width: int,
        grid: tuple[int, int],
        *,
        kernel: int = 3,
        bias: layers.Bias = True,
        norm: str = "none",
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        if len(shapes) != 1 or tuple(shapes[0][1:]) != tuple(grid):
            raise ConfigError(f"it joins one map of {size_text(*grid)}, got inputs of shapes {list(shapes)}")
        self.conv = layers.plain_conv(shapes[0][0], width, kernel, bias)
        self.norm = layers.norm(norm, width)
        self.activation = layers.activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


@fusion.register("identity")
class Identity(nn.Module):
    """An embedding that is the first feature map already, such as FFNeRV's grids (Lee et al. 2023, 3.2).

    Shapes: (B, C, h, w) -> (B, C, h, w).
    """

    role = "join"

    def __init__(self, shapes: Sequence[Shape], width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        expected = (width, *grid)
        if len(shapes) != 1 or tuple(shapes[0]) != expected:
            raise ConfigError(f"it takes one map of {expected}, got inputs of shapes {list(shapes)}")

    def forward(self, x: Tensor) -> Tensor:
        return x
