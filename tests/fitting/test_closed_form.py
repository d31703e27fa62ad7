"""Fits that start in closed form: networks that die are begun again, others are left alone."""

from __future__ import annotations

import math

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting import checkpoint, divergence, start
from enerv_zoo.fitting.divergence import DivergenceGuard
from enerv_zoo.fitting.first_weights import start_in_closed_form
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.heads import LinearSkipHead

NETWORK = {"model": "pca_nerv", "model_options": {"width": 18, "channels": 2}}
FIT = {
    **NETWORK, "epochs": 16, "batch_size": 4, "loss": "L2", "betas": (0.9, 0.99), "schedule": "linear", "warmup": 0.1,
    "rates": {"embeddings": 2.0, "head.linear": 0.1}, "precision": "float32", "checkpoint_every": 0,
}  # fmt: skip
DYING = {**FIT, "model_options": {**NETWORK["model_options"], "act": "relu"}, "lr": 0.2, "seed": 2}


@pytest.fixture(scope="module")
def clip():
    return ez.open_video("bunny", frames="0:12", resize="40x24")


def frames_of(kind, clip):
    noise = torch.randint(0, 256, clip.frames.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    still = clip.frames[:1].expand_as(clip.frames).clone()
    return {"noise": noise, "still": still, "grey": torch.full_like(still, 90), "bunny": clip.frames}[kind]


def test_a_network_that_dies_begins_again_at_a_lower_rate(clip, monkeypatch):
    started = []
    start_from = LinearSkipHead.start_from
    monkeypatch.setattr(LinearSkipHead, "start_from", lambda *inputs: started.append(1) or start_from(*inputs))
    result = ez.fit(clip, **DYING)
    assert result.metrics["recoveries"]
    assert "the network died" in result.metrics["recoveries"][0]["reason"]
    for number, each in enumerate(result.metrics["recoveries"]):
        assert each["action"] == f"began again from other weights at {0.5 ** (number + 1):g} times the rate"
    assert len(started) == 1  # the closed form is kept
    assert [row["epoch"] for row in result.history] == list(range(1, 17))
    monkeypatch.setattr(start, "NEARLY_EXACT", 0.0)  # neither this look at the fit nor the others
    monkeypatch.setattr(divergence, "PSNR_DROP", 99.0)
    dead = ez.fit(clip, **DYING)
    assert dead.metrics["recoveries"] == []
    assert result.metrics["psnr"] > dead.metrics["psnr"] + 1


@pytest.mark.parametrize(("act", "lr", "bpp"), [("relu", 0.1, None), ("relu", 0.1, 6.0), ("gelu", 0.2, 6.0)])
def test_networks_that_keep_some_gradient_die_too(clip, monkeypatch, act, lr, bpp):
    """A few pixels give them one, and so does the rate."""
    options = {**DYING["model_options"], "act": act}
    dying = {**DYING, "model_options": options, "lr": lr, "bpp": bpp, "seed": 0}
    result = ez.fit(clip, **dying)
    assert "the network died" in result.metrics["recoveries"][0]["reason"]
    monkeypatch.setattr(start, "NEARLY_EXACT", 0.0)
    assert result.metrics["psnr"] > ez.fit(clip, **dying).metrics["psnr"] + 1


def test_the_fit_goes_on_to_the_same_bits_wherever_it_is_stopped(clip, tmp_path):
    whole = ez.fit(clip, **DYING)

    class Stop(ez.Callback):
        left = 0

        def on_step(self, fitter):
            self.left -= 1
            if not self.left:
                raise RuntimeError("stopped")

    for number, steps in enumerate((3, 4, 1, 1, 1, 1, 2, 9)):  # the network is looked at after 8
        stop = Stop()
        stop.left = steps
        with pytest.raises(RuntimeError, match="stopped"):
            ez.fit(clip, callbacks=[stop], out=tmp_path / "cut", resume=number > 0, **DYING)
    cut = ez.fit(clip, out=tmp_path / "cut", resume=True, **DYING)
    assert cut.metrics["recoveries"] == whole.metrics["recoveries"]
    theirs = whole.video.state_dict()
    assert all(torch.equal(each, theirs[name]) for name, each in cut.video.state_dict().items())


@pytest.mark.parametrize("kind", ["noise", "still", "grey", "bunny"])
@pytest.mark.parametrize("rate", [5e-3, 2e-2])
def test_live_networks_are_left_alone_whatever_there_is_to_gain(clip, kind, rate):
    recoveries = ez.fit(frames_of(kind, clip), **FIT, lr=rate).metrics["recoveries"]
    assert not any("began again" in each["action"] for each in recoveries)


def test_a_network_that_always_dies_is_gone_on_with_in_the_end(clip, monkeypatch):
    monkeypatch.setattr(divergence, "TRIES", 1)
    monkeypatch.setattr(divergence, "why_dead", lambda *given: "the network died")
    result = ez.fit(clip, **FIT, lr=5e-3)
    assert [each["action"] for each in result.metrics["recoveries"]] == [
        "began again from other weights at 0.5 times the rate", divergence.GOES_ON,
    ]  # fmt: skip
    assert len(result.history) == 16


def test_a_fit_that_is_killed_as_its_network_dies_ends_with_the_same_weights(clip, tmp_path, monkeypatch):
    save, killed = checkpoint.save_checkpoint, set()

    def save_and_end(folder, state):
        save(folder, state)
        times = len(state["guard"]["recoveries"])
        if state["guard"]["_death"] and times not in killed:
            killed.add(times)
            raise RuntimeError("killed")

    monkeypatch.setattr(divergence, "TRIES", 1)
    monkeypatch.setattr(divergence, "why_dead", lambda *given: "the network died")
    options = {**FIT, "lr": 5e-3, "batch_size": 1}
    whole = ez.fit(clip, **options)
    monkeypatch.setattr(checkpoint, "save_checkpoint", save_and_end)
    for resume in (False, True):
        with pytest.raises(RuntimeError, match="killed"):
            ez.fit(clip, **options, out=tmp_path / "cut", resume=resume)
    cut = ez.fit(clip, **options, out=tmp_path / "cut", resume=True)
    assert cut.metrics["recoveries"] == whole.metrics["recoveries"]
    theirs = whole.video.state_dict()
    assert all(torch.equal(each, theirs[name]) for name, each in cut.video.state_dict().items())


def test_under_a_time_budget_the_rest_of_the_time_is_used(clip, monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self):
            self.now += 0.025
            return self.now

    monkeypatch.setattr("enerv_zoo.fitting.loop.time", Clock())
    video = ez.NeuralVideo.seeded(
        ez.create_model("pca_nerv", info=clip.info, **DYING["model_options"]).config, clip.info, 2, fitting=True
    )
    fields = {key: value for key, value in DYING.items() if key in FitConfig.__dataclass_fields__}
    config = FitConfig(**{**fields, "time_budget": 12.0})
    closed_form = start_in_closed_form(video, clip.frames)
    fitter, guard = Fitter(video, FrameLoader(clip.frames), config), DivergenceGuard()
    fitter.closed_form = closed_form
    guard.on_phase(fitter)
    while not fitter.done:
        guard.on_epoch(fitter, fitter.fit_epoch(on_step=lambda: guard.on_step(fitter)))
    assert guard.recoveries
    assert 0 < fitter.began < 0.9
    assert start.sampled_psnr(fitter) > guard.state_dict()["_start_psnr"]


def test_other_starts_are_not_looked_at(clip, tmp_path):
    first = ez.fit(clip, **{**FIT, "epochs": 1, "lr": 5e-3}, out=tmp_path / "first")
    again = ez.fit(clip, **{**FIT, "epochs": 4, "lr": 5e-3}, init_from=first.folder)
    assert again.metrics["recoveries"] == []
    enerv = Fitter(ez.create_model("enerv", info=clip.info, size="60K"), FrameLoader(clip.frames), FitConfig())
    guard = DivergenceGuard()
    guard.on_phase(enerv)
    assert guard.state_dict()["_start_psnr"] == math.inf
