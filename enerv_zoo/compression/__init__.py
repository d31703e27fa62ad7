"""Weights -> bytes: prune, tune, choose bit widths, quantise, and write one `.nvz` file; and what codecs make of it."""

from enerv_zoo.compression.curves import RateDistortion, rate_distortion
from enerv_zoo.compression.run import Compressed, compress

__all__ = ["Compressed", "RateDistortion", "compress", "rate_distortion"]
