"""A decoder as an ONNX model: translated, stripped, its weights in float16 where they fit, checked by onnxruntime."""

from __future__ import annotations

import math
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

MANY = 1024
"""Constants of more elements are weights, whose products with time are no longer time."""


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
        verbose=False, optimize=folds, custom_translation_table=_translations(),
    )  # fmt: skip
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:  # which say where in which file on this machine they come from
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    if decoder.index == "float32":
        keep_time_exact(model.graph)
    if precision == "float16":
        _store_halves(model.graph)
    model.ir_version, model.producer_name, model.producer_version = IR_VERSION, "enerv-zoo", metadata["version"]
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model


def _translations() -> dict[Any, Any]:
    """Return how operations are written that runtimes compute in one pass only as their own exporters write them."""
    from onnxscript import opset18 as op

    def gelu(x: Any, approximate: str = "none") -> Any:
        return op.Mul(op.Mul(x, 0.5), op.Add(op.Erf(op.Div(x, math.sqrt(2))), 1.0))

    def lerp(start: Any, end: Any, share: Any) -> Any:
        return op.Add(start, op.Mul(share, op.Sub(end, start)))

    return {torch.ops.aten.gelu.default: gelu, torch.ops.aten.lerp.Tensor: lerp}


def keep_time_exact(graph: Any) -> None:
    """Let a graph take float32 indices, and name the nodes that compute with time alone `time0`, `time1` and so on.

    Runtimes for GPUs have no float64; float32 is enough where each result is the nearest number, as on CPUs, but GPUs
    divide less exactly, and know no sines of large numbers. The names tell runtimes to leave these nodes to the CPU.
    """
    from onnx import TensorProto, numpy_helper

    double, single = TensorProto.DOUBLE, TensorProto.FLOAT
    graph.input[0].type.tensor_type.elem_type = single
    for constant in graph.initializer:
        if constant.data_type == double:
            values = numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    for attribute in (attribute for node in graph.node for attribute in node.attribute if attribute.name == "to"):
        attribute.i = single if attribute.i == double else attribute.i
    few = {constant.name for constant in graph.initializer if math.prod(constant.dims) < MANY}
    time, nodes = {graph.input[0].name}, 0
    for node in graph.node:
        if not time.isdisjoint(node.input) and time | few >= set(filter(None, node.input)):
            time.update(node.output)
            node.name, nodes = f"time{nodes}", nodes + 1


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
    tolerance = {"float32": TOLERANCE, "sdr": 1 / 255}.get(output, 1)
    kind = torch.float32 if session.get_inputs()[0].type == "tensor(float)" else torch.float64
    for count in (1, 3) if batch is None else (batch,):
        places = spread(network, count + 2)
        for index in (places[:count], places[-count:], 0.37 * places[-count:] + 0.3):
            index = index.to(kind)
            frames = torch.from_numpy(session.run(None, {"index": index.numpy()})[0])
            difference = _difference(frames, formatted(network(index.double()), output, network.info.colour))
            if not difference <= tolerance:
                raise EnervZooError(
                    f"onnxruntime {onnxruntime.__version__} decodes frames that differ by {difference:.2g} from those "
                    f"of the network, up to {tolerance:g} was expected; nothing was written"
                )


def _difference(frames: Tensor, expected: Tensor) -> float:
    if frames.shape != expected.shape:
        return float("inf")
    return float((frames.float() - expected.float()).abs().max())
