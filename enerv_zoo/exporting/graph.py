"""Graphs in `.nvz` files: a network as an ONNX model whose weights are the file's tensors, not stored twice."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from enerv_zoo.errors import EnervZooError
from enerv_zoo.exporting import onnx_model
from enerv_zoo.exporting.decoder import Decoder, rounded
from enerv_zoo.exporting.run import describe
from enerv_zoo.network import Network
from enerv_zoo.nvz import EncodedNetwork, QuantizedTensor, Section
from enerv_zoo.progress import stage
from enerv_zoo.threads import usable_threads

if TYPE_CHECKING:
    from onnx import ModelProto

SECTION = "onnx-graph"
MEDIA_TYPE = "application/zlib"
PREFIX = "network."
"""Before the names of a network's tensors in those of its decoder."""


@usable_threads()
@torch.no_grad()
def graph_section(network: Network, encoded: EncodedNetwork, number: int) -> Section:
    """Return a network's graph as a section of the file that holds the network.

    The input is `index`, (B,) float64, the output `frames`, (B, 3, H, W) uint8; the initializers without data are the
    file's float32 tensors. onnxruntime's frames, with those as the file decodes them, are compared with the network's.

    Args:
        network: the network; its weights are not used.
        encoded: the same one as the file holds it.
        number: of the network in the file.

    Raises:
        ConfigError: the extra `enerv-zoo[export]` is missing.
        EnervZooError: the graph decodes other frames, or does without one of the tensors.
    """
    stage("translating")
    tensors = {
        name: tensor.values() if isinstance(tensor, QuantizedTensor) else tensor
        for name, tensor in encoded.tensors.items()
    }
    twin = rounded(network, "float32")
    twin.load_state_dict({name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        model = onnx_model.to_onnx(
            Decoder(twin, "uint8", folds=False), None, "float32", describe(twin, None, "float32", "uint8"), folds=False
        )
    tensors = {name: tensor for name, tensor in tensors.items() if tensor.dtype == np.float32}
    _refer(model, tensors)
    stage("comparing with onnxruntime")
    onnx_model.check_model(model, twin, "uint8", None, tensors)
    return Section(f"{SECTION}-{number}", MEDIA_TYPE, zlib.compress(model.SerializeToString(), 9))


def _refer(model: ModelProto, tensors: Mapping[str, np.ndarray]) -> None:
    """Let weights of a model be external data under their names in the file, which stay there.

    Raises:
        EnervZooError: decoding does not need one of them; onnxruntime takes no values of such ones.
    """
    from onnx import TensorProto

    names = {PREFIX + name: name for name in tensors}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    needed = {name for node in model.graph.node for name in node.input}
    if idle := [name for name in tensors if name not in needed]:
        raise EnervZooError(f"no graph can be embedded: decoding does not need {', '.join(idle):.200}")
    for constant in model.graph.initializer:
        if constant.name in names:
            constant.name = names[constant.name]
            constant.ClearField("raw_data")
            constant.data_location = TensorProto.EXTERNAL
            constant.external_data.add(key="location", value=constant.name)
