"""Blocks: feature map -> larger feature map.

Contract. Built as `Block(in_channels, out_channels, stride, *, options)`. `forward(x)` maps (B, in_channels, H, W) to
(B, out_channels, stride H, stride W).
"""

from enerv_zoo.blocks.convnext import ConvNeXtBlock
from enerv_zoo.blocks.enerv import ENeRVBlock
from enerv_zoo.blocks.interpolate import Interpolate
from enerv_zoo.blocks.nerv import NeRVBlock
from enerv_zoo.blocks.skip import SkipBlock

__all__ = ["ConvNeXtBlock", "ENeRVBlock", "Interpolate", "NeRVBlock", "SkipBlock"]
