"""Fusion: how time meets space. Two roles, told apart by the class attribute `role`.

**join**: embeddings -> the first feature map. Built as `Join(shapes, width, grid, *, options)` from the shapes of its
inputs (see `enerv_zoo.embeddings`), the channels C and the (h, w) of its map. `forward(*embedded)` maps tensors
(B or 1, *shape) to (B, C, h, w).

**modulate**: a feature map, changed by embeddings. Built as `Modulation(channels, size, shapes, *, options)` from the
map's channels and its (H, W), and the shapes of the embeddings that its spec names in `with`. `forward(x, *embedded)`
maps (B, C, H, W) and tensors (B, *shape) to (B, C, H, W). The class attribute `convolves = True` says that its
convolutions are computed in bfloat16 where those of blocks are; without it they stay float32. The map may be bfloat16
in either case, and a part without it that has layers of its own casts it first (`x.float()`).
"""

from enerv_zoo.fusion.join import Cells, Conv, Coupled, Identity, Product
from enerv_zoo.fusion.modulate import Add, AddTile, Gate, SpatialFeatureTransform, TemporalAffine

__all__ = [
    "Add",
    "AddTile",
    "Cells",
    "Conv",
    "Coupled",
    "Gate",
    "Identity",
    "Product",
    "SpatialFeatureTransform",
    "TemporalAffine",
]
