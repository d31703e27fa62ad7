"""A decoder as an ONNX model: translated, stripped, its weights in float16 where they fit, checked by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.exporting.decoder import Decoder, Output, Precision, formatted, spread
from enerv_zoo.network import Network

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
IR_VERSION = 10
"""Versions of ONNX that files are written in: of October 2022 and later runtimes."""

TOLERANCE = 1e-4
"""Largest difference from the network's frames, of [0, 1]; of 8-bit frames it is 1."""

FEW = 64
"""Constants of fewer elements stay as they are."""


def check_installed() -> None:
    """Refuse to begin without the packages of the extra.

    Raises:
        ConfigError: one is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs {error.name}, which is not installed; pip install 'enerv-zoo[export]'"
        ) from error


def to_onnx(
    decoder: Decoder, batch: int | None, precision: Precision, metadata: dict[str, str], *, folds: bool = True
) -> ModelProto:
    """Translate a decoder.

    Args:
        decoder: the decoder.
        batch: size of every batch; `None` for any.
        precision: `"float16"` stores constants that float16 holds in float16.
        metadata: to write into the model.
        folds: compute now what depends on weights alone; without that, they keep their names.
    """
    import onnx

    program = torch.onnx.export(
        decoder.program(batch), dynamo=True, opset_version=OPSET, input_names=["index"], output_names=["frames"],
        verbose=False, optimize=folds,
    )  # fmt: skip
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:  # which say where in which file on this machine they come from
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    if precision == "float16":
        _store_halves(model.graph)
    model.ir_version, model.producer_name, model.producer_version = IR_VERSION, "enerv-zoo", metadata["version"]
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model


def _store_halves(graph: Any) -> None:
    """Store each float32 constant that float16 holds exactly as float16, and cast it when it is used."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for number, constant in enumerate(graph.initializer):
        values = numpy_helper.to_array(constant)
        halves = values.astype(np.float16) if values.dtype == np.float32 and values.size >= FEW else None
        if halves is None or not np.array_equal(halves.astype(np.float32), values):
            continue
        name = constant.name
        graph.initializer[number].CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def check_model(
    model: ModelProto,
    network: Network,
    output: Output,
    batch: int | None,
    tensors: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Compare what onnxruntime computes with the network's frames, at integer and fractional indices.

    Args:
        model: the model.
        network: whose frames it decodes.
        output: of the model.
        batch: size of every batch; `None` for any.
        tensors: that are external data of the model, by their names.

    Raises:
        EnervZooError: they differ.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(tensor) for name, tensor in (tensors or {}).items()}
    options.add_external_initializers(list(weights), list(weights.values()))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    tolerance = TOLERANCE if output == "float32" else 1
    for count in (1, 3) if batch is None else (batch,):
        for index in (spread(network, count), 0.37 * spread(network, count) + 0.3):
            frames = torch.from_numpy(session.run(None, {"index": index.numpy()})[0])
            difference = _difference(frames, formatted(network(index), output))
            if not difference <= tolerance:
                raise EnervZooError(
                    f"onnxruntime {onnxruntime.__version__} decodes frames that differ by {difference:.2g} from those "
                    f"of the network, up to {tolerance:g} was expected; nothing was written"
                )


def _difference(frames: Tensor, expected: Tensor) -> float:
    if frames.shape != expected.shape:
        return float("inf")
    return float((frames.float() - expected.float()).abs().max())
