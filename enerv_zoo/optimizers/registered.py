"""The optimizers that come with the package; importing this registers them, and imports timm, which takes seconds."""

from enerv_zoo.optimizers import muon, soap, timm

__all__ = ["muon", "soap", "timm"]
