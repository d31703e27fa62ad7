"""Codecs on real frames, and curves compared by Bjontegaard's definition."""

from __future__ import annotations

import json
import os
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

import enerv_zoo as ez
from enerv_zoo.config import Colour
from enerv_zoo.errors import ConfigError, EnervZooError, VideoError
from enerv_zoo.evaluation import RateCurve, RatePoint, plot_rates
from enerv_zoo.evaluation.anchors import CODECS, available, measure_codec, open_codec, split_codecs
from enerv_zoo.evaluation.bjontegaard import bd_quality, bd_rate
from enerv_zoo.evaluation.pictures import rate_styles
from enerv_zoo.registry import anchors
from enerv_zoo.video import Video, open_video

ANCHOR = [(0.05, 30.1), (0.11, 33.2), (0.24, 36.4), (0.52, 39.0)]
TEST = [(0.04, 30.4), (0.09, 33.9), (0.19, 36.8), (0.43, 39.9)]


@pytest.fixture(scope="module")
def clip():
    return open_video("bunny", frames="0:8", resize="96x64")


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_trades_bytes_for_quality(name, clip):
    if reason := open_codec(name).anchor.missing():
        pytest.skip(reason)
    good, small = measure_codec(name, clip, (20, 45))
    assert good.bytes > small.bytes > 0
    assert good.psnr > small.psnr > 15
    assert good.psnr > 30
    assert good.bpp == pytest.approx(8 * good.bytes / (8 * 64 * 96))
    assert good.ms_ssim is None
    assert good.encode_seconds > 0 < good.decode_fps
    assert (good.setting, small.setting) == ("crf 20", "crf 45")
    container = {point.bytes - point.stream_bytes for point in (good, small)}
    assert all(500 < size < 1000 for size in container), "a Matroska file of 8 frames"


@pytest.mark.parametrize("width", [256, 272, 320])
def test_x264_writes_the_same_pixels_again(width):
    """As it does not by itself with AVX-512, where 8 macroblocks do not divide a row: 17 and 20 do not."""
    frames, anchor = open_video("bunny", frames="::11", resize=f"{width}x144"), open_codec("x264").anchor
    seen = {}
    for _ in range(3):
        for quality in (30, 38, 44):  # by turns, so that what is left in memory is never the same
            pixels = torch.stack(list(anchor.decode(anchor.encode(frames, quality))))
            assert torch.equal(seen.setdefault(quality, pixels), pixels)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="the system has no such policies")
@pytest.mark.parametrize("name", CODECS)
def test_no_codec_takes_real_time_priority(name, clip):
    """SVT-AV1 does so where it may, for the thread that opens it, and for good."""
    if reason := open_codec(name).anchor.missing():
        pytest.skip(reason)
    usual = os.sched_getscheduler(0)
    next(measure_codec(name, clip, (45,)))
    assert os.sched_getscheduler(0) == usual


def test_a_missing_codec_is_left_out_with_a_line(monkeypatch, caplog):
    monkeypatch.setattr(av, "codecs_available", {"libx264"})
    assert [codec.label for codec in available(["x264", "x265"])] == ["x264"]
    assert "libx265" in caplog.text
    monkeypatch.undo()
    assert available(["x264:format=bgr24"]) == []
    assert "libx264 in this build of PyAV takes no bgr24, but yuv420p" in caplog.text


def test_codecs_have_options(clip):
    plain = next(measure_codec("x264", clip, (27,)))
    options = "x264:preset=veryslow,gop=1,options={bf: 0, refs: 1},ladder=[27, 33]"
    listed = split_codecs(f"svtav1, {options},x265:gop=250,preset=fast,mine.yaml")
    assert listed == ["svtav1", options, "x265:gop=250,preset=fast", "mine.yaml"]
    intra, small = measure_codec(options, clip)
    assert (intra.setting, small.setting) == ("crf 27", "crf 33")
    assert intra.bytes > 1.5 * plain.bytes, "every frame is a key frame"
    assert open_codec(options).label == "x264:preset=veryslow,gop=1,options={bf: 0, refs: 1}"
    assert open_codec({"name": "svtav1", "ladder": [20], "preset": 9}).label == "svtav1:preset=9"
    assert open_codec(options).anchor.settings["options"] == "preset=veryslow g=1 bf=0 refs=1"
    as_spec = {"name": "x264", "preset": "veryslow", "gop": 1, "options": {"bf": 0, "refs": 1}, "ladder": [27]}
    assert next(measure_codec(as_spec, clip)).bytes == intra.bytes
    assert next(ez.measure_codec(as_spec, clip.frames)).bytes == intra.bytes


