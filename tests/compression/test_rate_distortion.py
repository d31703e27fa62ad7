"""Rate against quality: points are files, curves are compared, and what was measured is kept."""

from __future__ import annotations

import json

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.batch import curves, rate_distortion
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.evaluation import RateCurve, RatePoint, plot_rates
from enerv_zoo.evaluation.rates import gains, measure_network, scored, source_rate

CUT = {"frames": "0:6", "resize": "64x36"}
OPTIONS = {**CUT, "epochs": 2, "batch_size": 2, "loss": "L2", "lr": 3e-3, "device": "cpu"}


def curve(name, *points):
    return RateCurve(
        name, {}, tuple(RatePoint("", int(1000 * r), r, {"psnr": q, "ms_ssim": q / 50}, 1.0, 1.0) for r, q in points)
    )


def test_only_points_that_nothing_beats_count():
    hull = curve("x", (0.1, 28), (0.2, 31), (0.29, 31.5), (0.3, 33), (0.4, 34), (0.35, 33.4)).best()
    assert [point.quality() for point in hull] == [28, 31, 33, 34]
    found = curve("x", (0.3, 33), (0.1, 30), (0.2, 29), (0.2, 32), (0.4, 33)).best()
    assert [(point.bpp, point.psnr) for point in found] == [(0.1, 30), (0.2, 32), (0.3, 33)]


def test_gains_are_bjontegaards_and_say_why_one_is_missing():
    anchor = curve("x264", (0.05, 30.1), (0.11, 33.2), (0.24, 36.4), (0.52, 39.0))
    cheaper = curve("a", *((0.8 * p.bpp, p.psnr) for p in anchor.points))
    worse = curve("b", *((0.9 * p.bpp, p.psnr - 20) for p in anchor.points))
    first, second = gains([anchor, cheaper, worse], "x264")
    assert (first.curve, first.missing) == ("a", None)
    assert first.bd_rate == pytest.approx(-20)
    assert second.bd_rate is None
    assert second.bd_quality < -19
    assert "share no quality" in second.missing
    with pytest.raises(ConfigError, match="Did you mean 'x264'"):
        gains([anchor, cheaper], "x265")


def test_8_bit_frames_are_scored_alike_however_they_come():
    originals = torch.randint(0, 256, (11, 3, 176, 180), dtype=torch.uint8)
    noisy = (originals.int() + torch.randint(-9, 10, originals.shape)).clamp(0, 255).to(torch.uint8)
    scores = scored([noisy], originals)
    quality, similarity = scores.values()
    expected = (10 * torch.log10(255**2 / (noisy.double() - originals.double()).square().mean((1, 2, 3)))).mean()
    assert quality == pytest.approx(float(expected), abs=1e-4)
    assert 0.9 < similarity < 1
    assert scored(noisy.split(3), originals) == pytest.approx(scores)
    assert scored([originals[:, :, :100]], originals[:, :, :100])["ms_ssim"] is None


def test_a_network_is_measured_as_a_viewer_sees_it():
    info = ez.VideoInfo(frames=4, height=36, width=64, name="x")
    video = ez.create_model("nerv", info=info, size="60K").eval()
    original = ez.open_video("bunny", frames="0:4", resize="64x36")
    point = measure_network(video, original, "float", 1000, 2.5)
    assert point.bpp == 8000 / (4 * 36 * 64)
    assert point.psnr == pytest.approx(scored([video[:]], original.frames)["psnr"])
    assert point.psnr == pytest.approx(ez.evaluate(video, original).psnr, abs=0.02)
    assert (point.setting, point.encode_seconds) == ("float", 2.5)
    assert point.decode_fps > 0


def test_what_a_source_is_compressed_with_already(tmp_path):
    bunny = source_rate("bunny")
    assert bunny["codec"] == "h264"
    assert bunny["bpp"] == pytest.approx(0.0523, abs=1e-4), "its 795,933 bytes of video; 0.069 with sound"
    ez.write_video(tmp_path / "x.webm", ez.open_video("bunny", **CUT))
    assert source_rate(tmp_path / "x.webm")["codec"] != "h264"
    (tmp_path / "images").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    assert source_rate(tmp_path / "images") is source_rate(tmp_path / "text.mp4") is None


