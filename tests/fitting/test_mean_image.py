"""Fits that stay near the mean image of their clip, and good fits of clips whose mean image is hard to beat."""

from __future__ import annotations

import json
import logging
import re

import pytest
import torch
from torch.nn import functional as F

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.errors import FitError
from enerv_zoo.fitting import divergence
from enerv_zoo.fitting.divergence import GOES_ON, DivergenceGuard
from enerv_zoo.fitting.explained import CELLS, Cells, coarse_variance
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.history import History
from enerv_zoo.fitting.loop import Fitter

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {"model_options": TINY, "epochs": 30, "batch_size": 2, "lr": 5e-3, "warmup": 0.2, "device": "cpu"}
SIZE = (36, 64)


@pytest.fixture(scope="module")
def bunny():
    return ez.open_video("bunny", frames="0:120:10", resize="64x36")


@pytest.fixture
def first_frame_only(monkeypatch):
    """Networks are asked for frame 0, whichever they are fitted to, in their first so many attempts."""

    def set_attempts(attempts):
        step = Fitter.fit_batch

        def blind(self, index, frames, batch=None):
            step(self, index * (self.attempt >= attempts), frames, batch)

        monkeypatch.setattr(Fitter, "fit_batch", blind)

    return set_attempts


def noise():
    return torch.randint(0, 256, (12, 3, *SIZE), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def gradient():
    x = torch.linspace(0, 255, SIZE[1]).expand(SIZE)
    return torch.stack([x, x.flip(1), torch.linspace(255, 0, SIZE[0])[:, None].expand(SIZE)])


def still():
    return gradient().to(torch.uint8).expand(12, 3, *SIZE).contiguous()


def fade_from_black():
    return (gradient() * torch.linspace(0, 1, 12)[:, None, None, None]).to(torch.uint8)


def test_a_fit_that_stays_at_the_mean_image_begins_again(bunny, tmp_path, monkeypatch, first_frame_only, caplog):
    monkeypatch.setattr(divergence, "MEAN_IMAGE_STEPS", 20)
    first_frame_only(1)
    with caplog.at_level(logging.WARNING):
        result = ez.fit(bunny, **FIT, out=tmp_path / "fit")
    (recovery,) = result.metrics["recoveries"]
    assert "stayed near the mean image, at" in recovery["reason"]
    assert recovery["action"] == "began again from other weights at 0.5 times the rate"
    assert 6 < recovery["epoch"] <= 24  # after the warm-up, and before the rate is low
    assert recovery["reason"] in caplog.text
    assert len(result.history) == FIT["epochs"]
    assert result.history[-1]["explained"] > 0.5
    assert json.loads((tmp_path / "fit" / "metrics.json").read_text())["recoveries"] == [recovery]


@pytest.mark.parametrize("clip", [noise, still, fade_from_black])
def test_hard_and_easy_clips_are_no_collapse(clip):
    assert ez.fit(clip(), **FIT).metrics["recoveries"] == []


def test_changes_in_time_are_those_of_cells():
    assert coarse_variance(noise()) is None
    assert coarse_variance(still()) is None
    assert coarse_variance(still()[:1]) is None
    clip = fade_from_black()
    frames = clip.float() / 255
    mean = frames.mean(0, keepdim=True).expand_as(frames)
    expected = coarse_variance(clip)
    cells = Cells(clip.shape[2:], clip.device)
    assert expected == pytest.approx(float(cells(mean - frames).square().mean()), rel=1e-5)
    assert float(cells(frames - frames).square().mean()) == 0


@pytest.mark.parametrize("size", [(36, 64), (33, 17), (4, 5)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_cells_are_means_of_equal_parts(size, memory_format):
    frames = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)).to(memory_format=memory_format)
    expected = F.adaptive_avg_pool2d(frames, CELLS).permute(0, 2, 3, 1)
    torch.testing.assert_close(Cells(size, frames.device)(frames), expected)


def test_long_clips_are_sampled():
    clip = fade_from_black().repeat_interleave(40, dim=0)
    assert coarse_variance(clip) == pytest.approx(coarse_variance(fade_from_black()), rel=0.1)


class Position:
    """A fitter whose epoch is set, rather than fitted."""

    def __init__(self, bunny, epochs, **recipe):
        video = ez.create_model("enerv", info=bunny.info, **TINY)
        self.fitter = Fitter(video, FrameLoader(bunny.frames), FitConfig(epochs=epochs, batch_size=1, **recipe))
        self.guard = DivergenceGuard()
        self.guard.on_phase(self.fitter)

    def watch(self, *explained, psnr=15.0):
        """Whether each of the next epochs is good."""
        return [self._watch(value, psnr) for value in explained]

    def _watch(self, explained, psnr):
        self.fitter.epoch += 1
        row = {"epoch": self.fitter.epoch, "loss": 0.1, "psnr": psnr, "contrast": 0.2, "explained": explained}
        return self.guard.on_epoch(self.fitter, row)


def test_nothing_is_judged_before_the_warm_up_is_over_and_a_tenth_has_passed(bunny):
    one = Position(bunny, 20)  # 12 steps per epoch, a warm-up of 4
    assert one.watch(*[0.1] * 8) == [True] * 8  # 48 steps of them after the warm-up
    assert one.watch(0.1) == [False]
    assert (one.fitter.epoch, one.fitter.attempt, one.fitter.rate_scale) == (0, 1, 0.5)
    assert one.watch(*[0.1] * 8) == [True] * 8
    assert one.watch(0.1) == [False]


def test_a_fit_that_never_leaves_goes_on_after_a_bounded_number_of_restarts(bunny):
    one = Position(bunny, 20)
    for _ in range(divergence.TRIES):
        assert one.watch(*[0.1] * 9) == [True] * 8 + [False]
    assert all(one.watch(*[0.1] * 20))
    assert one.fitter.done
    actions = [each["action"] for each in one.guard.recoveries]
    assert actions[-1] == GOES_ON
    assert len(actions) == divergence.TRIES + 1


def test_a_lower_rate_that_only_takes_it_further_away_is_gone_back_from(bunny):
    one = Position(bunny, 20)
    assert one.watch(*[0.1] * 9, psnr=22.0) == [True] * 8 + [False]
    with torch.no_grad():
        one.fitter.video.head.conv.weight.zero_()
    other = Position(bunny, 20)
    other.fitter.load_state_dict(one.fitter.state_dict())
    other.guard.load_state_dict(one.guard.state_dict())
    for each in (one, other):
        assert each.watch(*[-3.0] * 9, psnr=12.0) == [True] * 8 + [False]
        assert (each.fitter.epoch, each.fitter.attempt, each.fitter.rate_scale) == (8, 0, 1.0)
        assert each.fitter.video.head.conv.weight.abs().max() > 0
        assert each.guard.recoveries[-1]["action"].startswith("went back to epoch 8 of an attempt at 1 times the rate")
        assert all(each.watch(*[0.1] * 12, psnr=22.0))
        assert each.fitter.done


def test_an_attempt_that_is_gone_back_to_has_its_rows(bunny):
    one, history = Position(bunny, 20), History(None)
    for attempt, epoch in ((0, 1), (0, 2), (1, 1), (0, 3)):
        one.fitter.attempt = attempt
        history.on_epoch(one.fitter, {"epoch": epoch, "psnr": 10.0 * attempt})
        again = History(None)
        again.load_state_dict(history.state_dict())
        history = again
    assert history.rows == [{"epoch": epoch, "psnr": 0.0} for epoch in (1, 2, 3)]


def test_the_first_attempt_of_a_phase_goes_on_from_the_last_one_before(bunny):
    one, history = Position(bunny, 20), History(None)
    for before, attempt, epoch in ((0, 0, 1), (0, 1, 1), (0, 1, 2), (2, 0, 3)):
        one.fitter.epochs_before, one.fitter.attempt = before, attempt
        history.on_epoch(one.fitter, {"epoch": epoch, "psnr": 10.0 * attempt})
    assert [(row["epoch"], row["psnr"]) for row in history.rows] == [(1, 10.0), (2, 10.0), (3, 0.0)]


def test_a_slow_fit_is_on_its_way(bunny):
    assert all(Position(bunny, 100).watch(*[0.006 * epoch for epoch in range(100)]))


def test_a_fit_that_comes_back_to_the_mean_image_begins_again(bunny):
    one = Position(bunny, 40)
    assert all(one.watch(*[0.05 * epoch for epoch in range(14)]))
    assert one.watch(0.3, 0.2, 0.1, 0.1, 0.1) == [True, True, True, True, False]


def test_a_fit_that_loses_frames_goes_back_to_before_it_did(bunny):
    one, other = Position(bunny, 40), Position(bunny, 40)
    assert all(one.watch(0.1, 0.5, 0.8, 0.85, 0.7, 0.3))
    other.fitter.load_state_dict(one.fitter.state_dict())
    other.guard.load_state_dict(one.guard.state_dict())
    for each in (one, other):
        assert each.watch(0.2) == [False]
        assert (each.fitter.epoch, each.fitter.attempt, each.fitter.rate_scale) == (4, 1, 0.5)
        assert each.guard.recoveries == [
            {
                "epoch": 7,
                "reason": "frames were lost: 20% of the changes in time are seen, after 85%",
                "action": "went back to epoch 4 at 0.5 times the rate",
            }
        ]
        assert all(each.watch(0.3, 0.8, 0.3, 0.9))
        assert each.watch(0.3, 0.3) == [True, False]
        assert (each.fitter.epoch, each.fitter.rate_scale) == (7, 0.25)


def test_frames_are_lost_where_they_were_there_before_and_quality_counts_alone(bunny, monkeypatch):
    assert all(Position(bunny, 40).watch(0.1, 0.5, 0.65, 0.3, 0.3))
    with monkeypatch.context() as patch:
        patch.setattr(Fitter, "pays_for_bits", True)
        assert all(Position(bunny, 40).watch(0.1, 0.5, 0.85, 0.3, 0.3))
    one = Position(bunny, 40)
    one.watch(0.85)
    good = [one.watch(0.85, 0.85, 0.3, 0.3)[-1] for _ in range(divergence.TRIES + 1)]
    assert good == [False] * divergence.TRIES + [True]
    later = Position(bunny, 40)
    later.fitter.epochs_before = 10
    assert later.watch(0.85, 0.85, 0.3, 0.3) == [True, True, True, False]


def test_what_is_no_number_tells_nothing_of_the_frames(bunny):
    one = Position(bunny, 40)
    assert all(one.watch(0.1, float("nan"), 0.1, 0.2))


def test_frames_that_a_fit_loses_are_shown_at_its_end(bunny, monkeypatch):
    """Others keep PSNR from falling far."""
    step = Fitter.fit_batch

    def losing(self, index, frames, batch=None):
        step(self, index * ((index < 10) | (self.attempt > 0) | (self.epoch < 20)), frames, batch)

    monkeypatch.setattr(Fitter, "fit_batch", losing)
    result = ez.fit(bunny, **{**FIT, "model": "nerv", "model_options": {}, "size": "60K", "lr": 1e-2})
    (recovery,) = result.metrics["recoveries"]
    assert re.fullmatch(r"frames were lost: \d+% of the changes in time are seen, after \d+%", recovery["reason"])
    assert (recovery["epoch"], recovery["action"]) == (22, "went back to epoch 19 at 0.5 times the rate")
    assert [row["epoch"] for row in result.history] == list(range(1, 31))
    assert result.history[-1]["explained"] > 0.7


def test_an_only_epoch_and_a_clip_without_changes_are_not_judged(bunny):
    assert all(Position(bunny, 1).watch(-0.5))
    assert all(Position(bunny, 40).watch(*[None] * 40))


def test_state_is_kept_in_checkpoints(bunny):
    one, other = Position(bunny, 20), Position(bunny, 20)
    one.watch(*[0.1] * 8)
    other.fitter.load_state_dict(one.fitter.state_dict())
    other.guard.load_state_dict(one.guard.state_dict())
    assert other.watch(0.1) == one.watch(0.1) == [False]


def test_a_constant_image_gives_up_with_a_reason(bunny):
    one = Position(bunny, 40)

    def constant():
        one.fitter.epoch += 1
        row = {"epoch": one.fitter.epoch, "loss": 0.1, "psnr": 12.0 + one.fitter.attempt, "contrast": 0.0}
        return one.guard.on_epoch(one.fitter, {**row, "explained": None})

    with pytest.raises(FitError, match="collapsed 5 times, last at epoch 25: the frames stayed a constant image"):
        for _ in range(1000):
            constant()


class Clock:
    """A clock by which every step takes half a second, and what lies between two as long."""

    now = 0.0

    def perf_counter(self):
        self.now += 0.5
        return self.now


def test_under_a_time_budget_the_schedule_begins_again_for_the_time_that_is_left(bunny, monkeypatch, first_frame_only):
    monkeypatch.setattr("enerv_zoo.fitting.loop.time", Clock())
    first_frame_only(1)
    video = ez.create_model("enerv", info=bunny.info, **TINY)
    fitter = Fitter(video, FrameLoader(bunny.frames), FitConfig(batch_size=2, lr=5e-3, time_budget=400.0))
    watch, rates = DivergenceGuard(), []
    watch.on_phase(fitter)
    while not fitter.done:
        row = fitter.fit_epoch()
        watch.on_epoch(fitter, row)
        rates.append(row["lr"])
    (recovery,) = watch.recoveries
    after = recovery["epoch"]
    assert 0.25 < fitter.began < 0.5
    assert rates[after] < 0.6 * rates[after - 1] * 0.5  # a warm-up again
    assert max(rates[after:]) > 0.9 * 2.5e-3
    assert rates[-1] < 0.05 * 5e-3
    assert fitter.seconds < 400
