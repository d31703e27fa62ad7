"""Preset `auto` and time budgets: what is chosen for a clip, a machine and a time, and that it is gone on with."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError, FitError
from enerv_zoo.fitting import choice
from enerv_zoo.fitting.choice import EPOCHS, FEWEST_PIXELS, choose, choose_size, look
from enerv_zoo.fitting.plan import default_recipe, is_open, plan_fit
from enerv_zoo.recipes import read_recipe
from enerv_zoo.video import open_video
from enerv_zoo.video.sizes import parse_resize
from enerv_zoo.zoo import chosen_config, parse_parameter_count

TWO_CORES = 2 * choice.CORE_SPEED
GPU = 100 * TWO_CORES


@pytest.fixture
def machine(monkeypatch):
    """Return a function that gives this machine a speed, in pixels per second, and clips a size."""

    def become(speed: float, frames: int = 0, width: int = 0, height: int = 0) -> list[str]:
        measured = []

        def measure(plan, info, seconds):
            measured.append(info.size_text)
            return SimpleNamespace(frames_per_second=speed / (info.height * info.width))

        monkeypatch.setattr(choice, "measure_fit", measure)
        if frames:  # of which sizes that a family cannot have are not in question
            monkeypatch.setattr(choice, "nearest_size", lambda network, info: network["size"])
            clip = choice.Clip(ez.VideoInfo(frames, height, width), 0.01)
            monkeypatch.setattr(choice, "look", lambda source, plan: clip)
        return measured

    return become


def chosen(frames: int, width: int, height: int, **options):
    """Return what is chosen for a clip, and its frames."""
    plan = choose(plan_fit("bunny", recipe="auto", device="cpu", **options), "bunny")
    size = plan.video.get("resize")
    info = ez.VideoInfo(frames, height, width)
    if size is not None:
        height, width = parse_resize(size).size(height, width)
        info = ez.VideoInfo(frames, height, width)
    return plan, info


CLIPS = {
    "phone": (300, 1080, 1920),
    "wide": (500, 640, 272),
    "4:3": (250, 640, 480),
    "tiny": (20, 33, 17),
    "picture": (1, 4000, 3000),
    "minute": (1800, 1920, 1080),
}


@pytest.mark.parametrize("name", CLIPS)
def test_there_is_time_for_epochs_of_what_is_chosen_and_the_aspect_stays(name, machine):
    frames, width, height = CLIPS[name]
    machine(TWO_CORES, frames, width, height)
    plan, info = chosen(frames, width, height)
    epochs = 300 * TWO_CORES / info.pixels
    assert not is_open(plan)
    assert (plan.model["name"], plan.fit.time_budget) == ("pca_nerv", 300)
    assert info.width / info.height == pytest.approx(width / height, rel=0.02)
    assert epochs > 0.4 * EPOCHS
    if (info.width, info.height) != (width, height):
        assert epochs < 1.6 * EPOCHS  # frames are not made smaller than that needs
    assert 4 * parse_parameter_count(plan.model["size"]) < 3 * info.pixels


def test_a_gpu_fits_full_frames_with_a_larger_network(machine):
    frames, width, height = CLIPS["phone"]
    machine(TWO_CORES, frames, width, height)
    slow, small = chosen(frames, width, height)
    measured = machine(GPU, frames, width, height)
    fast, full = chosen(frames, width, height)
    assert (full.width, full.height) == (width, height)
    assert "resize" not in fast.video
    assert small.pixels < 0.3 * full.pixels
    assert float(fast.model["size"][:-1]) > 3 * float(slow.model["size"][:-1])
    assert len(measured) <= choice.ROUNDS


def test_more_time_makes_frames_larger_then_networks():
    by_time = [choose_size(300, 1920 * 1080, TWO_CORES * seconds) for seconds in (10, 100, 1000, 10_000, 100_000)]
    pixels = [sizes.pixels for sizes in by_time]
    parameters = [sizes.parameters for sizes in by_time]
    assert pixels == sorted(pixels)
    assert (pixels[0], pixels[-1]) == (FEWEST_PIXELS, 1920 * 1080)
    assert parameters == sorted(parameters)
    assert parameters[-1] > parameters[-2]  # of frames in full size


def test_what_is_given_is_not_chosen(machine):
    frames, width, height = CLIPS["minute"]
    measured = machine(TWO_CORES, frames, width, height)
    plan, _ = chosen(frames, width, height, size="3M")
    assert plan.model["size"] == "3M"
    assert plan.video["resize"].endswith("MP")
    measured.clear()
    plan, _ = chosen(frames, width, height, resize="full")
    assert plan.video["resize"] == "full"
    assert plan.model["size"] != "auto"
    assert measured == ["1920x1080"]
    measured.clear()
    plan, _ = chosen(frames, width, height, resize="360p", size="1M")
    assert (plan.video["resize"], plan.model["size"], measured) == ("360p", "1M", [])
    quick, _ = chosen(frames, width, height, epochs=10)
    slow, _ = chosen(frames, width, height, epochs=100)
    assert (quick.fit.epochs, quick.fit.time_budget) == (10, None)
    assert float(quick.video["resize"][:-2]) > 3 * float(slow.video["resize"][:-2])


def test_a_rate_chooses_the_size_and_counts_held_out_frames_too(tmp_path, clip):
    options = {"recipe": "quick", "epochs": 12, "bpp": 6.0, "device": "cpu"}
    fit = ez.fit(clip, **options, fit_frames="::2", out=tmp_path / "fit")
    record = json.loads((tmp_path / "fit" / "fit.json").read_text())
    pixels = 6 * 36 * 64
    assert record["model"]["size"] == pytest.approx((6 * pixels - 8 * 1600) / 2, rel=0.02)
    assert fit.video.stored_numbers == pytest.approx(record["model"]["size"], rel=0.02)
    assert choose(plan_fit(clip, **options, size="10K"), clip).model["size"] == "10K"
    file = ez.compress(tmp_path / "fit", tmp_path / "x.nvz", bpp=6.0, data=clip, measure=False)
    assert file.bpp == 8 * file.bytes / pixels
    assert 0.6 * 6 < file.bpp <= 6
    assert ez.fit(clip, **options, fit_frames="::2", out=tmp_path / "fit", resume=True).ended_before


def test_a_rate_that_no_network_has_is_refused_before_a_fit(tmp_path, clip):
    few = "no nerv for 6 frames of 64x36 is small enough for {} bits per pixel; ask for 2.4 or more"
    for bpp, message in ((0.01, few.format(0.01)), (2.3, few.format(2.3)), (24, "as they are take 24")):
        with pytest.raises(ConfigError, match=message):
            ez.fit(clip, "nerv", bpp=bpp, device="cpu", out=tmp_path / "fit")
        with pytest.raises(ConfigError, match=message):
            ez.rate_distortion(
                "bunny", ["nerv"], out=tmp_path / "rd", bpp=[6, bpp], fit_rates=True, codecs=[], device="cpu",
                frames="0:6", resize="64x36",
            )  # fmt: skip
    with pytest.raises(ConfigError, match="add size, that of each segment's network"):
        ez.fit_segments(clip, "nerv", bpp=6, segments=2, device="cpu", out=tmp_path / "fit")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    config = ez.create_model("nerv", frames=6, height=36, width=64, size="20K").config
    assert "size" not in plan_fit(clip, config, bpp=1.0).model  # a composition leaves nothing open


@pytest.mark.parametrize("parameters", [1500.0, 123_456.0, 999_900.0, 99.6e6, 1.05e8, 2.34e9])
def test_a_size_that_is_chosen_can_be_read(parameters, monkeypatch):
    texts = []
    monkeypatch.setattr(choice, "nearest_size", lambda model, info: texts.append(model["size"]) or "1M")
    plan = plan_fit("bunny", recipe="auto", resize="full", device="cpu")
    choice._decided(plan, ez.VideoInfo(9, 36, 64), choice.Sizes(36 * 64, parameters, 40))
    assert parse_parameter_count(texts[0]) == pytest.approx(parameters, rel=0.05)


def test_other_families_and_fixed_widths_have_a_choice(machine):
    machine(TWO_CORES)
    clip = np.zeros((8, 36, 64, 3), np.uint8)
    plan = choose(plan_fit(clip, "enerv", recipe="auto", time_budget=60.0, device="cpu"), clip)
    assert (plan.model["name"], plan.fit.time_budget, plan.fit.batch_size) == ("enerv", 60, 2)
    assert chosen_config(plan.model, ez.VideoInfo(8, 36, 64)).family == "enerv"
    fixed = {"width": 24, "channels": 3}
    plan = choose(plan_fit(clip, recipe="auto", model_options=fixed, device="cpu"), clip)
    assert plan.model == {"name": "pca_nerv", **fixed}


@pytest.mark.parametrize("shape", [(1, 33, 17), (8, 33, 17), (3, 5, 4), (2, 64, 48), (100, 40, 30), (1, 1, 1)])
def test_the_smallest_clips_have_a_network(shape, machine):
    machine(TWO_CORES)
    frames, width, height = shape
    clip = np.zeros((frames, height, width, 3), np.uint8)
    plan = choose(plan_fit(clip, recipe="auto", device="cpu"), clip)
    assert chosen_config(plan.model, ez.VideoInfo(frames, height, width)).family == "pca_nerv"


def test_a_memory_that_does_not_suffice_gets_smaller_frames(machine, monkeypatch):
    frames, width, height = CLIPS["phone"]
    machine(GPU, frames, width, height)

    def measure(plan, info, seconds):
        return SimpleNamespace(frames_per_second=0.0 if info.width * info.height > 10**6 else 1e4)

    monkeypatch.setattr(choice, "measure_fit", measure)
    _, info = chosen(frames, width, height)
    assert info.width * info.height <= 1.2e6


def test_too_little_time_is_said_with_what_would_do(machine, caplog):
    frames, width, height = CLIPS["minute"]
    machine(TWO_CORES / 10, frames, width, height)
    chosen(frames, width, height, time_budget=60.0)
    assert "epochs of 1800 frames" in caplog.text
    assert "time_budget" in caplog.text
    assert "frames='::" in caplog.text


def test_a_clip_is_looked_at_before_it_is_read(tmp_path):
    plan = plan_fit("bunny", recipe="auto", frames="0:100:2", crop="640x480", device="cpu")
    clip = look("bunny", plan, frames=2)
    assert (clip.info.frames, clip.info.size_text) == (50, "640x480")
    assert clip.reading > 0
    pictures = np.zeros((5, 17, 33, 3), np.uint8)
    assert look(pictures, plan_fit(None, recipe="auto", resize="20x10", device="cpu")).info == ez.VideoInfo(5, 10, 20)


def test_auto_is_what_a_fit_is_where_nothing_names_a_network():
    assert default_recipe(None, None, None) == default_recipe(None, None, {}) == "auto"
    assert default_recipe(None, "enerv", None) is default_recipe(None, None, {"fc_dim": 8}) is None
    assert default_recipe("quick", None, None) == "quick"


def test_auto_is_quick_for_a_time_and_large_frames():
    auto, quick = read_recipe("auto").fit, read_recipe("quick").fit
    assert auto.pop("time_budget") == 300
    assert auto == {**{key: value for key, value in quick.items() if key != "epochs"}, "batch_size": 2, "lr": 6e-3}


def test_a_comparison_has_one_size_of_frames():
    with pytest.raises(ConfigError, match="one size of frames"):
        ez.compare("bunny", ["nerv", "pca_nerv"], out="runs", recipe="auto")


@pytest.fixture(scope="module")
def clip():
    return open_video("bunny", frames="0:6", resize="64x36")


class Stop(ez.Callback):
    """Ends a fit after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step(self, fitter):
        if fitter.frames_fitted >= self.steps * fitter.batch_size:
            raise RuntimeError("stopped")


