"""The moving average of weights: its values, what it is used for, and that nothing is lost of it."""

from __future__ import annotations

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.config import FitConfig, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.divergence import DivergenceGuard
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {
    "model_options": TINY, "frames": "0:6", "resize": "64x36", "batch_size": 2, "lr": 5e-3, "precision": "float32",
    "loss": "L2", "checkpoint_every": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def clip():
    return ez.open_video("bunny", frames="0:6", resize="64x36")


def fitter(clip, **recipe):
    video = ez.create_model("enerv", info=clip.info, **TINY)
    fields = {"epochs": 4, "batch_size": 2, "lr": 5e-3, "precision": "float32", "ema": 0.9, **recipe}
    return Fitter(video, FrameLoader(clip.frames), FitConfig(**fields))


def weights(video):
    return [parameter.detach().clone() for parameter in video.parameters()]


def same(ones, others):
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def test_it_is_the_average_of_all_steps_and_changes_none(clip):
    plain, averaged = fitter(clip, ema=None), fitter(clip)
    expected, seen = [each.double() for each in weights(averaged.video)], []
    averaged.fit_epoch(on_step=lambda: seen.append(weights(averaged.video)))
    plain.fit_epoch()
    assert same(weights(plain.video), weights(averaged.video))
    for step, each in enumerate(seen):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, each, strict=True)]
    torch.testing.assert_close([each.double() for each in averaged.average.tensors], expected, rtol=1e-5, atol=1e-7)


def test_it_is_what_is_decoded_while_fitting_and_in_the_end(clip):
    one = fitter(clip)
    one.fit_epoch()
    last, average = weights(one.video), [each.clone() for each in one.average.tensors]
    with one.in_float32() as video:
        assert same(weights(video), average)
        pictures = video(torch.arange(6.0))
    assert same(weights(one.video), last)
    assert same(one.average.tensors, average)
    one.end()
    assert same(weights(one.video), average)
    with one.in_float32() as video:
        assert torch.equal(video(torch.arange(6.0)), pictures)
    before = weights(one.video)
    one.end()
    assert same(weights(one.video), before)


def test_with_encoders_the_average_is_baked(clip):
    video = ez.NeuralVideo.seeded(
        ez.create_model("hnerv", info=clip.info, size="60K").config, clip.info, 0, fitting=True
    )
    one = Fitter(video, FrameLoader(clip.frames), FitConfig(epochs=2, batch_size=2, precision="float32", ema=0.5))
    one.fit_epoch()
    with one.in_float32() as early:
        pictures = early(torch.arange(6.0))
    one.end()
    torch.testing.assert_close(one.video.eval().bake(clip.frames)(torch.arange(6.0)), pictures)


def test_scores_on_the_way_are_those_of_the_result():
    result = ez.fit("bunny", epochs=4, ema=0.9, eval_every=1, schedule="constant", **FIT)
    assert result.metrics["psnr"] == pytest.approx(result.history[-1]["eval_psnr"], abs=1e-3)
    raw = ez.fit("bunny", epochs=4, schedule="constant", **FIT)
    assert result.metrics["psnr"] != pytest.approx(raw.metrics["psnr"], abs=1e-2)


@pytest.mark.parametrize("constraint", [{"prune": 0.3, "bits": 6}, {}])
def test_fits_that_are_stopped_anywhere_go_on_to_the_same_bits(tmp_path, constraint):
    options = {**FIT, "epochs": 2, "ema": 0.9, "phases": [{"epochs": 2, "lr": 1e-3, **constraint}]}
    whole = ez.fit("bunny", **options)

    class Stop(ez.Callback):
        left = 0

        def on_step(self, fitter):
            self.left -= 1
            if not self.left:
                raise RuntimeError("stopped")

    for number, steps in enumerate((2, 4, 1, 4)):  # 6 steps a phase
        stop = Stop()
        stop.left = steps
        with pytest.raises(RuntimeError, match="stopped"):
            ez.fit("bunny", callbacks=[stop], out=tmp_path / "cut", resume=number > 0, **options)
    cut = ez.fit("bunny", out=tmp_path / "cut", resume=True, **options)
    assert same(weights(cut.video), weights(whole.video))
    assert [row["psnr"] for row in cut.history] == [row["psnr"] for row in whole.history]


def test_pruned_weights_are_zero_in_the_average():
    result = ez.fit("bunny", epochs=1, ema=0.9, phases=[{"epochs": 2, "prune": 0.4}], **FIT)
    hints = result.video.coding_hints()
    prunable = [tensor for name, tensor in result.video.named_parameters() if hints[name].prunable]
    zeros, count = sum(int((each == 0).sum()) for each in prunable), sum(each.numel() for each in prunable)
    assert zeros / count == pytest.approx(0.4, abs=0.01)


def test_a_phase_may_have_one_of_its_own_and_a_budget_too():
    result = ez.fit("bunny", epochs=1, phases=[{"epochs": 2, "ema": 0.5}, {"epochs": 1, "ema": None}], **FIT)
    assert result.metrics["epochs"] == 4
    budgeted = ez.fit("bunny", time_budget=0.5, ema=0.9, **FIT)
    assert budgeted.metrics["psnr"] > 5


def test_what_is_gone_back_to_has_its_average(clip):
    one, guard = fitter(clip), DivergenceGuard()
    guard.on_phase(one)
    row = one.fit_epoch()
    good = [each.clone() for each in one.average.tensors]
    guard.on_epoch(one, row)
    guard.on_epoch(one, one.fit_epoch())
    row = one.fit_epoch()
    with torch.no_grad():
        next(iter(one.video.parameters())).fill_(float("nan"))
    one.average.update(one.steps_done)
    assert not guard.on_epoch(one, row)
    assert one.epoch == 1
    assert same(one.average.tensors, good)
    one.restart(seed=5)
    assert same(one.average.tensors, weights(one.video))


def test_records_without_it_are_as_before_and_others_name_it(clip):
    assert "ema" not in to_dict(FitConfig())
    assert "average" not in fitter(clip, ema=None).state_dict()
    assert to_dict(FitConfig(ema=0.9))["ema"] == 0.9
    for value in (0.0, 1.0, -1.0, "much"):
        with pytest.raises(ConfigError, match="'ema'"):
            ez.fit("bunny", epochs=1, ema=value, **FIT)
