"""Rate against quality: points are files, curves are compared, and what was measured is kept."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.batch import plan_rates, rate_distortion, rate_points
from enerv_zoo.batch.rate_tables import points_table, read_curves
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
    rising = curve("x", (0.3, 33), (0.1, 30), (0.2, 29), (0.2, 32), (0.4, 33)).best()
    assert [(point.bpp, point.psnr) for point in rising] == [(0.1, 30), (0.2, 32), (0.3, 33)]


def test_points_that_do_not_count_are_named():
    points = ((0.1, 28), (0.2, 31), (0.29, 31.5), (0.3, 33), (0.4, 34), (0.35, 33.0))
    named = [dataclasses.replace(p, setting=f"qp {n}") for n, p in enumerate(curve("x", *points).points)]
    full = RateCurve("x", {}, tuple(named))
    assert [(point.setting, why) for point, why in full.left_out()] == [
        ("qp 2", "below the convex hull"),
        ("qp 5", "dominated by qp 3"),
    ]
    assert full.to_dict()["left_out"] == {"qp 2": "below the convex hull", "qp 5": "dominated by qp 3"}
    rows = {row["setting"]: row for row in points_table([full]).rows}
    assert (rows["qp 5"]["left_out"], rows["qp 4"]["left_out"]) == ("dominated by qp 3", "")


def test_gains_are_bjontegaards_and_say_why_one_is_missing():
    anchor = curve("x264", (0.05, 30.1), (0.11, 33.2), (0.24, 36.4), (0.52, 39.0))
    cheaper = curve("a", *((0.8 * p.bpp, p.psnr) for p in anchor.points))
    worse = curve("b", *((0.9 * p.bpp, p.psnr - 20) for p in anchor.points))
    first, second, third, _ = gains([anchor, cheaper, worse], "x264")
    assert [(gain.curve, gain.metric, gain.missing) for gain in (first, third)] == [
        ("a", "psnr", None),
        ("a", "ms_ssim", None),
    ]
    assert [first.bd_rate, first.bd_rate_pchip, third.bd_rate] == pytest.approx([-20] * 3)
    assert first.to_dict().keys() > {"bd_psnr", "bd_rate_pchip", "metric"}
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
    (tmp_path / "take:1.webm").write_bytes((tmp_path / "x.webm").read_bytes())
    assert (
        source_rate(tmp_path / "take:1.webm") == source_rate(tmp_path / "x.webm") == source_rate(tmp_path / "x.webm", 0)
    )
    assert source_rate(tmp_path / "x.webm", 1) is None
    assert source_rate(tmp_path / "images") is source_rate(tmp_path / "text.mp4") is None


def test_families_and_codecs_on_the_same_frames_and_nothing_twice(tmp_path, monkeypatch):
    asked = dict(sizes=["60K", "90K"], bits=[8, 6, 4], codecs=["x264"], out=tmp_path, **OPTIONS)
    result = rate_distortion("bunny", ["nerv"], **asked)
    assert result.video == {"name": "bunny", "frames": 6, "height": 36, "width": 64}
    nerv, x264 = result.curves
    assert (nerv.name, len(nerv.points), x264.name, len(x264.points)) == ("nerv", 6, "x264", 5)
    assert [gain.curve for gain in result.gains] == ["nerv"]
    assert (result.gains[0].bd_rate is None) == (result.gains[0].missing is not None)
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

    monkeypatch.setattr(rate_points, "compress", forbidden)
    monkeypatch.setattr(rate_points, "measure_quality", forbidden)
    again = rate_distortion("bunny", ["nerv"], **asked)
    assert again == result
    for _ in range(2):  # no file is made again for other metrics
        yuv = rate_distortion("bunny", ["nerv"], **{**asked, "codecs": [], "metrics": ["psnr_yuv"]})
        assert [point.bytes for point in yuv.curves[0].points] == [point.bytes for point in nerv.points]
        assert [list(point.scores) for point in yuv.curves[0].points] == [["psnr_yuv"]] * 6
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


def test_a_network_of_its_own_for_each_rate(tmp_path):
    rates = [5.0, 7.0]
    result = rate_distortion(
        "bunny", ["pca_nerv"], out=tmp_path, bpp=rates, fit_rates=True, codecs=[], recipe="quick",
        **CUT, epochs=3, device="cpu",
    )  # fmt: skip
    low, high = result.curves[0].points
    assert (low.bpp <= 5.0, high.bpp <= 7.0, low.bpp < high.bpp) == (True, True, True)
    assert float(high.setting.split("M")[0]) > float(low.setting.split("M")[0])
    for rate in rates:
        (fit,) = json.loads((tmp_path / "fits" / f"{rate:g}bpp" / "compare.json").read_text()).values()
        assert fit["epochs"] == 3
    with pytest.raises(ConfigError, match="give bpp"):
        rate_distortion("bunny", ["pca_nerv"], out=tmp_path / "x", fit_rates=True)


def test_a_ladder_goes_on_from_each_rate_to_the_next_lower_one(tmp_path):
    asked = dict(bpp=[5.0, 7.0], fit_rates=True, ladder=0.5, recipe="quick", epochs=24, batch_size=1, **CUT)
    result = rate_distortion("bunny", ["pca_nerv"], out=tmp_path, codecs=[], device="cpu", **asked)
    high, low = result.curves[0].points
    assert [point.setting.split("M, ")[1] for point in (high, low)] == ["7 bits per pixel", "5 bits per pixel"]
    assert high.setting.split("M")[0] == low.setting.split("M")[0], "one network for both"
    assert (high.bpp <= 7, low.bpp <= 5) == (True, True)
    assert result.curves[0].settings["epochs"] == "24, then 12"
    fresh, going_on = (
        [json.loads(row) for row in (tmp_path / f"fits/{rate}bpp/pca_nerv/history.jsonl").open()] for rate in (7, 5)
    )
    assert (len(fresh), len(going_on)) == (24, 12)
    assert going_on[0]["psnr"] == pytest.approx(fresh[-1]["psnr"], abs=2), "it begins with the network above"
    assert low.psnr > high.psnr - 5, "and keeps most of it"
    assert fresh[-1]["psnr"] > fresh[0]["psnr"] + 8, "bits do not ruin a short fit"
    assert rate_distortion("bunny", ["pca_nerv"], out=tmp_path, codecs=[], device="cpu", **asked) == result


def test_the_rungs_of_a_ladder():
    asked = dict(bpp=[5.0, 7.0, 6.0], fit_rates=True, ladder=0.25, **CUT)
    fits = plan_rates("bunny", ["pca_nerv"], recipe="quick", epochs=10, **asked)
    assert [(each.name, each.after) for each in fits] == [
        ("fits/7bpp", None), ("fits/6bpp", "fits/7bpp"), ("fits/5bpp", "fits/6bpp")
    ]  # fmt: skip
    assert [[plan.fit.epochs for plan in each.plans.values()] for each in fits] == [[10], [2], [2]]
    assert [each.plans["pca_nerv"].fit.bpp for each in fits] == [7, 6, 5]
    highest, middle, lowest = (each.plans["pca_nerv"].model for each in fits)
    assert highest["size"] == "auto"
    assert middle == lowest
    assert middle["size"] == pytest.approx((7 * 6 * 64 * 36 - 8 * 1600) / 2, rel=0.02), "the one that suits 7"
    timed = plan_rates("bunny", ["pca_nerv"], recipe="quick", time_budget=60.0, sizes=["60K"], **asked)
    assert [each.plans["pca_nerv"].fit.time_budget for each in timed] == [60, 15, 15]
    assert {each.plans["pca_nerv"].model["size"] for each in timed} == {"60K"}
    with pytest.raises(ConfigError, match="one phase each"):
        plan_rates("bunny", ["pca_nerv"], recipe="quick", phases=[{"epochs": 2}], **asked)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(ladder=0.5, bpp=[5.0, 7.0]), "add fit_rates"),
        (dict(ladder=0.5, bpp=[5.0], fit_rates=True), "two rates or more, .* got 1"),
        (dict(ladder=0.0, bpp=[5.0, 7.0], fit_rates=True), "above 0, up to 1; got 0"),
        (dict(ladder=1.5, bpp=[5.0, 7.0], fit_rates=True), "above 0, up to 1; got 1.5"),
    ],
)
def test_a_ladder_that_cannot_be_is_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        rate_distortion("bunny", ["pca_nerv"], out=tmp_path / "x", codecs=[], **CUT, **options)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {"codecs": []}, "name families, codecs and curves, each once; got none"),
        ([], {"codecs": ["x264", "x264"]}, "each once"),
        (["nerv"], {"codecs": ["x264"], "bits": []}, "name the bits of the weights"),
        ([], {"codecs": ["x264"], "anchor": "vp9"}, "the anchor is one of x264, got 'vp9'"),
        ([], {"codecs": ["x266"]}, "unknown anchor 'x266'"),
        (["nerv"], {"bits": [8, 99]}, "coded in 2 to 16 bits, got 99"),
        (["nerv"], {"codecs": ["x264"], "resize": "64x33"}, "codecs need even sides, the frames are 64x33"),
        (["nervv"], {"codecs": []}, "unknown model 'nervv'"),
        (["nerv"], {"codecs": [], "sizes": ["60K", "12"]}, "cannot have 12 stored parameters"),
        (["nerv"], {"codecs": ["x264:preset=slo"]}, "does not encode frames of 64x36"),
        (["nerv"], {"codecs": [], "metrics": ["ms_ssim", "psnr"]}, "name another metric first"),
        ([], {"codecs": ["x264"], "count": "container"}, "count is file or stream, got 'container'"),
        ([], {"codecs": ["x264"], "curves": ["no.csv"]}, "no.csv: cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(tmp_path, models, options, message):
    with pytest.raises((ConfigError, VideoError), match=message):
        rate_distortion("bunny", models, out=tmp_path / "rd", **{**CUT, **options})
    assert not (tmp_path / "rd").exists()


def test_curves_of_ones_own_and_files_for_papers(tmp_path, cli):
    own = tmp_path / "mine.csv"
    own.write_text("curve,setting,bytes,psnr\n" + "".join(f"ours,{n},{400 * n},{26 + 2 * n}\n" for n in range(1, 6)))
    cut = ("--frames", "0:3", "--resize", "64x36", "--models", "", "--codecs", "x264:gop=1,preset=fast")
    files = [tmp_path / f"x{suffix}" for suffix in (".csv", ".tex", ".md", ".pdf", ".svg")]
    exports = [word for file in files for word in ("--figure" if file.suffix in (".pdf", ".svg") else "--table", file)]
    code, out, err = cli(
        "rd", "bunny", *cut, "--curves", own, "--count", "stream", *exports, "--no-report", "--out", tmp_path / "rd"
    )
    assert code == 0, err
    assert re.search(r"raw\s[\s\S]*stream", out)
    x264, ours = json.loads((tmp_path / "rd" / "rd.json").read_text())["curves"]
    assert (x264["name"], ours["name"], ours["settings"]) == (
        "x264:gop=1,preset=fast",
        "ours",
        {"read from": "mine.csv"},
    )
    pixels = 3 * 36 * 64
    for point in x264["points"]:
        assert point["bpp"] == pytest.approx(8 * point["stream_bytes"] / pixels)
        assert point["stream_bytes"] < point["bytes"]
    assert [point["bpp"] for point in ours["points"]] == pytest.approx([3200 * n / pixels for n in range(1, 6)])
    assert ours["points"][0]["encode_seconds"] is None
    again = {curve.name: [point.to_dict() for point in curve.points] for curve in read_curves(files[0], pixels, "psnr")}
    for each in (x264, ours):  # what was written is read to the same points, those that are too small for MS-SSIM
        points = [{key: value for key, value in point.items() if key != "ms_ssim"} for point in each["points"]]
        assert again[each["name"]] == sorted(points, key=lambda point: point["bpp"])
    tex, markdown = files[1].read_text(), files[2].read_text()
    assert "against x264:gop=1,preset=fast & BD-rate, PSNR & with pchip & BD-PSNR" in tex
    assert "| ours |" in markdown
    assert files[3].read_bytes().startswith(b"%PDF")
    assert "<svg" in files[4].read_text()
    code, _, err = cli("rd", "bunny", *cut, "--table", own / "x.csv", "--out", tmp_path / "other")
    assert code == 1
    assert "no file can be written there" in " ".join(err.split())
    code, _, err = cli("rd", "bunny", *cut, "--figure", "x.gif", "--out", tmp_path / "other")
    assert "rates are written to files that end in .csv, .md, .tex, .json, .pdf, .png, .svg" in " ".join(err.split())
    assert not (tmp_path / "other").exists()


def test_names_of_curves_are_texts_and_other_columns_nothing(tmp_path):
    names = ["23.1", "23.10", "1.10", "on", "#1 ours", "Ours: fast", "[5] HNeRV", "@home"]
    rows = "".join(f'"{name}",0.{n + 1},{30 + n},[12] et al.\n' for name in names for n in range(2))
    (tmp_path / "x.csv").write_text("curve,bpp,psnr,note\n" + rows + '"lossless",9,inf,\n')
    curves = read_curves(tmp_path / "x.csv", 1000, "psnr")
    assert [curve.name for curve in curves] == [*names, "lossless"]
    assert [len(curve.points) for curve in curves] == [2] * len(names) + [1]
    assert curves[-1].points[0].psnr == math.inf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bpp,psnr\n0.1,x\n", "row 1: psnr is 'x', expected a number"),
        ("bpp,ms_ssim\n0.1,0.9\n", "row 1 needs bpp or bytes, and psnr; it has bpp, ms_ssim"),
        ("bpp,psnr\n0.1,30\n,31\n", "row 2 needs bpp or bytes, and psnr; it has psnr"),
        ("bpp,psnr\n0,30\n", "row 1: 0 bits per pixel, expected more than 0"),
        ("bpp,psnr\n", "has no rows of a point each"),
        ("bpp,psnr\n0.1,30,31\n", "row 1 has more cells than the header has columns"),
    ],
)
def test_tables_that_are_no_curves(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_curves(tmp_path / "x.csv", 1000, "psnr")
    assert message in str(refused.value)


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
