"""Steps that are recorded and replayed. Where there is no GPU, a recorder that runs a step again stands for CUDA's."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.graph import WARM, StepGraph
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.neural_video import NeuralVideo

CLIP = ez.open_video("bunny", frames="0:7", resize="64x36")
RECIPE = FitConfig(epochs=5, batch_size=3, lr=5e-3, precision="float32")


def fitter_of(model="enerv", device="cpu", recipe=RECIPE, **options):
    config = ez.create_model(model, info=CLIP.info, size="60K", **options).config
    video = NeuralVideo.seeded(config, CLIP.info, 0, fitting=True)
    return Fitter(video, FrameLoader(CLIP.frames, device), recipe)


class Recorder:
    """Records as CUDA does, as far as others can see: what is replayed reads and writes the same memory."""

    def __init__(self, fitter, factor=1.0):
        self.fitter, self.factor = fitter, factor
        self.replays = 0

    def __call__(self, step):
        graph, parameters = self.fitter.gradients.graph, list(self.fitter.video.parameters())
        step()
        kept = [graph.sums, *(p.grad for p in parameters)]

        def replay():
            self.replays += 1
            step()
            for place, value in zip(kept, [graph.sums, *(p.grad for p in parameters)], strict=True):
                place.copy_(value * self.factor)
            graph.sums = kept[0]

        return replay


def recorded(fitter, **options):
    recorder = Recorder(fitter, **options)
    fitter.gradients.graph = StepGraph(fitter.gradients.accumulate, list(fitter.video.parameters()), recorder)
    return recorder


def run(fitter, epochs=5):
    history = [fitter.fit_epoch() for _ in range(epochs)]
    return [row["loss"] for row in history], fitter.video.state_dict()


@pytest.mark.parametrize("model", ["enerv", "hnerv"])
def test_a_fit_of_replayed_steps_is_the_same_fit(model):
    """Of 7 frames in batches of 3, the last batch of every epoch is of another shape, and runs as it is."""
    losses, weights = run(fitter_of(model))
    fitter = fitter_of(model)
    recorder = recorded(fitter)
    replayed_losses, replayed = run(fitter)
    assert recorder.replays == 5 * 2 - WARM  # one of them to compare
    assert fitter.gradients.is_warmed_up
    assert replayed_losses == losses
    assert all(torch.equal(replayed[name], tensor) for name, tensor in weights.items())


def test_after_a_restart_steps_are_recorded_anew():
    """Whose levels are learned in other tensors."""
    config = dataclasses.replace(RECIPE, scales="learned", bits=6)
    fitter = fitter_of(recipe=config)
    recorded(fitter)
    run(fitter, epochs=2)
    before = fitter.gradients.graph
    fitter.restart(seed=1)
    assert fitter.gradients.graph is not before
    assert not fitter.gradients.is_warmed_up


def test_a_step_that_cannot_be_recorded_runs_as_it_is(caplog):
    def refuse(step):
        step()
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    _, weights = run(fitter_of())
    fitter = fitter_of()
    fitter.gradients.graph = StepGraph(fitter.gradients.accumulate, list(fitter.video.parameters()), refuse)
    _, ours = run(fitter)
    assert fitter.gradients.is_warmed_up
    assert not fitter.gradients.graph.works
    assert all(torch.equal(ours[name], tensor) for name, tensor in weights.items())
    assert caplog.messages == [
        "going on without CUDA graphs: RuntimeError: operation not permitted when stream is capturing"
    ]


def test_a_replay_that_differs_is_not_used(caplog):
    _, weights = run(fitter_of())
    fitter = fitter_of()
    recorder = recorded(fitter, factor=1.1)
    _, ours = run(fitter)
    assert recorder.replays == 1
    assert "a replayed step differs by 1.0e-01, its gradients by 1.0e-01" in caplog.text
    assert all(torch.equal(ours[name], tensor) for name, tensor in weights.items())


def test_parts_of_a_batch_are_not_replayed():
    fitter = fitter_of()
    recorder = recorded(fitter)
    run(fitter, epochs=1)
    fitter.gradients.micro_batch = 1
    run(fitter)
    assert recorder.replays == 0
    fitter.gradients.micro_batch = 3
    fitter.gradients.halve(torch.OutOfMemoryError(), 3)
    assert fitter.gradients.graph is None, "what was recorded is of a whole batch, and holds its memory"


@pytest.mark.parametrize(("model", "options"), [("ffnerv", {}), ("enerv", {"norm": "batch"})])
def test_passes_that_leave_something_behind_are_not_recorded(model, options):
    assert fitter_of(model, **options).gradients.changes_more
    assert not fitter_of("enerv").gradients.changes_more


def test_without_a_gpu_nothing_is_recorded(monkeypatch):
    fitter = fitter_of()
    monkeypatch.setattr(NeuralVideo, "optimize", None)  # nor compiled
    fitter.gradients.enable_cuda_graphs(1e6)
    assert fitter.gradients.graph is None


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["enerv", "hnerv", "enerv_boost"])
def test_on_a_gpu(model):
    plain, graphed = fitter_of(model, "cuda"), fitter_of(model, "cuda")
    graphed.gradients.enable_cuda_graphs(0.0)
    losses, _ = run(plain)
    replayed, _ = run(graphed)
    assert graphed.gradients.graph.is_warmed_up
    assert graphed.gradients.graph.works
    assert replayed == pytest.approx(losses, rel=1e-2)
