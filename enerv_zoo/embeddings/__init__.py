"""Embeddings: frame index -> a vector or a feature map.

Contract. Built as `Embedding(info, grid, *, options)` from the video's `VideoInfo` and the (h, w) of the first feature
map; reports

- `shape`: `(C,)` for a vector, `(C, h, w)` for a feature map;
- `fixed`: whether the output is the same for every frame (it then has batch size 1, and is computed once for any
  number of frames).

`forward(index)` maps (B,) float64 frame indices, fractional ones too, to (B, *shape) float32.
"""

from enerv_zoo.embeddings.frequency import FrequencyEmbedding
from enerv_zoo.embeddings.spatial import SpatialEmbedding

__all__ = ["FrequencyEmbedding", "SpatialEmbedding"]
