"""Graphs in `.nvz` files: frames without PyTorch, from the file's own tensors."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import enerv_zoo as ez
from enerv_zoo.exporting.graph import graph_section
from enerv_zoo.nvz import open_nvz, write_nvz
from enerv_zoo.nvz.quantisation import coded, uniform_specs
from enerv_zoo.nvz.tensors import stored_scales
from enerv_zoo.storage import Segment
from enerv_zoo.storage.compressed import to_network

from .conftest import tiny

EXAMPLE = Path(__file__).parents[2] / "examples" / "decode_without_torch.py"
WITHOUT = """
import runpy, sys
sys.modules |= {"torch": None, "enerv_zoo": None}
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def decode(file, *indices):
    """Run the example in a process where importing torch fails, and return its pictures (H, W, 3) by index."""
    words = [sys.executable, "-c", WITHOUT, str(EXAMPLE), str(file), *map(str, indices)]
    end = subprocess.run(words, cwd=file.parent, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert end.returncode == 0, end.stderr
    return {index: np.array(Image.open(file.parent / f"frame-{index}.ppm")).astype(int) for index in indices}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of two segments, each with a graph."""
    info, part = (ez.VideoInfo(frames=frames, height=10, width=14) for frames in (4, 2))
    networks = [tiny("nerv", part, fc_dim=8, stem_dim=[16], lower_width=8, norm="batch") for _ in "ab"]
    with torch.no_grad():
        networks[1].head.conv.bias.add_(0.3)
    video = ez.SegmentedVideo(info, [Segment(0, 2), Segment(2, 2)], networks.__getitem__)
    path = tmp_path_factory.mktemp("graph") / "x.nvz"
    result = ez.compress(video, path, bits=7, embed_graph=True)
    sizes = open_nvz(path).sizes
    assert result.graph_bytes == sum(sizes.sections.values())
    assert result.bytes == sizes.networks
    return path


def check_frames(file, *indices):
    video = ez.load(file)
    for index, picture in decode(file, *indices).items():
        expected = next(video.decode([index]))[0].permute(1, 2, 0).int().numpy()
        assert expected.std() > 2, "a picture that never changes proves nothing"
        assert np.abs(picture - expected).max() <= 1


def test_frames_are_decoded_without_pytorch(file, tmp_path):
    check_frames(file, 0, 3, 2.5)
    stored = open_nvz(file)
    networks = [stored.read(number) for number in range(2)]
    for network in networks:  # by the other entropy model, and with scales per channel and per slice
        for number, (name, tensor) in enumerate(network.tensors.items()):
            if isinstance(tensor, np.ndarray):
                continue
            scale = tensor.scale * np.linspace(0.8, 1, tensor.levels.shape[0], dtype=np.float32)
            changed = dataclasses.replace(tensor, scale=scale, axis=0, entropy_model={"name": "temporal"})
            if tensor.levels.ndim > 1 and number % 2:
                along = tuple(range(1, tensor.levels.ndim))
                slices = stored_scales(scale.reshape(-1, *(1 for _ in along)))
                changed = dataclasses.replace(tensor, scale=slices, axis=None, along=along)
            network.tensors[name] = changed
    sections = [stored.read_section(name) for name in stored.sizes.sections]
    write_nvz(tmp_path / "x.nvz", networks, whole=stored.whole, sections=sections)
    check_frames(tmp_path / "x.nvz", 1)
    write_nvz(tmp_path / "x.nvz", networks[:1])
    words = [sys.executable, str(EXAMPLE), "x.nvz", "0"]
    end = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert "the file has no graph; compress with --embed-graph" in end.stderr


def test_weights_are_stored_once_and_graphs_count_apart(file, tmp_path):
    stored = open_nvz(file)
    write_nvz(tmp_path / "plain.nvz", [stored.read(number) for number in range(2)], whole=stored.whole)
    plain = open_nvz(tmp_path / "plain.nvz")
    assert list(stored.sizes.sections) == ["onnx-graph-0", "onnx-graph-1"]
    assert stored.sizes.tensors == plain.sizes.tensors
    assert 0 <= stored.sizes.networks - plain.sizes.networks <= 2 * 96, "entries in the head count with the networks"
    assert torch.equal(ez.load(file)[:], ez.load(tmp_path / "plain.nvz")[:])
    for number, network in enumerate(stored.networks):
        data = stored.read_section(f"onnx-graph-{number}").data
        assert len(data) < 8000
        check_graph(zlib.decompress(data), {t.name: t.shape for t in network.tensors if t.dtype != "I64"})


def check_graph(data, tensors):
    """Check that a graph's weights are a file's tensors, and that it holds next to no other values."""
    graph = onnx.load_from_string(data).graph
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer if tensor.external_data}
    assert weights == tensors
    assert sum(np.prod(tensor.dims) for tensor in graph.initializer if not tensor.external_data) < 2000


@pytest.mark.parametrize(
    "family",
    [pytest.param(family, marks=() if family == "enerv" else pytest.mark.slow) for family in ez.list_models()],
)
def test_every_family_has_a_graph(family):
    video = tiny(family)
    specs = uniform_specs(video, 8, "tensor")
    encoded = to_network(video, {name: coded(t.detach(), specs[name]) for name, t in video.stored_parameters().items()})
    data = zlib.decompress(graph_section(video, encoded, 0).data)
    weights = {name: tuple(t.shape) for name, t in video.weights().items() if t.is_floating_point()}
    check_graph(data, weights)


def test_more_graphs_than_a_file_holds_are_refused_before_anything_is_compressed(tmp_path):
    info = ez.VideoInfo(frames=65, height=10, width=14)
    network = tiny("nerv", ez.VideoInfo(frames=1, height=10, width=14), fc_dim=8, stem_dim=[16], lower_width=8)
    video = ez.SegmentedVideo(info, [Segment(first, 1) for first in range(65)], lambda number: network)
    stages = []
    with pytest.raises(ez.ConfigError, match=r"a file holds 64 graphs at most, .* has 65 segments"):
        ez.compress(video, tmp_path / "x.nvz", embed_graph=True, on_stage=stages.append)
    assert stages == []
