"""Devices: which there are, and that nothing computes in float64 on one that has none (Apple's MPS).

No MPS device is here. The meta device stands for it: shapes and types are computed there, and float64 is refused.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import enerv_zoo as ez
from enerv_zoo import network, precision
from enerv_zoo.batch import WorkerPool
from enerv_zoo.fitting import memory, meter
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.meter import EpochMeter
from enerv_zoo.fitting.ranks import join
from enerv_zoo.losses import build_loss, ready_loss
from enerv_zoo.machine import choose_device
from enerv_zoo.meta import meta_arithmetic
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.zoo import model_config

META = torch.device("meta")
INFO = ez.VideoInfo(frames=4, height=36, width=64)


class NoFloat64(TorchDispatchMode):
    """Refuses float64 on the meta device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and each.device == META and each.dtype == torch.float64:
                raise TypeError(f"{function} computes in float64")
        return result


@pytest.fixture
def meta_is_mps(monkeypatch):
    def widest(device):
        return torch.float32 if device.type == "meta" else torch.float64

    for module in (precision, network, memory, meter):
        monkeypatch.setattr(module, "widest", widest)


def test_mps_has_nothing_wider_than_float32():
    assert precision.widest(torch.device("mps")) == torch.float32
    assert {precision.widest(torch.device(name)) for name in ("cpu", "cuda", "cuda:1")} == {torch.float64}
    assert precision.choose_precision("auto", "mps") == "float32"


@pytest.mark.parametrize("family", ez.list_models())
def test_no_family_computes_in_float64_where_there_is_none(family, meta_is_mps):
    video = NeuralVideo.seeded(model_config(family, INFO, size="90K"), INFO, 0, fitting=True).to(META).train()
    around = len(video.content_neighbours)
    frames = torch.zeros(2, 3, INFO.height, INFO.width, device=META)
    loss = ready_loss(build_loss({"L1": 0.7, "SSIM": 0.3}, INFO.height, INFO.width), META)
    with meta_arithmetic(), NoFloat64():
        others = torch.zeros(2, around, *frames.shape[1:], device=META) if around else None
        objective, decoded = video.objective(torch.arange(2), frames, loss, others)
        objective.backward()
        meter = EpochMeter(torch.zeros(4, *frames.shape[1:], dtype=torch.uint8), META)
        meter.add(meter.measure(objective, decoded, frames), 2)
        memory.saved_bytes(video, ez.FitConfig(), 2)
    assert decoded.shape == frames.shape
    assert all(each.grad is None or each.grad.device == META for each in video.parameters())
    with meta_arithmetic(), pytest.raises(TypeError, match="float64"), NoFloat64():
        torch.zeros(1, device=META).double()  # it would be seen


def test_a_fitted_video_decodes_where_there_is_no_float64(meta_is_mps):
    video = NeuralVideo.seeded(model_config("nerv", INFO, size="90K"), INFO, 0).to(META)
    with meta_arithmetic(), NoFloat64():
        batches = list(video.decode_float([0, 1.5, 3], batch_size=2))
    assert [batch.shape[0] for batch in batches] == [2, 1]
    assert {batch.device for batch in batches} == {META}


def test_frames_are_sent_to_a_device_that_is_neither_the_host_nor_cuda():
    loader = FrameLoader(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "meta")
    batches = list(loader.batches([torch.tensor([0, 2]), torch.tensor([1])]))
    assert [frames.device for _, frames in batches] == [META, META]


def test_names_of_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert choose_device(name) == name
    assert choose_device("auto") == "cuda"
    assert choose_device(torch.device("mps", 0)) == "mps"
    assert choose_device(torch.device("cuda", 1)) == "cuda:1"
    with pytest.raises(ez.FitError, match="there is no cuda:2 here: PyTorch sees cuda:0 to cuda:1"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ez.FitError, match="there is no cuda:1 here: PyTorch sees only cuda:0"):
        choose_device("cuda:1")
    for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "mps:0", "cpu:0", "meta"):
        with pytest.raises(ez.FitError, match="device must be auto, cpu, cuda, cuda:1"):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name, message in (("cuda:0", "no CUDA device"), ("mps", "no MPS device")):
        with pytest.raises(ez.FitError, match=f"{message}.*use --device auto or --device cpu"):
            choose_device(name)


def test_several_processes_take_no_device_by_its_number(monkeypatch):
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(ez.FitError, match=r"takes the GPU of its number.*got 'cuda:1'"):
        join("cuda:1", distributed=True)


def test_one_device_has_one_worker():
    pool = WorkerPool()
    for device, room in (("cuda:1", 1), ("mps", 1), ("cuda", torch.cuda.device_count())):
        pool.device = device
        assert pool.room() == room


def test_on_the_command_line(cli):
    code, _, err = cli("fit", "bunny", "--device", "cuda:99", "--out", "x")
    assert code == 1
    assert "use --device auto or --device cpu" in err or "there is no cuda:99 here" in err
