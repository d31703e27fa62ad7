"""An opened fit, in whatever form: what it says, that it is read once, and how it shows itself."""

from __future__ import annotations

import base64
import io
import pickle
import re

import pytest
import torch
from PIL import Image

import enerv_zoo as ez
from enerv_zoo.batch.curves import RateDistortion
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation.rates import Gain, RateCurve
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.nvz import container
from enerv_zoo.storage import Segment, open_run

TINY = {"fc_dim": 6, "block_dim": 6, "mlp_dim": 6, "stem_dim": [8], "lower_width": 4, "tm_dim": 4}
FIT = {"model_options": TINY, "resize": "64x36", "epochs": 1, "batch_size": 3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One video of six frames in four forms: one network or two, in a folder or in a file."""
    root = tmp_path_factory.mktemp("runs")
    ez.fit("bunny", frames="2:8", out=root / "one", **FIT)
    ez.fit_segments("bunny", frames="2:8", segments=2, out=root / "two", **FIT)
    for name in ("one", "two"):
        ez.compress(root / name, root / f"{name}.nvz")
    return root


FORMS = ["one", "two", "one.nvz", "two.nvz"]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_says_the_same(runs, name):
    run = open_run(runs / name)
    lengths = [6] if name.startswith("one") else [3, 3]
    assert [segment.frames for segment in run.segments] == lengths
    assert run.segments[0] == Segment(0, lengths[0])
    assert (run.info.frames, run.info.size_text, run.fitted) == (6, "64x36", len(lengths))
    video = ez.load(run)
    assert run.stored_numbers == video.stored_numbers
    assert run.bytes == sum(ez.evaluation.report.stored_bytes(network) for network in video.networks())
    assert run.description.video == run.info == video.info
    assert run.fit.metrics["psnr"] > 5
    assert run.description.fit.metrics["psnr"] == pytest.approx(run.fit.metrics["psnr"])
    assert (run.record["source"], run.record["video"]["resize"]) == ("bunny", "64x36")
    expected = ez.open_video("bunny", frames="2:8", resize="64x36").frames
    assert torch.equal(run.original().frames, expected)
    original = run.originals()
    assert torch.equal(torch.cat([original(n).frames for n in range(len(lengths))]), expected)
    drawn = torch.cat([run.network(n, NeuralVideo)[:] for n in range(len(lengths))])
    assert torch.equal(drawn, video[:])
    again = pickle.loads(pickle.dumps(run))
    assert (again.path, again.segments) == (run.path, run.segments)


@pytest.mark.parametrize("name", FORMS)
def test_another_video_is_cut_at_the_same_frames(runs, name):
    frames = torch.arange(6 * 3 * 36 * 64).reshape(6, 3, 36, 64).remainder(251).to(torch.uint8)
    run = open_run(runs / name)
    original = run.originals(ez.open_video(frames))
    assert torch.equal(torch.cat([original(n).frames for n in range(len(run.segments))]), frames)


def test_one_network_is_no_special_case(runs):
    """A network is a video in one segment, so that whoever takes segments takes it."""
    video = ez.load(runs / "one")
    assert video.segments == (Segment(0, 6),)
    assert list(video.networks()) == [video.network(0)] == [video]
    assert {video.segment_of(i) for i in range(6)} == {0}
    whole = ez.evaluate(video, open_run(runs / "one").original())
    parts = ez.evaluation.evaluate_segments(video, open_run(runs / "one").originals())
    assert whole.frames == parts.frames


@pytest.mark.parametrize("name", ["one.nvz", "two.nvz"])
@pytest.mark.parametrize("command", ["info", "eval", "render", "compress", "push"])
def test_a_head_is_parsed_once_per_command(runs, name, command, cli, monkeypatch, tmp_path):
    heads = []
    read = container.read_head

    def counted(fetch, size, where):
        heads.append(where)
        return read(fetch, size, where)

    monkeypatch.setattr(container, "read_head", counted)
    monkeypatch.setattr("enerv_zoo.hub.upload._commit", lambda *_, **__: "https://example.org")
    more = {"render": [tmp_path / "x.mp4", "--side-by-side"], "compress": [tmp_path / "x.nvz"], "push": ["me/x"]}
    code, _, err = cli(command, runs / name, *more.get(command, []))
    assert code == 0, err
    assert [where for where in heads if where == str(runs / name)] == [str(runs / name)]


def test_what_is_in_segments_is_no_single_network(runs):
    with pytest.raises(ConfigError, match="holds a video in segments"):
        NeuralVideo.from_pretrained(runs / "two")
    with pytest.raises(ConfigError, match="holds a video in segments"):
        NeuralVideo.from_pretrained(runs / "two.nvz")


def test_a_replaced_segment_is_noticed(runs, tmp_path):
    folder = ez.load(runs / "two").save_pretrained(tmp_path / "two")
    ez.load(runs / "one").save_pretrained(folder / "segment-00001")
    with pytest.raises(ConfigError, match="segment 1 decodes to 6 frames of 64x36; expected 3"):
        open_run(folder).check()


# ---------------------------------------------------------------- how it shows itself


def picture_in(page):
    found = re.search(r"src='data:image/png;base64,([^']+)'", page)
    return Image.open(io.BytesIO(base64.b64decode(found[1]))) if found else None


@pytest.mark.parametrize("name", FORMS)
def test_short_reprs(runs, name):
    run, video = open_run(runs / name), ez.load(runs / name)
    for shown, words in (
        (run, ["enerv", "frames 6", "64x36", "psnr"]),
        (
            video,
            ["6 frames of 64x36", "2 segments" if name.startswith("two") else f"{video.stored_numbers:,} parameters"],
        ),
    ):
        assert len(repr(shown)) < 200 + len(str(runs))
        assert "\n" not in repr(shown)
        assert all(word in repr(shown) for word in words)
    page = video._repr_html_()
    assert picture_in(page).size == (64, 36)
    assert "<script" not in page
    assert "64x36" in run._repr_html_()


def test_results_are_shown_without_a_line_per_frame(runs):
    compressed = ez.compress(runs / "one", runs / "again.nvz")
    result = ez.fit("bunny", frames="2:8", **FIT)
    for shown, words in (
        (compressed, ["bpp", "ratio", "psnr_before", "ms_ssim"]),
        (result.report, ["6 frames", "psnr", "parameters", f"{result.report.stored_numbers:,}"]),
        (result, ["model", "enerv", "64x36", "psnr"]),
    ):
        assert "frame=" not in repr(shown)
        assert len(repr(shown)) < 700
        assert all(word in shown._repr_html_() for word in words)
    assert picture_in(result._repr_html_()).size == (64, 36)
    original = ez.open_video("bunny", frames="2:8", resize="64x36")
    curves = [RateCurve(name, {}, ()) for name in ("enerv", "x264")]
    rates = RateDistortion({"name": "bunny"}, None, curves, (Gain("enerv", "x264", 12.5, None),), (), original)
    assert (repr(original), repr(rates)) == (
        "Video('bunny', 6 frames of 64x36)",
        "RateDistortion('bunny', enerv, x264)",
    )
    assert "12.5" in rates._repr_html_()
    deep = ez.open_video(torch.full((2, 3, 36, 64), 0.5, dtype=torch.float16))
    assert picture_in(deep._repr_html_()).getpixel((0, 0)) == (128, 128, 128)
    parts = ez.fit_segments("bunny", frames="2:8", segments=2, out=runs / "two", resume=True, **FIT)
    assert "epochs" not in repr(parts)
    assert picture_in(parts._repr_html_()).size == (64, 36)


def test_a_frame_is_shown_at_most_320_pixels_wide():
    video = ez.create_model("enerv", frames=2, height=360, width=640, size="0.2M")
    assert picture_in(video._repr_html_()).size == (320, 180)


def test_untrusted_names_are_escaped(tmp_path):
    info = ez.VideoInfo(frames=2, height=36, width=64, name="<script>alert(1)</script>")
    video = ez.create_model("enerv", info=info, **TINY)
    folder = video.save_pretrained(tmp_path / "<b>x")
    for page in (video._repr_html_(), open_run(folder)._repr_html_()):
        assert "<script" not in page
        assert "<b>x" not in page


def test_what_is_damaged_still_has_a_repr(tmp_path):
    (tmp_path / "config.json").write_text("[")
    assert repr(open_run(tmp_path)) == f"Run({str(tmp_path)!r})"
    assert tmp_path.name in open_run(tmp_path)._repr_html_()


def test_a_loader_of_a_video(runs):
    batches = list(torch.utils.data.DataLoader(ez.load(runs / "two"), batch_size=4))
    assert torch.equal(torch.cat(batches), ez.load(runs / "two")[:])


def test_a_config_says_what_a_run_is_without_its_weights(runs, tmp_path):
    (tmp_path / "config.json").write_bytes((runs / "one" / "config.json").read_bytes())
    run = open_run(tmp_path, {"model.safetensors": 1234})
    assert (run.bytes, run.stored_numbers) == (1234, open_run(runs / "one").stored_numbers)
    with pytest.raises(ConfigError, match=r"holds no model\.safetensors"):
        run.check()
