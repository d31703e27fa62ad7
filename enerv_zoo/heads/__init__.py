"""Heads: feature maps -> RGB.

Contract. Built as `Head(channels, *, options)` from the channels of every stage's feature map. `forward(features)`
takes those maps, coarse to fine, and returns a list of (B, 3, h, w) tensors in [0, 1], of which the last is the frame.
`objective(outputs, target, loss)` compares that list with frames (B, 3, H, W) of the size that the network draws, and
returns a scalar tensor to minimise; `loss(prediction, target)` is a scalar, too.
"""

from enerv_zoo.heads.rgb import MultiscaleHead, RGBHead

__all__ = ["MultiscaleHead", "RGBHead"]