def test_ten_bits_and_full_colour(clip):
    lossless = "x265:preset=ultrafast,options={x265-params: lossless=1}"
    half, full, ten = (
        next(measure_codec(f"{lossless},format={name}", clip, (17,))).psnr
        for name in ("yuv420p", "yuv444p", "yuv444p10le")
    )
    assert half == pytest.approx(33.51, abs=0.01), "half of the colour's rows and columns are gone"
    assert half < full - 15
    assert full < ten - 3, "Y'CbCr in 8 bits is rounded"
    levels = torch.arange(8 * 64 * 96).reshape(8, 1, 64, 96).expand(8, 3, 64, 96) % 877 / 876
    deep = Video(levels.half(), replace(clip.info, colour=Colour(bits=10, matrix="bt2020nc")))
    eight, ten = (
        next(measure_codec(f"{lossless},format={name}", deep, (17,))).psnr for name in ("yuv420p", "yuv420p10le")
    )
    assert ten > 70 > 60 > eight, "frames of 10 bits are compared in 10 bits"
    assert open_codec(lossless).anchor.settings["options"] == "preset=ultrafast x265-params=lossless=1"
    assert "format" not in open_codec("x264").anchor.settings, "points of older folders are known by their settings"
    assert open_codec("x264:format=yuv420p10le").anchor.settings["format"] == "yuv420p10le"


PROGRAM = """
import sys, time, zlib
task, source, target, *rest = sys.argv[1:]
data = open(source, "rb").read()
if task == "encode":
    quality, expected = int(rest[0]), rest[1:]
    assert expected == ["96x64", "25", "8", "yuv444p"], expected
    if quality == 99:
        open(target, "wb").close()
        sys.exit("no such quality")
    if quality == 98:
        time.sleep(60)
    data = zlib.compress(bytes(value >> quality << quality for value in data))
else:
    data = zlib.decompress(data)[: -1 if rest else None]
open(target, "wb").write(data)
"""


@pytest.fixture
def program(tmp_path):
    """A codec of one's own: its YAML file, as a dict and a function that writes it."""
    (tmp_path / "own codec.py").write_text(PROGRAM)
    words = [sys.executable, "{folder}/own codec.py"]
    described = {
        "name": "mine",
        "encode": [
            *words,
            "encode",
            "{input}",
            "{output}",
            "{qp}",
            "{width}x{height}",
            "{fps}",
            "{frames}",
            "{format}",
        ],
        "decode": f"'{sys.executable}' '{{folder}}/own codec.py' decode {{input}} {{output}}",
        "format": "yuv444p",
        "ladder": [1, 3, 5],
        "timeout": 30,
    }

    def write(**changes):
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**described, **changes}))
        return str(tmp_path / "mine.yaml")

    return write


def test_a_program_is_a_codec(program, clip, tmp_path):
    good, *_, small = points = list(measure_codec(program(), replace(clip, info=replace(clip.info, fps=25.0))))
    assert [point.setting for point in points] == ["qp 1", "qp 3", "qp 5"]
    assert good.bytes > small.bytes > 0
    assert good.psnr > 40 > small.psnr > 15
    assert all(point.stream_bytes == point.bytes for point in points)
    mine = open_codec(program())
    assert mine.label == open_codec(Path(program())).label == "mine"
    assert str(tmp_path) not in str(mine.anchor.settings), "settings are published, places on this machine are not"
    assert mine.anchor.settings["id"] != open_codec(program(decode="x {input} {output}")).anchor.settings["id"]


def test_a_program_gets_its_numbers_whole(program, clip):
    echo = "import sys; open(sys.argv[2], 'w').write(sys.argv[3])"
    steps = [4_000_000, 1_234_567, 500_000.5, 22, 0.1]
    codec = open_codec(program(encode=[sys.executable, "-c", echo, "{input}", "{output}", "{qp}"])).anchor
    assert [codec.encode(clip, step).decode() for step in steps] == ["4000000", "1234567", "500000.5", "22", "0.1"]


