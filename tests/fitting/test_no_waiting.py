"""What a step asks of a GPU makes the host wait for nothing, and so can be recorded as a graph.

There need be no GPU: on PyTorch's fake tensors a step runs through the code of a CUDA device, and computes shapes
alone. Left out are the way back, which needs a driver, and autocast, which is off where there is no GPU.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.explained import Cells
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.neural_video import NeuralVideo

pytestmark = pytest.mark.filterwarnings("ignore:CUDA is not available")

CLIP = ez.open_video("bunny", frames="0:3", resize="192x176")  # large enough for MS-SSIM


class Crossings(TorchDispatchMode):
    """Notes whatever is copied from one device to another."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function._schema.name in ("aten::_to_copy", "aten::copy_"):
            source = args[-1] if function._schema.name == "aten::copy_" and len(args) > 1 else args[0]
            if source.device.type != out.device.type:
                self.found.append(f"{source.device.type} to {out.device.type}")
        return out


def move_to_fake_gpu(fitter):
    """Put a fitter's tensors on a GPU that computes nothing."""

    def moved(tensor):
        layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda").contiguous(memory_format=layout)

    for part in fitter.video.modules():
        for name, parameter in part._parameters.items():
            part._parameters[name] = None if parameter is None else nn.Parameter(moved(parameter))
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else moved(buffer)
    if fitter.video.neighbours:
        fitter.video.head.latest = moved(fitter.video.head.latest)
    fitter.meter.sums = moved(fitter.meter.sums)
    fitter.meter.cells = Cells(CLIP.frames.shape[2:], torch.device("cuda"))


def crossings(fitter, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "backward", lambda self: None)
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with fake:
        move_to_fake_gpu(fitter)
        index = torch.zeros(2, dtype=torch.int64, device="cuda")
        frames = torch.zeros(2, 3, CLIP.info.height, CLIP.info.width, dtype=torch.uint8, device="cuda")
        with Crossings() as seen:
            sums = fitter.gradients.accumulate(index, frames, 2)
    assert (sums.device.type, sums.shape) == ("cuda", fitter.meter.sums.shape)
    return seen.found


@pytest.mark.parametrize("name", ez.list_models())
@pytest.mark.parametrize("loss", ["Fusion6", "Fusion10_freq"])
def test_a_step_of_every_family(name, loss, monkeypatch):
    config = ez.create_model(name, info=CLIP.info, size="200K").config
    video = NeuralVideo.seeded(config, CLIP.info, 0, fitting=True)
    fitter = Fitter(video, FrameLoader(CLIP.frames), FitConfig(epochs=1, batch_size=2, loss=loss, precision="bfloat16"))
    assert crossings(fitter, monkeypatch) == []


@pytest.mark.parametrize("habit", ["copies", "waits"])
def test_bad_habits_would_show(habit, monkeypatch):
    def loss(drawn, target):
        if habit == "copies":
            return (drawn * torch.tensor([1.0, 2.0, 3.0], device=drawn.device)[:, None, None] - target).abs().mean()
        return (drawn - target).abs().mean() * (2.0 if float(target.mean()) > 0.5 else 1.0)

    video = ez.create_model("nerv", info=CLIP.info, size="200K")
    fitter = Fitter(video, FrameLoader(CLIP.frames), FitConfig(epochs=1, batch_size=2), loss=loss)
    if habit == "copies":
        assert crossings(fitter, monkeypatch) == ["cpu to cuda"]
    else:
        with pytest.raises(DataDependentOutputException):
            crossings(fitter, monkeypatch)
