"""The loop against the authors' own, step by step."""

from __future__ import annotations

import pytest
import torch

from enerv_zoo.config import FitConfig, VideoInfo, from_dict
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.interop import import_checkpoint
from enerv_zoo.interop.codebases import choose_codebase
from enerv_zoo.losses import build_loss
from enerv_zoo.metrics import psnr
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz.quantisation import levels_of, uniform_specs
from enerv_zoo.optimizers import Scheduler
from enerv_zoo.recipes import read_recipe


def follow(fitter: Fitter, order) -> tuple[torch.Tensor, torch.Tensor]:
    """Return losses and rates of steps on batches of frames, by their indices."""
    losses, rates = [], []
    for index, frames in fitter.loader.batches(order, fitter.video.content_neighbours):
        before = fitter.meter.sums[0].item()
        fitter.fit_batch(index, frames)
        losses.append((fitter.meter.sums[0].item() - before) / len(index))
        rates.append(fitter.optimizer.param_groups[0]["lr"])
        if fitter.step == fitter.steps:
            fitter.epoch, fitter.step = fitter.epoch + 1, 0
    return torch.tensor(losses).double(), torch.tensor(rates).double()


def test_fit_follows_the_authors_loop_step_by_step(golden):
    values = golden("fit_enerv")
    frames = values.tensors["input/frames"]
    video = import_checkpoint(values.state, codebase="e-nerv", config=values.config, frames=8, height=144, width=176)
    fitter = Fitter(video, FrameLoader(frames), FitConfig(epochs=3, shuffle=False, precision="float32"))
    losses, rates = follow(fitter, torch.arange(8).repeat(3).split(1))
    torch.testing.assert_close(rates, values.tensors["history/lr"], rtol=1e-6, atol=0)
    torch.testing.assert_close(losses, values.tensors["history/loss"], rtol=1e-5, atol=0)
    with torch.inference_mode():
        drawn = video.eval()(torch.arange(8))
    torch.testing.assert_close(psnr(drawn, frames / 255), values.tensors["output/psnr"], rtol=1e-5, atol=0)


@pytest.mark.parametrize("on_disk", [False, True])
def test_fit_with_frames_around_follows_the_authors(golden, on_disk):
    values = golden("fit_dnerv")
    frames = values.tensors["input/frames"]
    code = choose_codebase("dnerv", values.config, values.state)
    info = VideoInfo(frames=4, height=64, width=96)
    video = NeuralVideo.seeded(code.model(values.config, info), info, seed=0, fitting=True)
    video.load_state_dict(code.tensors(video, values.state))
    recipe = FitConfig(epochs=5, loss="L2", clip_grad=0.1, precision="float32")
    fitter = Fitter(video, FrameLoader(frames, on_disk=on_disk), recipe)
    losses, rates = follow(fitter, values.tensors["input/order"].split(1))
    torch.testing.assert_close(rates, values.tensors["history/lr"], rtol=1e-6, atol=0)
    torch.testing.assert_close(losses, values.tensors["history/loss"], rtol=1e-5, atol=0)
    with torch.inference_mode():
        drawn = video.eval().bake(frames)(torch.arange(4))
    torch.testing.assert_close(psnr(drawn, frames / 255), values.tensors["output/psnr"], rtol=1e-5, atol=0)


class OfPatches:
    """A loss of patches of 80 x 80, which are exactly crops of the frames."""

    def __init__(self, loss):
        self.loss, self.places = loss, []

    def __call__(self, prediction, target):
        pairs = zip(self._patches(prediction), self._patches(target), strict=True)
        return sum(self.loss(one[None], other[None]) for one, other in pairs) / len(self.places)

    def _patches(self, frames):
        rows, columns = ([slice(80 * i, 80 * i + 80) for i in axis] for axis in zip(*self.places, strict=True))
        return [frame[:, y, x] for frame, y, x in zip(frames, rows, columns, strict=True)]


def test_fit_in_phases_follows_hinervs(golden):
    """Its batches are of patches; the rounded phase rounds every weight, so that nothing is random."""
    values = golden("fit_hinerv")
    frames = values.tensors["input/frames"]
    video = import_checkpoint(values.state, codebase="hinerv", config=values.config, frames=5, height=80, width=160)
    fit = read_recipe("hinerv").fit
    phases = [{**phase, "epochs": 1} for phase in fit["phases"]]
    phases[1]["rounded_share"] = 1.0
    changed = {"epochs": 3, "warmup": 1 / 3, "batch_size": 2, "precision": "float32", "phases": phases}
    loss = OfPatches(build_loss(fit["loss"], 80, 80))
    steps = iter(values.tensors["input/order"])
    losses, rates = [], []
    for config in from_dict(FitConfig, {**fit, **changed}).split():
        fitter = Fitter(video, FrameLoader(frames.repeat(2, 1, 1, 1)), config, loss=loss)
        for _ in range(5 * config.epochs):
            index, *places = next(steps).unbind(1)
            loss.places = list(zip(*(each.tolist() for each in places), strict=True))
            each, rate = follow(fitter, [index])
            losses.append(each)
            rates.append(rate)
    torch.testing.assert_close(torch.cat(rates), values.tensors["history/lr"], rtol=1e-6, atol=0)
    losses, expected = torch.cat(losses), values.tensors["history/loss"]
    torch.testing.assert_close(losses[:20], expected[:20], rtol=1e-5, atol=0)
    torch.testing.assert_close(losses[20:], expected[20:], rtol=1e-4, atol=0)
    specs = uniform_specs(video, 6, "slice")
    for name, parameter in video.named_parameters():
        levels, step = levels_of(parameter.detach(), specs[name])
        parameter.data = parameter.half().float() if specs[name].along is None else levels * step.half().float()
    with torch.inference_mode():
        drawn = video.eval()(torch.arange(5))
    torch.testing.assert_close(psnr(drawn, frames / 255), values.tensors["output/psnr"], rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("name", "lr", "warmup"), [("enerv_warmup_cosine", 5e-4, 0.2), ("hnerv_cosine_0.1_1_0.1", 1e-3, 0.1)]
)
def test_schedule_is_the_authors(golden, name, lr, warmup):
    values = golden("losses_and_schedules").tensors
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = Scheduler(optimizer, FitConfig(lr=lr, warmup=warmup), steps=600)
    rates = []
    for step in values["schedule/step"].tolist():
        scheduler.set_rate(step)
        rates.append(optimizer.param_groups[0]["lr"])
    torch.testing.assert_close(torch.tensor(rates).double(), values[f"schedule/{name}"], rtol=1e-6, atol=1e-12)
