"""Networks as ONNX models: the same frames, at any index and batch, from onnxruntime alone."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.exporting import onnx_model
from enerv_zoo.exporting.decoder import Decoder, ExactFrequencies
from enerv_zoo.layers import FrequencyEncoding

from .conftest import INFO, tiny

INDEX = torch.tensor([0, 4, 1.5, 3.0625], dtype=torch.float64)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def decoded(path, index, dtype=np.float64):
    return session(path).run(None, {"index": np.asarray(index, dtype=dtype)})[0]


@pytest.mark.parametrize("family", ez.list_models())
def test_every_family_is_one_function_of_the_index(family):
    video = tiny(family)
    expected = video(INDEX).detach()
    assert expected.std(dim=0).max() > 0.002, "a picture that never changes proves nothing"
    torch.testing.assert_close(Decoder(video)(INDEX).detach(), expected, rtol=0, atol=1e-5)


QUICK = ("enerv", "hinerv", "ffnerv")
"""Families that have most parts and paths; each takes seconds to translate."""


@pytest.mark.parametrize(
    "family",
    [pytest.param(family, marks=() if family in QUICK else pytest.mark.slow) for family in ez.list_models()],
)
def test_every_family_decodes_the_same_frames(family, tmp_path):
    video = tiny(family)
    for index_type in ("float64",) if family in QUICK else ("float64", "float32"):
        path = ez.export(video, tmp_path / "x.onnx", output="float32", index=index_type)
        for index in (INDEX[:1], INDEX[2:3], INDEX):
            frames = decoded(path, index, index_type)
            np.testing.assert_allclose(frames, video(index).detach(), rtol=0, atol=1e-4)


def test_a_model_for_gpus_has_nothing_wider_and_names_what_computes_with_time(tmp_path):
    """Such as the sines of 1e8 rad, and all that they are of."""
    graph = onnx.load(ez.export(tiny("rnerv"), tmp_path / "x.onnx", index="float32")).graph
    values = onnx.shape_inference.infer_shapes(onnx.helper.make_model(graph)).graph.value_info
    types = {value.type.tensor_type.elem_type for value in [*values, *graph.input, *graph.output]}
    types |= {constant.data_type for constant in graph.initializer}
    assert onnx.TensorProto.DOUBLE not in types
    time = [node for node in graph.node if node.name.startswith("time")]
    assert [node.name for node in time] == [f"time{number}" for number in range(len(time))]
    assert {"Sin", "Cos", "Div", "Floor"} <= {node.op_type for node in time}
    assert {"Sin", "Cos"}.isdisjoint(node.op_type for node in graph.node if node not in time)
    assert {"Conv", "MatMul", "Gemm"}.isdisjoint(node.op_type for node in time)


def test_outputs_precisions_and_batches(tmp_path):
    video = tiny("nerv", fc_dim=8, stem_dim=[16], lower_width=8)
    whole = ez.export(video, tmp_path / "x.onnx")
    frames = decoded(whole, range(5))
    assert frames.dtype == np.uint8
    assert np.abs(frames.astype(int) - video[:].numpy().astype(int)).max() <= 1
    pictures = decoded(ez.export(video, tmp_path / "rgba.onnx", output="rgba"), [4.0])
    assert pictures.shape == (1, 10, 14, 4)
    assert np.array_equal(pictures[0, ..., :3], frames[4].transpose(1, 2, 0))
    assert (pictures[..., 3] == 255).all()
    half = ez.export(video, tmp_path / "half.onnx", precision="float16", batch=2)
    assert half.stat().st_size < whole.stat().st_size
    assert {t.data_type for t in onnx.load(half).graph.initializer if np.prod(t.dims) >= 64} == {
        onnx.TensorProto.FLOAT16
    }
    assert np.abs(decoded(half, [0, 4]).astype(int) - frames[[0, 4]].astype(int)).max() <= 3
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        decoded(half, [0])


def test_a_program_of_torch_export(tmp_path):
    video = tiny("nerv")
    files = {"metadata.json": ""}
    program = torch.export.load(ez.export(video, tmp_path / "x.pt2"), extra_files=files)
    assert torch.equal(program.module()(torch.arange(5.0).double()), video[:])
    assert json.loads(files["metadata.json"])["family"] == "nerv"


def test_a_model_says_what_it_is_and_nothing_of_this_machine(tmp_path):
    folder = tiny("nerv").save_pretrained(tmp_path / "fit")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "license": "cc-by-4.0"}))
    path = ez.export(folder, tmp_path / "x.onnx")
    about = session(path).get_modelmeta()
    assert about.producer_name == "enerv-zoo"
    assert about.custom_metadata_map == {
        "library": "enerv-zoo", "version": ez.__version__, "family": "nerv", "name": "tiny", "frames": "5",
        "width": "14", "height": "10", "fps": "12.5", "attribution": "somebody, CC0", "license": "cc-by-4.0",
        "precision": "float32", "output": "uint8",
    }  # fmt: skip
    model = onnx.load(path)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [onnx_model.OPSET]
    assert b".py" not in path.read_bytes()


@pytest.mark.parametrize("order", ["interleaved", "split"])
def test_encodings_lose_nothing_at_high_frequencies(order):
    """Sines of 1.4e8 rad, computed as sines within half a turn."""
    encoding = FrequencyEncoding(1.25, 80, order)
    p = torch.rand(500)
    exact = ExactFrequencies(encoding)(p)
    assert (encoding.powers.max() * p.max() * 3) > 1e8
    torch.testing.assert_close(exact, encoding(p), rtol=0, atol=3e-7)


def test_what_is_wrong_is_not_written(tmp_path, monkeypatch):
    video = tiny("nerv")
    target = tmp_path / "x.onnx"
    for options, message in (
        ({"precision": "int8"}, "precision is one of float32, float16, got 'int8'"),
        ({"output": "yuv"}, "output is one of uint8, float32, sdr, rgba, got 'yuv'"),
        ({"index": "int64"}, "index is one of float64, float32, got 'int64'"),
        ({"batch": 0}, "a batch is 'dynamic' or a number of frames from 1 to 1024, got 0"),
    ):
        with pytest.raises(ez.ConfigError, match=message):
            ez.export(video, target, **options)
    with pytest.raises(ez.ConfigError, match=r"ends in \.onnx or \.pt2"):
        ez.export(video, tmp_path / "x.tflite")
    monkeypatch.setattr(onnx_model, "TOLERANCE", -1)
    with pytest.raises(ez.EnervZooError, match=r"onnxruntime .* decodes frames that differ"):
        ez.export(video, target, output="float32")
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ez.ConfigError, match=r"pip install 'enerv-zoo\[export\]'"):
        ez.export(video, target)
    assert list(tmp_path.iterdir()) == []


def test_on_the_command_line(cli, tmp_path):
    tiny("nerv", INFO).save_pretrained("fit")
    code, out, _ = cli("export", "fit", "x.onnx", "--batch", "1", "--precision", "float16")
    assert code == 0
    assert out.startswith("written to x.onnx: ")
    assert "parameters in float16" in out
    code, _, err = cli("export", "fit", "x.onnx")
    assert code == 1
    assert "x.onnx: is there already" in err
    segments = ez.SegmentedVideo(
        ez.VideoInfo(frames=10, height=10, width=14), [ez_segment(0), ez_segment(5)], lambda number: tiny("nerv")
    )
    segments.save_pretrained("several")
    code, _, err = cli("export", "several", "y.onnx")
    assert code == 1
    assert "name the folder of one segment" in err


def ez_segment(first):
    from enerv_zoo.storage import Segment

    return Segment(first, 5)
