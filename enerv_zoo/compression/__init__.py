"""Weights -> bytes: prune, tune, choose bit widths, quantise, and write one `.nvz` file."""

from enerv_zoo.compression.run import Compressed, compress

__all__ = ["Compressed", "compress"]
