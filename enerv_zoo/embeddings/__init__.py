"""Embeddings: frame index -> a vector or a feature map.

Contract. Built as `Embedding(info, grid, *, options)` from the video's `VideoInfo` and the (h, w) of the first feature
map; reports

- `shape`: `(C,)` for a vector, `(C, h, w)` for a feature map;
- `fixed`: whether the output is the same for every frame (it then has batch size 1, and is computed once for any
  number of frames).

`forward(index)` maps (B,) float64 frame indices, fractional ones too, to (B, *shape) float32.

It may have `blend_unseen(fitted)`, called at the end of a fit of which frames were held out: what it holds for those
alone then becomes a blend of what it holds for the fitted ones, at indices (F,).

It may say how its tensors are coded (`coding_hints`, see `enerv_zoo.coding`), as any part may.

An embedding may be of the frames' content. While fitting it is then computed from the frames themselves, by an
encoder that is not stored; a fit ends by baking them into what is. Such a part also has

- `start_encoding()`, which makes the encoder (random, from PyTorch's generator) and drops what is stored;
- `encoder`: an `nn.Module`, or `None` while there is none;
- `encode(frames)`: (B, 3, H, W) in [0, 1] to (B, *shape);
- `neighbours`, if it looks at frames around the frame, too, such as `(-1, 1)`: it then has `encode(frames, around)`
  with `around` (B, A, 3, H, W), those of the nearest frame beyond the ends, or `None` for the frames themselves;
- `whitened()`, if the recipe's `start_std` is to work on it: a context after which the maps of the frames that were
  encoded in it are uncorrelated, of mean 0 and variance 1;
- `bake(table)`: keep (N, *shape), drop the encoder, and go by the index from here on.
"""

from enerv_zoo.embeddings.content import ContentEmbedding, DifferenceEmbedding
from enerv_zoo.embeddings.frequency import FrequencyEmbedding
from enerv_zoo.embeddings.grids import TemporalGridEmbedding
from enerv_zoo.embeddings.latent import LatentEmbedding
from enerv_zoo.embeddings.spatial import SpatialEmbedding

__all__ = [
    "ContentEmbedding",
    "DifferenceEmbedding",
    "FrequencyEmbedding",
    "LatentEmbedding",
    "SpatialEmbedding",
    "TemporalGridEmbedding",
]