def test_a_word_may_be_longer_than_a_name_of_a_file(program, clip):
    comment = "#" + "x" * 300
    long = [*open_codec(program()).anchor.commands["encode"], comment]
    codec = open_codec(program(encode=long)).anchor
    assert codec.programs == open_codec(program()).anchor.programs


def test_programs_that_fail_say_so(program, clip):
    clip = replace(clip, info=replace(clip.info, fps=25.0))
    with pytest.raises(VideoError, match=r"encode ended with 1: .* 99 96x64 25 8 yuv444p \(no such quality\)"):
        next(measure_codec(program(), clip, (99,)))
    with pytest.raises(VideoError, match="encode took longer than its timeout"):
        next(measure_codec(program(timeout=0.5), clip, (98,)))
    with pytest.raises(VideoError, match=r"wrote 147,455 bytes, expected 147,456: 8 frames of 96x64 as yuv444p"):
        shorter = open_codec(program()).anchor.commands["decode"]
        next(measure_codec(program(decode=[*shorter, "shorter"]), clip))
    with pytest.raises(VideoError, match=r"decode wrote no \{output\}"):
        next(measure_codec(program(decode=[sys.executable, "-c", "", "{input}", "{output}"]), clip))
    for changes, message in (
        ({"encode": "vtm {input} {output}"}, "encode needs {qp} among its words"),
        ({"decode": "vtm {input} {output} {qp}"}, "decode has {qp}, expected {input}, {output}, "),
        ({"encode": "vtm '{input}"}, "encode is no command (No closing quotation)"),
        ({"format": "yuv"}, "'yuv' is no pixel format of FFmpeg"),
        ({"ladder": []}, "ladder has values"),
        ({"qualities": [1]}, "anchor 'command' has no option 'qualities'"),
    ):
        with pytest.raises(ConfigError) as refused:
            open_codec(program(**changes))
        assert message in str(refused.value)
    with pytest.raises(ConfigError, match="there is no program no-such-vtm; install it"):
        next(measure_codec(program(encode="no-such-vtm {input} {output} {qp}"), clip))


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
    monkeypatch.setattr(Coarse, "decode", lambda self, data: iter([torch.zeros(3, 64, 96).long()] * 8))
    with pytest.raises(VideoError, match=r"coarse gave a frame of torch.int64 \(3, 64, 96\), expected uint8"):
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
    with pytest.raises(ConfigError, match="0 to 51, got 60"):
        measure_codec("x264:ladder=[20,60]", clip)
    with pytest.raises(ConfigError, match=r"'x264' has no option 'prest'\. Did you mean 'preset'"):
        measure_codec("x264:prest=slow", clip)
    with pytest.raises(ConfigError, match="expected NAME:OPTION=VALUE"):
        measure_codec("x264:slow", clip)
    with pytest.raises(VideoError, match=r"does not encode frames of 96x64 \(Invalid argument\).* preset=slo$"):
        next(measure_codec("x264:preset=slo", clip))
    with pytest.raises(VideoError, match="libx264 has no option 'b_frames'"):
        next(measure_codec("x264:options={b_frames: 0}", clip))
    with pytest.raises(VideoError, match="even sides"):
        next(measure_codec("x264", open_video("bunny", frames="0:2", resize="96x63")))


def _by_definition(anchor, test):
    """VCEG-M33: cubics through log rate over quality, their mean distance over the common range, in per cent."""
    logs = [np.polyfit([q for _, q in curve], np.log10([r for r, _ in curve]), 3) for curve in (anchor, test)]
    low, high = max(anchor[0][1], test[0][1]), min(anchor[-1][1], test[-1][1])
    areas = [np.diff(np.polyval(np.polyint(fit), [low, high]))[0] for fit in logs]
    return (10 ** ((areas[1] - areas[0]) / (high - low)) - 1) * 100


def _piecewise(interpolator, anchor, test):
    """The same with a piecewise interpolation."""
    fits = [interpolator([q for _, q in curve], np.log10([r for r, _ in curve])) for curve in (anchor, test)]
    low, high = max(anchor[0][1], test[0][1]), min(anchor[-1][1], test[-1][1])
    grid = np.linspace(low, high, 200_001)
    mean = np.mean(fits[1](grid) - fits[0](grid))
    return (10**mean - 1) * 100


