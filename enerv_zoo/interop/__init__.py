"""The authors' checkpoints -> `NeuralVideo`."""

from enerv_zoo.interop.checkpoints import import_checkpoint, read_checkpoint

__all__ = ["import_checkpoint", "read_checkpoint"]
