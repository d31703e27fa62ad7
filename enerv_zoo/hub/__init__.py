"""Weights <-> storage: a fit's folder."""

from enerv_zoo.hub.folder import load, read_config, save

__all__ = ["load", "read_config", "save"]
