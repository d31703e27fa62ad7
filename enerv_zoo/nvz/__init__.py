"""The `.nvz` file: networks as integers, entropy-coded; every machine decodes the same bits."""

from enerv_zoo.nvz.container import (
    EncodedNetwork,
    NetworkEntry,
    NvzFile,
    Section,
    Sizes,
    TensorEntry,
    decode,
    encode,
    open_nvz,
    write_nvz,
)
from enerv_zoo.nvz.entropy import EntropyModel, model_spec
from enerv_zoo.nvz.tables import MAX_LEVEL, estimate_bits
from enerv_zoo.nvz.tensors import QuantizedTensor

__all__ = [
    "MAX_LEVEL",
    "EncodedNetwork",
    "EntropyModel",
    "NetworkEntry",
    "NvzFile",
    "QuantizedTensor",
    "Section",
    "Sizes",
    "TensorEntry",
    "decode",
    "encode",
    "estimate_bits",
    "model_spec",
    "open_nvz",
    "write_nvz",
]
