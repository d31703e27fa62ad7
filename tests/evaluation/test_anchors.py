"""Codecs on real frames, and curves compared by Bjontegaard's definition."""

from __future__ import annotations

import json
import os
import zlib

import av
import numpy as np
import pytest
import torch

from enerv_zoo.errors import ConfigError, EnervZooError, VideoError
from enerv_zoo.evaluation.anchors import CODECS, available, build_anchor, measure_codec
from enerv_zoo.evaluation.bjontegaard import bd_quality, bd_rate
from enerv_zoo.registry import anchors
from enerv_zoo.video import open_video

ANCHOR = [(0.05, 30.1), (0.11, 33.2), (0.24, 36.4), (0.52, 39.0)]
TEST = [(0.04, 30.4), (0.09, 33.9), (0.19, 36.8), (0.43, 39.9)]


@pytest.fixture(scope="module")
def clip():
    return open_video("bunny", frames="0:8", resize="96x64")


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_trades_bytes_for_quality(name, clip):
    if reason := build_anchor(name).missing():
        pytest.skip(reason)
    good, small = measure_codec(name, clip, (20, 45))
    assert good.bytes > small.bytes > 0
    assert good.psnr > small.psnr > 15
    assert good.psnr > 30
    assert good.bpp == pytest.approx(8 * good.bytes / (8 * 64 * 96))
    assert good.ms_ssim is None
    assert good.encode_seconds > 0 < good.decode_fps
    assert (good.setting, small.setting) == ("crf 20", "crf 45")


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="the system has no such policies")
@pytest.mark.parametrize("name", CODECS)
def test_no_codec_takes_real_time_priority(name, clip):
    """SVT-AV1 does so where it may, for the thread that opens it, and for good."""
    if reason := build_anchor(name).missing():
        pytest.skip(reason)
    usual = os.sched_getscheduler(0)
    next(measure_codec(name, clip, (45,)))
    assert os.sched_getscheduler(0) == usual


def test_a_missing_codec_is_left_out_with_a_line(monkeypatch, caplog):
    monkeypatch.setattr(av, "codecs_available", {"libx264"})
    assert available(["x264", "x265"]) == ["x264"]
    assert "libx265" in caplog.text


class Coarse:
    """A codec of a plug-in: frames with their lowest bits cut off, deflated."""

    ladder, unit = (1, 3, 5), "bits cut off"

    def __init__(self, *, level: int = 9):
        self.settings, self.level = {"level": str(level)}, level

    def missing(self):
        return None

    def unsupported(self, info):
        return "frames are narrow" if info.width < 8 else None

    def encode(self, frames, quality):
        cut = frames.frames.permute(0, 2, 3, 1).numpy() >> int(quality) << int(quality)
        head = np.array(cut.shape, "<u4").tobytes()
        return head + zlib.compress(cut.tobytes(), self.level)

    def decode(self, data):
        frames = np.frombuffer(zlib.decompress(data[16:]), np.uint8).reshape(np.frombuffer(data[:16], "<u4"))
        yield from torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)


@pytest.fixture
def coarse():
    anchors.register("coarse")(Coarse)


def test_a_registered_codec_is_measured_and_compared(coarse, clip, tmp_path, cli):
    good, small = measure_codec({"name": "coarse", "level": 1}, clip, (1, 5))
    assert (good.setting, small.setting) == ("bits cut off 1", "bits cut off 5")
    assert good.bytes > small.bytes > 0
    assert good.psnr > 48 > small.psnr
    cut = ("--frames", "0:3", "--resize", "64x36", "--out", tmp_path)
    code, _, err = cli("rd", "bunny", "--models", "", "--codecs", "x264,coarse", *cut)
    assert code == 0, err
    curve = json.loads((tmp_path / "rd.json").read_text())["curves"][1]
    assert (curve["name"], curve["settings"], len(curve["points"])) == ("coarse", {"level": "9"}, 3)
    assert "bits cut off 3" in [point["setting"] for point in curve["points"]]
    with pytest.raises(VideoError, match="frames are narrow"):
        next(measure_codec("coarse", open_video("bunny", frames="0:2", resize="6x6")))


def test_codecs_that_break_the_contract_are_named(coarse, clip, monkeypatch):
    monkeypatch.setattr(Coarse, "decode", lambda self, data: iter([torch.zeros(3, 64, 96)] * 8))
    with pytest.raises(VideoError, match=r"coarse gave a frame of torch.float32 \(3, 64, 96\), expected uint8"):
        next(measure_codec("coarse", clip))
    monkeypatch.setattr(Coarse, "decode", lambda self, data: iter([]))
    with pytest.raises(VideoError, match="coarse at 1 gave 0 frames back of 8"):
        next(measure_codec("coarse", clip))
    monkeypatch.delattr(Coarse, "decode")
    with pytest.raises(ConfigError, match="anchor 'coarse': Coarse has no 'decode', which an anchor needs"):
        next(measure_codec("coarse", clip))


def test_bad_input_is_named(clip):
    with pytest.raises(ConfigError, match=r"Did you mean 'x265'"):
        available(["x266"])
    with pytest.raises(ConfigError, match="0 to 51, got 60"):
        next(measure_codec("x264", clip, (60,)))
    with pytest.raises(VideoError, match="even sides"):
        next(measure_codec("x264", open_video("bunny", frames="0:2", resize="96x63")))


def _by_definition(anchor, test):
    """VCEG-M33: cubics through log rate over quality, their mean distance over the common range, in per cent."""
    logs = [np.polyfit([q for _, q in curve], np.log10([r for r, _ in curve]), 3) for curve in (anchor, test)]
    low, high = max(anchor[0][1], test[0][1]), min(anchor[-1][1], test[-1][1])
    areas = [np.diff(np.polyval(np.polyint(fit), [low, high]))[0] for fit in logs]
    return (10 ** ((areas[1] - areas[0]) / (high - low)) - 1) * 100


def test_bd_rate_is_what_the_definition_says():
    assert bd_rate(ANCHOR, TEST, "cubic") == pytest.approx(_by_definition(ANCHOR, TEST), abs=1e-6)


@pytest.mark.parametrize("method", ["cubic", "pchip", "akima"])
def test_known_distances(method):
    assert bd_rate(ANCHOR, [(0.8 * rate, q) for rate, q in ANCHOR], method) == pytest.approx(-20)
    assert bd_quality(ANCHOR, [(rate, q + 1.5) for rate, q in reversed(ANCHOR)], method) == pytest.approx(1.5)


def test_curves_that_cannot_be_compared():
    with pytest.raises(EnervZooError, match="share no quality"):
        bd_rate(ANCHOR, [(rate, q + 20) for rate, q in ANCHOR])
    with pytest.raises(EnervZooError, match="share no rate"):
        bd_quality(ANCHOR, [(100 * rate, q) for rate, q in ANCHOR])
    with pytest.raises(EnervZooError, match="3 points"):
        bd_rate(ANCHOR[:3], TEST)
    with pytest.raises(EnervZooError, match="does not rise"):
        bd_rate(ANCHOR, [*TEST[:3], (0.5, 20.0)])
