"""The authors' checkpoints -> `NeuralVideo`."""

from enerv_zoo.interop.checkpoints import CODEBASES, import_checkpoint, read_checkpoint

__all__ = ["CODEBASES", "import_checkpoint", "read_checkpoint"]
