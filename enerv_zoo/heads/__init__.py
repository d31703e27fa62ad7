"""Heads: feature maps -> RGB.

Contract. Built as `Head(channels, shapes, *, options)` from the channels of every stage's feature map and the shapes of
the embeddings that its spec names in `with`. `forward(features, *embedded)` takes those maps, coarse to fine, and
tensors (B, *shape), and returns a list of (B, 3, h, w) tensors in [0, 1], of which the last is the frame. A head whose
frame is larger than the last map by a factor says so in the attribute `stride`.
`objective(outputs, target, loss)` compares that list with frames (B, 3, H, W) of the size that the network decodes, and
returns a scalar tensor to minimise; `loss(prediction, target)` is a scalar, too.

A head may refine a frame by its neighbours. It then has

- `neighbours`: which ones, relative to the frame, such as `(-1, 1)`;
- `forward(features, *embedded)`, whose list begins with what neighbours are to each other: frames (B, 3, H, W);
- `aggregate(outputs, around)`: that list and the neighbours' first entries (B, A, 3, H, W), which are black outside the
  video, to the outputs as above. When a video is watched, neighbours are decoded with the frame, in one batch;
- `start_fitting(info, size)`, `recall(index)`, `remember(index, outputs)` and `end_fitting()`: while fitting,
  neighbours are those of earlier steps, which the head keeps for all N frames of (H, W) `size`, in `latest`.
"""

from enerv_zoo.heads.flow import FlowGuidedHead
from enerv_zoo.heads.linear_skip import LinearSkipHead
from enerv_zoo.heads.rgb import MultiscaleHead, RGBHead

__all__ = ["FlowGuidedHead", "LinearSkipHead", "MultiscaleHead", "RGBHead"]
