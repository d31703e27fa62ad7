"""Networks -> programs that decode without this package: ONNX, `torch.export`, web pages."""

from enerv_zoo.exporting.player import write_player
from enerv_zoo.exporting.run import export

__all__ = ["export", "write_player"]
