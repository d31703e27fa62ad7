"""Networks -> programs that decode without this package: ONNX, `torch.export`."""

from enerv_zoo.exporting.run import export

__all__ = ["export"]