def test_families_and_codecs_on_the_same_frames_and_nothing_twice(tmp_path, monkeypatch):
    asked = dict(sizes=["60K", "90K"], bits=[8, 6, 4], codecs=["x264"], out=tmp_path, **OPTIONS)
    result = rate_distortion("bunny", ["nerv"], **asked)
    assert result.video == {"name": "bunny", "frames": 6, "height": 36, "width": 64}
    nerv, x264 = result.curves
    assert (nerv.name, len(nerv.points), x264.name, len(x264.points)) == ("nerv", 6, "x264", 5)
    assert [gain.curve for gain in result.gains] == ["nerv"]
    assert (result.gains[0].bd_rate is None) == (result.gains[0].missing is not None or False)
    by_setting = {point.setting: point for point in nerv.points}
    point = by_setting["0.06M, 6 bits"]
    file = tmp_path / "nerv-60k-6bit.nvz"
    assert point.bytes == file.stat().st_size
    assert point.bpp == 8 * point.bytes / (6 * 36 * 64)
    assert point.psnr == pytest.approx(scored([ez.load(file)[:]], ez.open_video("bunny", **CUT).frames)["psnr"])
    fit = json.loads((tmp_path / "fits" / "nerv-60k" / "metrics.json").read_text())
    assert point.encode_seconds > fit["fit_seconds"]
    assert json.loads((tmp_path / "rd.json").read_text()) == json.loads(json.dumps(result.to_dict()))
    assert (tmp_path / "rd.png").stat().st_size > 10_000

    def forbidden(*args, **kwargs):
        raise AssertionError("done before")

    monkeypatch.setattr(curves, "compress", forbidden)
    monkeypatch.setattr(curves, "measure_codec", forbidden)
    again = rate_distortion("bunny", ["nerv"], **asked)
    assert again == result
    file.unlink()  # it alone is made again
    with pytest.raises(AssertionError, match="done before"):
        rate_distortion("bunny", ["nerv"], **asked)
    monkeypatch.undo()
    rates = rate_distortion("bunny", ["nerv"], **{**asked, "bits": None, "bpp": [20.0, 30.0], "codecs": []})
    assert [point.setting for point in rates.curves[0].points] == [
        f"{size}M, {rate} bits per pixel" for size in ("0.06", "0.09") for rate in (20, 30)
    ]
    assert all(point.bpp <= float(point.setting.split()[1]) for point in rates.curves[0].points)
    with pytest.raises(ConfigError, match="nerv: no target can be met by any of its networks"):
        rate_distortion("bunny", ["nerv"], **{**asked, "bits": None, "bpp": [0.1]})


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {"codecs": []}, "name families and codecs to measure, each once; got none"),
        ([], {"codecs": ["x264", "x264"]}, "each once"),
        (["nerv"], {"codecs": ["x264"], "bits": []}, "name the bits of the weights"),
        ([], {"codecs": ["x264"], "anchor": "vp9"}, "the anchor is one of x264, got 'vp9'"),
        ([], {"codecs": ["x266"]}, "unknown anchor 'x266'"),
        (["nerv"], {"bits": [8, 99]}, "coded in 2 to 16 bits, got 99"),
        (["nerv"], {"codecs": ["x264"], "resize": "64x33"}, "codecs need even sides, the frames are 64x33"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(tmp_path, models, options, message):
    with pytest.raises((ConfigError, VideoError), match=message):
        rate_distortion("bunny", models, out=tmp_path / "rd", **{**CUT, **options})
    assert not (tmp_path / "rd").exists()


def test_on_the_command_line(tmp_path, cli):
    cut = ("--frames", "0:3", "--resize", "64x36", "--out", tmp_path)
    code, out, err = cli("rd", "bunny", "--models", "", "--codecs", "x264,vp9", *cut)
    assert code == 0
    for word in ("crf 27", "against x264", "BD-rate", "is itself h264 of 0.052 bits per pixel", "rd.png"):
        assert word in out
    assert "vp9 at crf 38" in err
    code, out, err = cli("rd", "bunny", "--models", "", "--codecs", "x264,vp9", *cut, "--json")
    assert [curve["name"] for curve in json.loads(out)["curves"]] == ["x264", "vp9"]
    assert "at crf" not in err, "nothing is measured twice"
    code, _, err = cli("rd", "bunny", "--bits", "8,six", *cut)
    assert code == 2
    assert "expected integers separated by commas" in err


def test_curves_are_drawn_with_and_without_ms_ssim(tmp_path):
    with_both = curve("x", (0.1, 30), (0.2, 32))
    plot_rates([with_both], tmp_path / "two.png")
    bare = RateCurve(
        "y", {}, tuple(RatePoint("", 1, p.bpp, {"psnr": p.psnr, "ms_ssim": None}, 1.0, 1.0) for p in with_both.points)
    )
    plot_rates([with_both, bare], tmp_path / "one.png")
    from PIL import Image

    assert Image.open(tmp_path / "two.png").width == 2 * Image.open(tmp_path / "one.png").width
