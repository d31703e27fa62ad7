"""Fits that are killed, stopped, poisoned, starved of memory or disk."""

from __future__ import annotations

import errno
import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.compiling import Compiled
from enerv_zoo.config import FitConfig
from enerv_zoo.errors import EnervZooError, FitError
from enerv_zoo.fitting import checkpoint, divergence
from enerv_zoo.fitting.budget import Ending, TimeBudget
from enerv_zoo.fitting.divergence import DivergenceGuard
from enerv_zoo.fitting.frame_loader import FrameLoader
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.video import write_video

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {"model_options": TINY, "epochs": 4, "batch_size": 2, "lr": 5e-3}


@pytest.fixture(scope="module")
def clip():
    return ez.open_video("bunny", frames="0:6", resize="64x36")


def fitter(clip, **recipe):
    video = ez.create_model("enerv", info=clip.info, **TINY)
    return Fitter(video, FrameLoader(clip.frames), FitConfig(**{"epochs": 4, "batch_size": 2, "lr": 5e-3, **recipe}))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_killed_six_times_and_resumed_it_ends_with_the_same_weights(clip, tmp_path):
    write_video(tmp_path / "clip", clip)
    script = Path(__file__).with_name("kill_and_resume.py")
    seed = str(time.time_ns() % 1_000_000)
    done = subprocess.run([sys.executable, script, seed], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (seed, done.stdout, done.stderr)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["whole"] == 0
    assert (seen["kills"], seen["last"]) == ([-9] * 6, 0), seed
    assert seen["same"], seed
    assert seen["left"] == []
    assert seen["ended"] == {"int": 130, "term": 143}
    assert seen["resumable"] == {"int": True, "term": True}
    assert done.stderr.count("repeat the command to go on from there (fit needs --resume)") == 2
    assert "interrupted" not in done.stderr


def test_damaged_checkpoint_falls_back_to_the_one_before(clip, tmp_path, caplog):
    first, second = fitter(clip), fitter(clip)
    first.fit_epoch()
    checkpoint.save_checkpoint(tmp_path, first.state_dict())
    first.fit_epoch()
    checkpoint.save_checkpoint(tmp_path, first.state_dict())
    newest = tmp_path / "checkpoint.pt"
    for damage in (lambda data: data[: len(data) // 2], lambda data: data[:5000] + b"\0" + data[5001:], lambda _: b""):
        whole = newest.read_bytes()
        newest.write_bytes(damage(whole))
        with caplog.at_level(logging.WARNING):
            second.load_state_dict(checkpoint.load_checkpoint(tmp_path))
        assert second.epoch == 1
        assert "going on from the checkpoint before it" in caplog.text
        newest.write_bytes(whole)
    second.fit_epoch()
    assert same(first.video, second.video)
    newest.write_bytes(b"x")
    (tmp_path / "checkpoint.previous.pt").write_bytes(b"y" * 100)
    with pytest.raises(FitError, match=r"checkpoint\.pt and checkpoint\.previous\.pt damaged"):
        checkpoint.load_checkpoint(tmp_path)


@pytest.fixture
def full(tmp_path, monkeypatch):
    """A disk that takes no more once its list holds folders; the temporary folder is another one."""
    write_bytes, places = Path.write_bytes, []

    def write(path, data):
        if any(place in path.parents for place in places):
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    (tmp_path / "temporary").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Path, "write_bytes", write)
    return places


@pytest.mark.parametrize("other", ["temporary", "home"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_on_a_full_disk_a_fit_stops_and_goes_on_elsewhere(clip, tmp_path, full, epoch, other, monkeypatch):
    monkeypatch.setattr("enerv_zoo.fitting.loop.STATUS_INTERVAL", 0.0)
    whole = ez.fit(clip, **FIT)
    out = tmp_path / "fit"

    def fill(status):
        if status.epoch == epoch:
            full[:] = [out, *([tmp_path / "temporary"] if other == "home" else [])]

    with pytest.raises(FitError) as stopped:
        ez.fit(clip, **FIT, out=out, checkpoint_every=0, on_status=fill)
    (place,) = (tmp_path / other).glob("enerv-zoo-fit-*")
    assert str(stopped.value).startswith(f"{out}: no checkpoint can be written (No space left on device); the fit has")
    assert f"is in {place}: repeat the command with --out {place} (fit needs --resume)" in str(stopped.value)
    nowhere = tmp_path / ("home" if other == "temporary" else "temporary")
    assert not list(nowhere.glob("enerv-zoo-fit-*"))
    assert not list(out.glob(".*"))
    assert (out / "checkpoint.pt").exists() == (epoch > 1)  # what was there stays
    full.clear()
    assert same(ez.fit(clip, **FIT, out=place, checkpoint_every=0, resume=True).video, whole.video)


def test_a_disk_that_is_full_at_the_end_loses_nothing(clip, tmp_path, full, monkeypatch):
    whole, out = ez.fit(clip, **FIT), tmp_path / "fit"
    message = r"model\.safetensors: cannot be written \(No space left .*; the last checkpoint is kept: make room, and"
    with monkeypatch.context() as patch, pytest.raises(FitError, match=message):
        patch.setattr("enerv_zoo.fitting.run.shared_report", fills(out, full))
        ez.fit(clip, **FIT, out=out)
    full.clear()
    assert same(ez.fit(clip, **FIT, out=out, resume=True).video, whole.video)


def fills(out, full):
    """What measures a fit, and fills the disk."""
    from enerv_zoo.fitting.sharing import shared_report

    def measure(*arguments):
        full.append(out)
        return shared_report(*arguments)

    return measure


def test_where_nothing_takes_a_checkpoint_that_is_told(clip, tmp_path, full, caplog):
    full.append(tmp_path)
    with caplog.at_level(logging.WARNING), pytest.raises(EnervZooError, match="cannot be written"):
        ez.fit(clip, **FIT, out=tmp_path / "fit")
    assert "fit: no checkpoint can be written, here or elsewhere (No space left on device)" in caplog.text


def test_failed_write_keeps_the_checkpoint_that_was_there(clip, tmp_path, monkeypatch):
    one = fitter(clip)
    checkpoint.save_checkpoint(tmp_path, one.state_dict())
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def write(path, data):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(FitError, match="Read-only file system"):
        checkpoint.save_checkpoint(tmp_path, one.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def poisoned(monkeypatch, epoch: int, damage, times: int = 1):
    """Damage a fitter's weights at the start of an epoch, as often as `times`."""
    fit_epoch = Fitter.fit_epoch
    done = []

    def wrapped(self, *arguments):
        if self.epoch == epoch and len(done) < times:
            done.append(epoch)
            with torch.no_grad():
                for parameter in self.video.parameters():
                    damage(parameter)
        return fit_epoch(self, *arguments)

    monkeypatch.setattr(Fitter, "fit_epoch", wrapped)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda p: p.fill_(float("nan")), "stopped being a number"),
        (lambda p: p.fill_(float("inf")), "stopped being a number"),
        (lambda p: p.neg_(), "PSNR fell from"),
    ],
)
def test_collapse_is_rolled_back_and_recorded(clip, tmp_path, monkeypatch, damage, reason):
    monkeypatch.setattr(divergence, "PSNR_DROP", 1.0)
    monkeypatch.setattr(divergence, "LOSS_JUMP", 1.05)
    poisoned(monkeypatch, 14, damage)
    result = ez.fit(clip, **{**FIT, "epochs": 20}, out=tmp_path / "fit")
    (recovery,) = result.metrics["recoveries"]
    assert reason in recovery["reason"]
    assert recovery["epoch"] == 15
    assert "went back to epoch 13 at 0.5 times the rate" in recovery["action"]
    assert [row["epoch"] for row in result.history] == list(range(1, 21))
    assert result.history[13]["lr"] < result.history[12]["lr"] / 1.9
    assert result.metrics["psnr"] > max(row["psnr"] for row in result.history[:13]) - 1
    assert json.loads((tmp_path / "fit" / "metrics.json").read_text())["recoveries"] == result.metrics["recoveries"]


class StopIn(ez.Callback):
    """Interrupts a fit within an epoch, once."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_step(self, fitter):
        if fitter.current_epoch == self.epoch:
            self.epoch = None
            raise KeyboardInterrupt


def test_a_fit_that_collapses_soon_after_it_was_resumed_ends_with_the_same_weights(clip, tmp_path, monkeypatch):
    """What it goes back to is from before it was stopped."""
    options = {**FIT, "epochs": 16}
    with monkeypatch.context() as patch:
        poisoned(patch, 14, lambda p: p.fill_(float("nan")))
        whole = ez.fit(clip, **options)
    poisoned(monkeypatch, 14, lambda p: p.fill_(float("nan")))
    with pytest.raises(ez.FitInterrupted):
        ez.fit(clip, **options, out=tmp_path / "cut", callbacks=[StopIn(14)])
    cut = ez.fit(clip, **options, out=tmp_path / "cut", resume=True)
    assert len(whole.metrics["recoveries"]) == 1
    assert cut.metrics["recoveries"] == whole.metrics["recoveries"]
    assert same(cut.video, whole.video)


def row(epoch, psnr, loss=None):
    return {
        "epoch": epoch,
        "psnr": psnr,
        "loss": 10 ** (-psnr / 10) if loss is None else loss,
        "contrast": None,
        "explained": None,
    }


def guarding(fitter):
    """A guard at the start of a fitter's phase."""
    guard = DivergenceGuard()
    guard.on_phase(fitter)
    return guard


def test_the_end_of_an_epoch_that_dips_is_not_gone_back_to(clip):
    one = fitter(clip)
    watch = guarding(one)
    for number, psnr in ((1, 20.0), (2, 25.0), (3, 26.0), (4, 24.5)):  # the fall began in the fourth
        one.epoch = number
        assert watch.on_epoch(one, row(number, psnr))
    assert not watch.on_epoch(one, row(5, 15.0))
    assert (one.epoch, one.rate_scale) == (2, 0.5)


def test_a_state_that_falls_twice_is_on_its_way_up(clip):
    """As when a fit was cut off in the middle of a collapse, and goes on from there."""
    one = fitter(clip)
    begun = guarding(one)
    begun.on_epoch(one, row(1, 30.0))
    watch = guarding(one)
    watch.load_state_dict(begun.state_dict())
    assert not watch.on_epoch(one, row(2, 20.0))
    assert watch.on_epoch(one, row(2, 24.0))
    assert watch.on_epoch(one, row(3, 26.0))
    assert not watch.on_epoch(one, row(4, 22.0))
    assert [each["reason"] for each in watch.recoveries] == [
        "PSNR fell from 30.00 to 20.00 dB", "PSNR fell from 26.00 to 22.00 dB",
    ]  # fmt: skip


def test_tries_count_as_long_as_nothing_gets_better(clip):
    one, nan = fitter(clip), float("nan")
    watch = guarding(one)
    for turn in range(10):
        assert watch.on_epoch(one, row(turn + 1, 20.0 + turn))
        assert not watch.on_epoch(one, row(turn + 2, nan, nan))
    assert one.attempt == 10
    for _ in range(3):
        assert not watch.on_epoch(one, row(11, nan, nan))
    with pytest.raises(FitError, match="collapsed 5 times"):
        watch.on_epoch(one, row(11, nan, nan))


def test_gives_up_after_a_bounded_number_of_tries(clip, monkeypatch):
    poisoned(monkeypatch, 2, lambda p: p.fill_(float("nan")), times=99)
    with pytest.raises(FitError, match=r"the fit collapsed 5 times, last at epoch 3: .*Try a lower learning rate"):
        ez.fit(clip, **FIT)


def test_a_fit_that_stays_constant_begins_again_from_other_weights(clip, monkeypatch):
    monkeypatch.setattr(divergence, "CONSTANT_STEPS", 6)
    poisoned(monkeypatch, 0, lambda p: p.zero_())
    poor = fitter(clip, epochs=6)
    watch = guarding(poor)
    weights = poor.video.state_dict()["head.conv.weight"].clone()
    while not poor.done and not watch.recoveries:
        watch.on_epoch(poor, poor.fit_epoch())
    assert "stayed a constant image" in watch.recoveries[0]["reason"]
    assert (poor.epoch, poor.attempt, poor.rate_scale) == (0, 1, 0.5)
    assert not torch.equal(poor.video.state_dict()["head.conv.weight"], weights)


def test_a_constant_video_is_no_collapse(monkeypatch):
    monkeypatch.setattr(divergence, "CONSTANT_STEPS", 1)
    grey = torch.full((4, 3, 36, 64), 90, dtype=torch.uint8)
    assert ez.fit(grey, **FIT).metrics["recoveries"] == []


def test_out_of_memory_halves_what_passes_at_once_and_keeps_the_recipe(clip, monkeypatch, caplog):
    objective = ez.NeuralVideo.objective

    def starved(self, index, *others):
        if len(index) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return objective(self, index, *others)

    recipe = {"batch_size": 4, "loss": "L2", "precision": "float32"}
    whole, parts = fitter(clip, **recipe), fitter(clip, **recipe)
    expected = whole.fit_epoch()
    monkeypatch.setattr(ez.NeuralVideo, "objective", starved)
    with caplog.at_level(logging.WARNING):
        row = parts.fit_epoch()
    assert parts.gradients.micro_batch == 1
    assert caplog.text.count("out of memory") == 2
    assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    for a, b in zip(whole.video.parameters(), parts.video.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=2e-4)


def test_out_of_memory_with_one_frame_says_what_to_do(clip, monkeypatch):
    def starved(self, *arguments):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(ez.NeuralVideo, "objective", starved)
    with pytest.raises(FitError, match="smaller network"):
        fitter(clip).fit_epoch()


def test_what_has_no_deterministic_algorithm_says_what_to_do(clip, monkeypatch):
    def random(self, *arguments):
        raise RuntimeError("sum_cuda does not have a deterministic implementation, but you set 'torch.use_...'")

    def unset(self, *arguments):
        raise RuntimeError("Deterministic behavior was enabled ... set CUBLAS_WORKSPACE_CONFIG=:16:8")

    monkeypatch.setattr(ez.NeuralVideo, "objective", random)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with pytest.raises(FitError, match=r"fit without deterministic=True .*: sum_cuda does not have"):
        fitter(clip).fit_epoch()
    monkeypatch.setattr(ez.NeuralVideo, "objective", unset)
    with pytest.raises(FitError, match="environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8"):
        fitter(clip).fit_epoch()


def test_gradients_that_cannot_be_compiled_are_computed_as_they_are(clip, caplog):
    """They are compiled when they are first wanted, after the function's own call has ended well."""

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("no kernel of this shape")

    plain, ours = fitter(clip), fitter(clip)
    compiled = ours.video.compiled = Compiled(ours.video.head_outputs)
    compiled._compiled = lambda *arguments: [Broken.apply(x) for x in compiled.function(*arguments)]
    expected = plain.fit_epoch()
    assert ours.fit_epoch()["loss"] == expected["loss"]
    assert caplog.messages == ["going on without torch.compile: RuntimeError: no kernel of this shape"]


def test_other_errors_pass(clip, monkeypatch):
    def broken(self, *arguments):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(ez.NeuralVideo, "objective", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fitter(clip).fit_epoch()


class SlowClock:
    """A clock by which every step takes half a second, and what lies between two as long."""

    now = 0.0

    def perf_counter(self):
        self.now += 0.5
        return self.now


def test_time_budget_is_kept_and_the_schedule_stretched_over_it(clip, monkeypatch):
    monkeypatch.setattr("enerv_zoo.fitting.loop.time", SlowClock())
    budgeted = fitter(clip, epochs=1, time_budget=50.0)
    budgeted.budget = TimeBudget(50.0, frames=6, ending=Ending(fixed=3.0, per_frame=0.25))
    rates = []
    while not budgeted.done:
        rates.append(budgeted.fit_epoch()["lr"])
    assert (
        44.5 <= budgeted.seconds + budgeted.seconds_between <= 46
    )  # 50 s less 3 s for pictures and 1.5 s for 6 frames
    assert budgeted.seconds == budgeted.steps_done / 2
    assert max(rates) > 0.9 * 5e-3
    assert rates[-1] < 0.05 * 5e-3


def test_time_that_is_spent_before_the_first_step_counts(clip, monkeypatch):
    monkeypatch.setattr("enerv_zoo.fitting.loop.time", SlowClock())
    video = ez.create_model("enerv", info=clip.info, **TINY)
    late = Fitter(video, FrameLoader(clip.frames), FitConfig(batch_size=2, time_budget=50.0))
    late.budget = TimeBudget(50.0, spent=40.0, ending=Ending(fixed=3.0))
    while not late.done:
        late.fit_epoch()
    assert late.seconds < 7


def test_a_budget_that_is_too_small_still_gives_a_network(clip):
    options = {key: value for key, value in FIT.items() if key != "epochs"}
    assert len(ez.fit(clip, **options, time_budget=0.01).history) == 1


def test_deterministic_is_set_and_unset(clip, monkeypatch):
    seen = []
    ez.fit(
        clip, **FIT, deterministic=True, on_status=lambda _: seen.append(torch.are_deterministic_algorithms_enabled())
    )
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()
