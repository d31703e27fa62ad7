"""Weights -> bytes: prune, tune, choose bit widths, quantise, and write one `.nvz` file."""

from enerv_zoo.compression.result import Compressed
from enerv_zoo.compression.run import compress

__all__ = ["Compressed", "compress"]
