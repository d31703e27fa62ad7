"""What a fit will need in memory."""

from __future__ import annotations

import logging

import pytest

import enerv_zoo as ez
from enerv_zoo.config import FitConfig
from enerv_zoo.fitting.memory import kept_bytes, memory_need


@pytest.mark.parametrize("name", ["nerv", "enerv"])
@pytest.mark.parametrize("loss", ["L2", "Fusion6"])
def test_what_is_counted_on_shapes_is_what_is_kept(name, loss):
    video = ez.create_model(name, frames=6, height=35, width=62, size="80K")
    config = FitConfig(batch_size=3, loss=loss)
    need = memory_need(video, config)
    assert need.kept == kept_bytes(video, config, 3)
    assert need.weights == 40 * video.stored_numbers
    assert need.frames == 6 * 3 * 35 * 62
    assert memory_need(video, FitConfig(batch_size=6, loss=loss)).kept == pytest.approx(2 * need.kept, rel=0.3)


def test_a_fit_says_what_it_will_need_before_its_first_step(caplog):
    clip = ez.open_video("bunny", frames="0:2", resize="36x64")
    with caplog.at_level(logging.INFO):
        ez.fit(clip, size="80K", epochs=1)
    assert "fitting needs up to about " in caplog.text
