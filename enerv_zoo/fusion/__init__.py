"""Fusion: how time meets space. Two roles, told apart by the class attribute `role`.

**join**: embeddings -> the first feature map. Built as `Join(shapes, width, grid, *, options)` from the shapes of its
inputs (see `enerv_zoo.embeddings`), the channels C and the (h, w) to draw. `forward(*embedded)` maps tensors
(B or 1, *shape) to (B, C, h, w).

**modulate**: a feature map, changed by a condition vector. Built as `Modulation(channels, condition_width, *,
options)`. `forward(x, condition)` maps (B, C, H, W) and (B, condition_width) to (B, C, H, W). The class attribute
`convolves = True` says that it may compute in bfloat16 where blocks do; normalisations stay float32.
"""

from enerv_zoo.fusion.join import Cells, Coupled, Identity, Product
from enerv_zoo.fusion.modulate import SpatialFeatureTransform, TemporalAffine

__all__ = ["Cells", "Coupled", "Identity", "Product", "SpatialFeatureTransform", "TemporalAffine"]
