"""What a fit will need in memory."""

from __future__ import annotations

import logging

import pytest

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.errors import FitError
from enerv_zoo.fitting.memory import MemoryNeed, frames_at_once, memory_need, saved_bytes


@pytest.mark.parametrize("name", ["nerv", "enerv"])
@pytest.mark.parametrize("loss", ["L2", "Fusion6"])
def test_what_is_counted_on_shapes_is_what_is_kept(name, loss):
    video = ez.create_model(name, frames=6, height=35, width=62, size="80K")
    config = FitConfig(batch_size=3, loss=loss)
    need = memory_need(video, config)
    assert need.saved == saved_bytes(video, config, 3)
    assert need.weights == 40 * video.stored_numbers
    assert need.frames == 6 * 3 * 35 * 62
    assert memory_need(video, FitConfig(batch_size=6, loss=loss)).saved == pytest.approx(2 * need.saved, rel=0.3)


def test_a_part_that_cannot_compute_on_shapes_alone_counts_as_nothing(monkeypatch):
    """As one that reads a value: a fit that takes too much divides its batches."""
    video = ez.create_model("nerv", frames=6, height=35, width=62, size="80K")
    decode = type(video).objective

    def reading(self, index, *rest):
        int(index[0])
        return decode(self, index, *rest)

    monkeypatch.setattr(type(video), "objective", reading)
    assert saved_bytes(video.to("meta"), FitConfig(batch_size=3, loss="L2"), 3) == 0


def test_of_several_phases_the_one_that_keeps_most_counts():
    video = ez.create_model("nerv", frames=6, height=35, width=62, size="80K")
    dear = FitConfig(batch_size=3, loss="Fusion6", ema=0.9)
    phases = FitConfig(batch_size=2, loss="L2", phases=({"epochs": 1, "batch_size": 3, "loss": "Fusion6", "ema": 0.9},))
    assert memory_need(video, phases) == memory_need(video, dear)
    assert memory_need(video, dear).weights == 52 * video.stored_numbers


def test_as_many_frames_pass_at_once_as_memory_has_room_for(caplog):
    need = MemoryNeed(weights=100, saved=400, frames=0, batch=4)  # 100 a frame, 200 on the way back
    assert frames_at_once(need, 8, None) == 8
    assert frames_at_once(need, 8, 1700) == 8
    assert not caplog.messages
    assert frames_at_once(need, 8, 1699) == 4
    assert "4 of 8 frames pass at once" in caplog.text
    assert frames_at_once(need, 8, 300) == 1
    assert frames_at_once(need, 8, 200) == 1  # the estimate is an upper one
    with pytest.raises(FitError, match=r"needs at least 0 MB of memory, 0 are available; fit a smaller network"):
        frames_at_once(need, 8, 199)


def test_a_fit_that_memory_has_no_room_for_is_refused_before_it_takes_any(monkeypatch, tmp_path):
    clip = ez.open_video("bunny", frames="0:4", resize="64x36")
    monkeypatch.setattr("enerv_zoo.fitting.run.available_memory", lambda: 1 << 20)
    with pytest.raises(FitError, match="1 are available"):
        ez.fit(clip, size="80K", epochs=1, batch_size=4, device="cpu", out=tmp_path / "fit")
    assert not (tmp_path / "fit").exists()
    video = ez.create_model("enerv", info=clip.info, size="80K")
    need = memory_need(video, FitConfig(batch_size=4))
    monkeypatch.setattr("enerv_zoo.fitting.run.available_memory", lambda: need.weights + need.saved)
    short = ez.fit(clip, size="80K", epochs=1, batch_size=4, device="cpu", precision="float32")
    monkeypatch.setattr("enerv_zoo.fitting.run.available_memory", lambda: None)
    ample = ez.fit(clip, size="80K", epochs=1, batch_size=4, device="cpu", precision="float32")
    assert short.metrics["psnr"] == pytest.approx(ample.metrics["psnr"], abs=1e-3)


@pytest.mark.parametrize(
    ("noted_bytes", "frames_in", "is_noted"), [(1, "host", 1), (1 << 40, "host", 0), (1 << 40, "disk", 1)]
)
def test_a_fit_says_what_it_will_need_where_that_is_much_or_frames_come_from_disk(
    caplog, monkeypatch, tmp_path, noted_bytes, frames_in, is_noted
):
    monkeypatch.setattr("enerv_zoo.fitting.run.NOTED_BYTES", noted_bytes)
    monkeypatch.setenv("ENERV_ZOO_CACHE", str(tmp_path))
    with caplog.at_level(logging.INFO):
        ez.fit("bunny", "nerv", frames="0:2", resize="64x36", size="60K", epochs=1, batch_size=2, frames_in=frames_in)
    assert caplog.text.count("fitting needs up to about ") == is_noted
