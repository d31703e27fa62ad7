"""Frames reach the device as they are, from wherever they are kept."""

from __future__ import annotations

import pytest
import torch
from torch.overrides import TorchFunctionMode

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.content import frames_around
from enerv_zoo.errors import FitError
from enerv_zoo.fitting import batch as batches
from enerv_zoo.fitting.batch import choose_batch
from enerv_zoo.fitting.frame_loader import FrameLoader, host_place

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
RECIPE = {"epochs": 2, "batch_size": 2, "lr": 5e-3}


@pytest.fixture(scope="module")
def clip():
    return ez.open_video("bunny", frames="0:7", resize="64x36")


class OneDevice(TorchFunctionMode):
    """Refuses indices on another device than what they index, as CUDA does; the meta device does not by itself."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.index_select:
            assert args[0].device == args[2].device
        return func(*args, **(kwargs or {}))


def test_frames_around_are_taken_where_they_lie_by_indices_of_the_host():
    with OneDevice():
        taken = frames_around(torch.empty(4, 3, 6, 8, dtype=torch.uint8, device="meta"), torch.arange(2), (0, -1, 1))
    assert (taken.device.type, taken.shape) == ("meta", (2, 3, 3, 6, 8))


@pytest.mark.parametrize("on_disk", [False, True])
def test_batches_come_in_order_and_whole(clip, on_disk):
    loader = FrameLoader(clip.frames, on_disk=on_disk)
    order = torch.tensor([6, 0, 3, 3, 1, 5, 2]).split(2)
    got = list(loader.batches(order))
    assert [index.tolist() for index, _ in got] == [index.tolist() for index in order]
    for index, frames in got:
        assert torch.equal(frames, clip.frames[index])


def test_a_loop_that_stops_early_stops_the_reading(clip):
    batches = FrameLoader(clip.frames, on_disk=True).batches(torch.arange(7).split(1))
    next(batches)
    batches.close()
    assert list(FrameLoader(clip.frames, on_disk=True).batches([])) == []


def test_errors_of_reading_reach_the_loop(clip):
    batches = FrameLoader(clip.frames, on_disk=True).batches([torch.tensor([0]), torch.tensor([99])])
    with pytest.raises(IndexError):
        list(batches)


def test_weights_do_not_depend_on_where_frames_are(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("ENERV_ZOO_CACHE", str(tmp_path))
    options = {"frames": "0:7", "resize": "64x36", "model_options": TINY, **RECIPE}
    kept, mapped = (ez.fit("bunny", frames_in=place, **options).video for place in ("host", "disk"))
    for a, b in zip(kept.parameters(), mapped.parameters(), strict=True):
        assert torch.equal(a, b)


def test_places_are_checked():
    assert host_place("device") == "auto"
    with pytest.raises(FitError, match="one of auto, device, host, disk, got 'moon'"):
        host_place("moon")


@pytest.mark.parametrize(
    ("speeds", "chosen"),
    [({1: 10, 2: 18, 4: 30, 8: 31}, 4), ({1: 10, 2: 11, 4: 99}, 1), ({1: 10, 2: 20, 4: 40}, 4)],
)
def test_batch_grows_as_long_as_that_pays(clip, monkeypatch, speeds, chosen):
    video = ez.create_model("enerv", info=clip.info, **TINY)
    monkeypatch.setattr(batches, "frames_per_second", lambda video, loader, config, *_: speeds[config.batch_size])
    recipe = choose_batch(video, FrameLoader(clip.frames), FitConfig(batch_size=None, lr=1e-3))
    assert recipe.batch_size == chosen
    assert recipe.lr == pytest.approx(1e-3 * chosen**0.5)


def test_choosing_a_batch_measures_real_steps_and_leaves_the_weights(clip):
    video = ez.create_model("enerv", info=clip.info, **TINY)
    before = {name: tensor.clone() for name, tensor in video.state_dict().items()}
    recipe = choose_batch(video, FrameLoader(clip.frames), FitConfig(batch_size=None, time_budget=2.0))
    assert recipe.batch_size in (1, 2, 4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in video.state_dict().items())


def test_a_batch_that_memory_runs_out_for_is_not_chosen(clip, monkeypatch):
    """Though in parts it fits, and may be quick."""
    objective = ez.NeuralVideo.objective

    def starved(self, index, *others):
        if len(index) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return objective(self, index, *others)

    monkeypatch.setattr(ez.NeuralVideo, "objective", starved)
    video, loader = ez.create_model("enerv", info=clip.info, **TINY), FrameLoader(clip.frames)
    assert batches.frames_per_second(video, loader, FitConfig(batch_size=2), 0.0) == 0
    assert batches.frames_per_second(video, loader, FitConfig(batch_size=1), 0.0) > 0