def test_a_fit_is_chosen_recorded_and_gone_on_with_as_it_was(clip, tmp_path, machine):
    options = {"time_budget": 60.0, "device": "cpu", "out": tmp_path / "fit", "checkpoint_every": 0}
    measured = machine(TWO_CORES)
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit(clip, callbacks=[Stop(2)], **options)
    record = json.loads((tmp_path / "fit" / "fit.json").read_text())
    assert measured == ["64x36"]
    assert record["model"]["name"] == "pca_nerv"
    assert record["model"]["size"] != "auto"
    assert "resize" not in record["video"]
    measured = machine(TWO_CORES / 1000)  # now it would choose otherwise
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit(clip, resume=True, callbacks=[Stop(4)], **options)
    assert measured == []
    assert json.loads((tmp_path / "fit" / "fit.json").read_text()) == record
    with pytest.raises(FitError, match="time_budget was 60"):
        ez.fit(clip, resume=True, **{**options, "time_budget": 30.0})


def test_a_fit_of_before_auto_was_the_default_goes_on_as_it_was(clip, tmp_path):
    options = {"size": "60K", "epochs": 1, "batch_size": 6, "loss": "L2", "device": "cpu", "out": tmp_path / "fit"}
    ez.fit(clip, "enerv", **options)
    assert ez.fit(clip, resume=True, **options).ended_before


def test_segments_are_chosen_once_for_all(tmp_path, machine):
    machine(TWO_CORES)
    result = ez.fit_segments(
        "bunny", frames="0:4", crop="64x36", segments="2", epochs=1, device="cpu", out=tmp_path / "fit"
    )
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "fit").rglob("fit.json"))]
    assert len(records) == 3
    assert len({json.dumps(record["model"]) for record in records}) == 1
    assert records[0]["model"]["size"] != "auto"
    assert result.metrics["segments"] == 2


def test_a_plan_keeps_plain_numbers_and_text():
    """As its record does, whatever the caller counted with."""
    options = {"frames": slice(np.int64(2), 12, 2), "resize": (np.int64(36), 64), "epochs": np.int32(3)}
    plan = plan_fit("bunny", model="nerv", device="cpu", **options)
    assert plan.video["frames"] == "2:12:2"
    assert json.loads(json.dumps(plan.video)) == {**plan.video, "resize": [36, 64]}
    assert type(plan.fit.epochs) is int