def test_points_are_joined_in_a_way_that_is_known():
    with pytest.raises(EnervZooError, match=r"points are joined by .*, got 'linear'"):
        bd_rate(ANCHOR, TEST, "linear")


def test_bd_rate_is_what_the_definition_says():
    assert bd_rate(ANCHOR, TEST, "cubic") == pytest.approx(_by_definition(ANCHOR, TEST), abs=1e-6)
    for name, interpolator in (("pchip", PchipInterpolator), ("akima", Akima1DInterpolator)):
        assert bd_rate(ANCHOR, TEST, name) == pytest.approx(_piecewise(interpolator, ANCHOR, TEST), abs=1e-4)
    # Rates and PSNR that the package bjontegaard shows as an example: x265 in two presets.
    first = zip((1358.24, 2486.44, 4593.60, 9487.76), (34.851, 36.845, 38.615, 40.037), strict=True)
    second = zip((1356.24, 2451.52, 4469.00, 9787.80), (34.987, 36.970, 38.651, 40.121), strict=True)
    curves = list(first), list(second)
    assert [ez.bd_rate(*curves, method=m) for m in ("cubic", "pchip", "akima")] == pytest.approx(
        [-4.4205, -4.4175, -4.4252], abs=5e-5
    )
    assert bd_quality(*curves) == pytest.approx(0.1194, abs=5e-5)


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


def test_a_lossless_point_is_known_again_and_a_program_that_was_built_anew_is_measured_again(program, tmp_path, cli):
    """The second run, which measures nothing, says what the first one said."""
    keep = "import sys; open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read())"
    (tmp_path / "encode.py").write_text(keep)
    path = program(
        encode=[sys.executable, "{folder}/encode.py", "{input}", "{output}", "{qp}"],
        decode=[sys.executable, "-c", keep, "{input}", "{output}"], ladder=[0, 1], format="gbrp",
    )  # fmt: skip
    command = ("rd", "bunny", "--models", "", "--codecs", path, "--frames", "0:3", "--resize", "64x36", "--out",
               tmp_path / "rd", "--no-report", "--table", tmp_path / "x.csv", "--json")  # fmt: skip
    tables = []
    for _ in range(2):
        code, out, err = cli(*command)
        assert code == 0, err
        strict = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert [point["psnr"] for point in strict["curves"][0]["points"]] == [None, None]
        tables.append((tmp_path / "x.csv").read_text())
    assert tables[0] == tables[1]
    assert tables[0].count(",inf") == 2
    before = open_codec(path).anchor.programs
    (tmp_path / "encode.py").write_text(keep + "  # better")
    assert open_codec(path).anchor.programs != before


def test_devices_among_the_words_of_a_program_are_not_read(program):
    """Some are empty, some never end."""
    words = [sys.executable, "-c", "", "{input}", "{output}", "{qp}"]
    plain = open_codec(program(encode=words)).anchor.programs
    assert open_codec(program(encode=[*words, "/dev/null", "/dev/zero"])).anchor.programs == plain


def test_names_are_drawn_as_they_are(tmp_path):
    points = tuple(RatePoint("", 1, bpp, {"psnr": 30 + bpp, "ms_ssim": None}, 1.0, 1.0) for bpp in (1.0, 2.0))
    names = ["$\\textbf{ours}$", r"A$\frac{1$", "_ours & co 50%"]
    plot_rates([RateCurve(name, {}, points) for name in names], tmp_path / "x.svg")
    drawn = (tmp_path / "x.svg").read_text()
    assert [drawn.count(word) for word in ("textbf", "frac", "50%")] == [1, 1, 1]


def test_families_and_codecs_keep_their_colours():
    first = rate_styles(["pca_nerv, 990 epochs", "pca_nerv, 60 epochs", "enerv", "x264", "x264:preset=slow", "vp9"])
    colours = [style["color"] for style in first]
    assert colours[0] == colours[1] != colours[2]
    assert (colours[3], len(set(colours))) == (colours[4], 4)
    assert [style["linestyle"] for style in first] == ["-", "--", "-", "-", "--", "-"]
    assert rate_styles(["vp9", "another", "x264"])[::2] == [first[5], first[3]]
    assert len(rate_styles([str(number) for number in range(20)])) == 20
