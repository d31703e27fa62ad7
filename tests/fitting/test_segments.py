"""Long videos in segments: where they are cut, and that each segment is a fit that ends, stops and goes on."""

from __future__ import annotations

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.batch import jobs
from enerv_zoo.cli import main
from enerv_zoo.errors import ConfigError, FitError, VideoError
from enerv_zoo.evaluation.report import read_frames
from enerv_zoo.fitting.cuts import Cutting, parse_segments, plan_segments
from enerv_zoo.fitting.history import read_history
from enerv_zoo.storage import open_run, read_segments
from enerv_zoo.video.scenes import survey

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {"model_options": TINY, "epochs": 2, "batch_size": 8, "lr": 5e-3}


def scenes(*lengths: int) -> torch.Tensor:
    """Frames (N, 3, 36, 64), uint8, of scenes in other colours, with stripes that move."""
    x, frames = torch.arange(64), []
    for number, length in enumerate(lengths):
        colour = torch.tensor([(number * 97) % 200, (number * 61 + 120) % 200, (number * 150 + 40) % 200])
        for i in range(length):
            stripes = (20 * (1 + torch.sin((x + 2 * i) / 5))).expand(3, 36, 64)
            frames.append((colour[:, None, None] + stripes).to(torch.uint8))
    return torch.stack(frames)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return ez.write_video(tmp_path_factory.mktemp("long") / "long.mp4", scenes(60, 75, 30, 55), fps=25, quality=12)


@pytest.fixture(scope="module")
def fitted(clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "long"
    return ez.fit_segments(clip, out=out, segments="auto", frames="5:215", **FIT)


def spans(planned):
    return [(segment.first, segment.stop) for segment in planned]


@pytest.mark.parametrize(
    ("text", "cutting"),
    [
        ("auto", Cutting(scenes=True)),
        ("8", Cutting(count=8)),
        (8, Cutting(count=8)),
        ("10s", Cutting(seconds=10)),
        (".5m", Cutting(seconds=30)),
        ("1h", Cutting(seconds=3600)),
    ],
)
def test_ways_to_cut(text, cutting):
    assert parse_segments(text) == cutting


@pytest.mark.parametrize("text", ["0", "0s", "-3", "ten", "", "1.5", "10 s", "s"])
def test_what_is_no_way_to_cut(text):
    with pytest.raises(ConfigError, match="auto, how many"):
        parse_segments(text)


def test_cuts_by_number_and_by_length():
    assert spans(plan_segments(Cutting(count=3), 10, 25)) == [(0, 3), (3, 6), (6, 10)]
    assert spans(plan_segments(Cutting(seconds=1), 60, 25)) == [(0, 20), (20, 40), (40, 60)]
    assert spans(plan_segments(Cutting(seconds=0.001), 3, 25)) == [(0, 1), (1, 2), (2, 3)]
    with pytest.raises(ConfigError, match="11 segments of 10 frames"):
        plan_segments(Cutting(count=11), 10, 25)


def test_cuts_at_scenes_leave_no_crumbs():
    auto = Cutting(scenes=True)
    assert spans(plan_segments(auto, 240, 25, [100])) == [(0, 100), (100, 240)]
    assert spans(plan_segments(auto, 240, 25, [10, 100, 110, 230])) == [(0, 100), (100, 240)]
    assert spans(plan_segments(auto, 600, 25, [100])) == [(0, 100), (100, 350), (350, 600)]
    assert spans(plan_segments(auto, 30, 25, [15])) == [(0, 30)]


@pytest.mark.parametrize("seed", range(5))
def test_any_plan_is_the_video(seed):
    chance = np.random.default_rng(seed)
    for cutting in (Cutting(scenes=True), Cutting(count=int(chance.integers(1, 40))), Cutting(seconds=0.7)):
        frames = int(chance.integers(40, 2000))
        planned = plan_segments(cutting, frames, 24.0, sorted(chance.integers(1, frames, 30).tolist()))
        assert planned[0].first == 0
        assert all(a.stop == b.first for a, b in pairwise(planned))
        assert planned[-1].stop == frames


def test_scenes_are_found_where_they_begin(clip):
    found = survey(clip, frames="5:215")
    assert found.cuts == (55, 130, 160)
    assert found.info == ez.open_video(clip, frames="5:215").info
    assert survey(ez.open_video(clip), frames="5:215").cuts == found.cuts
    assert survey(clip, frames="::5", scenes=False).info == ez.open_video(clip, frames="::5").info
    with pytest.raises(VideoError, match="which has 220 frames"):
        survey(clip, frames="0:300", scenes=False)


def test_scenes_need_the_detector_and_lengths_do_not(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(VideoError, match=r"enerv-zoo\[scenes\]"):
        survey(clip)
    assert survey(clip, scenes=False).info.frames == 220


def test_every_segment_is_a_fit_of_its_frames(clip, fitted):
    assert spans(fitted.video.segments) == [(0, 55), (55, 130), (130, 210)]  # 30 frames are too short for a segment
    original = ez.open_video(clip, frames="5:215")
    for number, segment in enumerate(fitted.video.segments):
        part = open_run(fitted.folder).originals()(number)
        assert torch.equal(part.frames, original.frames[segment.first : segment.stop])
        alone = ez.load(fitted.folder / f"segment-{number:05d}")
        assert torch.equal(alone[3], fitted.video[segment.first + 3])
    assert fitted.video.info == original.info


def test_numbers_of_the_whole_are_those_of_its_frames(clip, fitted):
    report = ez.evaluate(ez.load(fitted.folder), ez.open_video(clip, frames="5:215"))
    assert fitted.metrics["psnr"] == pytest.approx(report.psnr, abs=1e-4)
    assert fitted.metrics["bpp"] == report.bpp
    assert fitted.metrics["stored_bytes"] == report.stored_bytes
    assert json.loads((fitted.folder / "metrics.json").read_text()) == fitted.metrics
    rows = (fitted.folder / "frames.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["frame", *map(str, range(210))]


def test_rows_of_frames_with_places_are_those_of_their_segments(tmp_path):
    """Whose cells have commas."""
    options = {"frames": "0:6", "resize": "64x36", "size": "60K", "epochs": 1, "batch_size": 3}
    ez.fit_segments("bunny", "nerv", out=tmp_path, segments=2, metrics=["psnr", "worst_tile"], **options)
    rows = read_frames(tmp_path / "frames.csv")
    parts = [row for number in range(2) for row in read_frames(tmp_path / f"segment-{number:05}" / "frames.csv")]
    assert [row.frame for row in rows] == list(range(6))
    assert [(row.scores, row.places) for row in rows] == [(row.scores, row.places) for row in parts]
    assert all(row.places for row in rows)
    ez.write_report(tmp_path, tmp_path / "x.html")


def test_stopped_in_a_segment_it_goes_on_there(clip, fitted, tmp_path, monkeypatch):
    """The process ends in the second segment, after its first epoch; what comes of going on is what came of one go."""
    begun, plain = [], jobs.fit

    class Killed(BaseException):
        pass

    def killed(status):
        if len(begun) == 2 and status.epoch == 2:
            raise Killed

    monkeypatch.setattr("enerv_zoo.fitting.loop.STATUS_INTERVAL", 0.0)
    options = {**FIT, "out": tmp_path / "cut", "frames": "5:215", "checkpoint_every": 0}
    with pytest.raises(Killed):
        ez.fit_segments(clip, on_segment=lambda number, count: begun.append(number) or killed, **options)
    with pytest.raises(ConfigError, match="1 of 3 segments are fitted, number 1 is not; repeat its command to go on"):
        ez.load(tmp_path / "cut")
    assert (tmp_path / "cut" / "segment-00001" / "checkpoint.pt").exists()
    resumed = []
    monkeypatch.setattr(jobs, "fit", lambda *a, **k: resumed.append(k["resume"]) or plain(*a, **k))
    result = ez.fit_segments(clip, resume=True, **options)
    assert begun == [0, 1]
    assert resumed == [True, True]
    for ours, theirs in zip(result.video.networks(), fitted.video.networks(), strict=True):
        state = theirs.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())


def test_a_segment_may_begin_with_the_weights_of_the_one_before(clip, fitted, tmp_path):
    options = {**FIT, "frames": "60:132", "segments": 2}  # of one scene, but nobody looks
    for way in ("fresh", "warm"):
        ez.fit_segments(clip, out=tmp_path / way, warm_start=way == "warm", **options)
    fresh, warm = ([read_history(tmp_path / way / f"segment-0000{n}") for n in (0, 1)] for way in ("fresh", "warm"))
    assert [row["loss"] for row in warm[0]] == [row["loss"] for row in fresh[0]]
    assert warm[1][0]["loss"] < 0.9 * fresh[1][0]["loss"]
    with pytest.raises(FitError, match="not with those of a video in segments"):
        ez.fit(clip, frames="0:8", out=tmp_path / "other", init_from=tmp_path / "warm", **FIT)


def test_by_default_those_do_that_go_on_with_a_scene(tmp_path, monkeypatch):
    """A scene of 12 s is two segments; the second goes on with it, and the next scene begins anew."""
    starts = []

    def fit(*arguments, init_from, out, **options):
        starts.append(init_from and init_from.name)
        return plain(*arguments, init_from=init_from, out=out, **options)

    plain = jobs.fit
    monkeypatch.setattr(jobs, "fit", fit)
    clip = ez.write_video(tmp_path / "clip.mp4", scenes(60, 15), fps=5, quality=12)
    options = {**FIT, "resize": "32x18", "epochs": 1, "loss": "L2"}
    result = ez.fit_segments(clip, out=tmp_path / "auto", segments="auto", **options)
    assert spans(result.video.segments) == [(0, 30), (30, 60), (60, 75)]
    assert starts == [None, "segment-00000", None]
    description = read_segments(tmp_path / "auto")
    assert description.scenes == (60,)
    assert [description.goes_on(number) for number in range(3)] == [False, True, False]
    starts.clear()
    ez.fit_segments(clip, out=tmp_path / "fresh", segments="auto", warm_start=False, **options)
    ez.fit_segments(clip, out=tmp_path / "count", segments=3, **options)
    assert starts == [None] * 6
    (tmp_path / "fresh" / "metrics.json").unlink()
    with pytest.raises(FitError, match="other warm_start: it was False, now it is None"):
        ez.fit_segments(clip, out=tmp_path / "fresh", segments="auto", resume=True, **options)
    with pytest.raises(FitError, match="cannot begin with each other's weights"):
        ez.fit_segments(clip, out=tmp_path / "x", warm_start=True, runner=jobs.run_here, **options)


def test_a_fit_of_one_network_takes_the_place_of_segments_only_when_told(clip, tmp_path):
    options = {**FIT, "frames": "0:8", "epochs": 1}
    out = tmp_path / "fit"
    ez.fit_segments(clip, out=out, segments=2, **options)
    with pytest.raises(FitError, match="already holds a fit"):
        ez.fit(clip, out=out, **options)
    with pytest.raises(FitError, match=r"holds a fit in segments; repeat the command that began it \(fit --segments\)"):
        ez.fit(clip, out=out, resume=True, **options)
    (out / "segment-mine").mkdir()
    ez.fit(clip, out=out, overwrite=True, **options)
    assert isinstance(ez.load(out), ez.NeuralVideo)
    assert [path.name for path in out.glob("segment*")] == ["segment-mine"]


def test_resume_begins_goes_on_and_reads(clip, tmp_path, caplog):
    options = {**FIT, "frames": "0:8", "epochs": 1, "out": tmp_path / "run", "segments": 2, "resume": True}
    first = ez.fit_segments(clip, **options)
    before = {path: path.stat().st_mtime_ns for path in options["out"].rglob("*")}
    with caplog.at_level("INFO"):
        again = ez.fit_segments(clip, **options)
    assert (first.ended_before, again.ended_before) == (False, True)
    assert again.metrics == first.metrics
    assert {path: path.stat().st_mtime_ns for path in options["out"].rglob("*")} == before
    assert "this fit has ended, there is nothing left to do" in caplog.text
    with pytest.raises(FitError, match="other segments: it was '2', now it is '1'"):
        ez.fit_segments(clip, **{**options, "segments": 1})
    (options["out"] / "metrics.json").unlink()
    (options["out"] / "segment-00001" / "model.safetensors").unlink()
    for name in ("metrics.json", "frames.csv", "preview.png", "psnr.png", "config.json"):
        (options["out"] / "segment-00001" / name).unlink(missing_ok=True)
    third = ez.fit_segments(clip, **options)  # its second segment was killed in its first epoch
    assert third.metrics["psnr"] == first.metrics["psnr"]


def test_resume_tells_a_whole_fit_from_one_in_segments(clip, tmp_path):
    options = {**FIT, "frames": "0:8", "epochs": 1, "out": tmp_path / "run"}
    ez.fit(clip, **options)
    with pytest.raises(
        FitError, match="holds a fit that is not in segments; fit without them, or choose another --out"
    ):
        ez.fit_segments(clip, resume=True, **options)


def test_refusals(clip, fitted, tmp_path):
    with pytest.raises(FitError, match="already holds a fit"):
        ez.fit_segments(clip, out=fitted.folder, frames="5:215", **FIT)
    (fitted.folder / "metrics.json").rename(tmp_path / "metrics.json")
    try:
        with pytest.raises(FitError, match="other segments: it was 'auto', now it is '3'"):
            ez.fit_segments(clip, out=fitted.folder, frames="5:215", resume=True, segments=3, **FIT)
    finally:
        (tmp_path / "metrics.json").rename(fitted.folder / "metrics.json")


def test_the_command_line(clip, fitted, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["enerv-zoo", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, capsys.readouterr()

    tiny = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]
    fit = ("fit", clip, *tiny, "--epochs", 1, "--batch-size", 8, "--out", tmp_path / "run", "--frames", "::4")
    code, printed = run(*fit, "--segments", "2", "--json")
    assert code == 0, printed.err
    assert json.loads(printed.out)["segments"] == 2
    code, printed = run("info", tmp_path / "run")
    assert "2 of 27 to 28 frames; 2 fitted" in printed.out
    code, printed = run("eval", tmp_path / "run", "--json")
    assert json.loads(printed.out)["psnr"] == pytest.approx(
        json.loads((tmp_path / "run/metrics.json").read_text())["psnr"]
    )
    assert run("render", tmp_path / "run", tmp_path / "run.mp4")[0] == 0
    assert len(ez.open_video(tmp_path / "run.mp4")) == 55
    code, printed = run(*fit, "--segments", "many", "--overwrite")
    assert code == 1
    assert "segments are auto, how many" in printed.err
    assert run("render", tmp_path / "run", tmp_path / "compared.mp4", "--side-by-side")[0] == 0
    assert ez.open_video(tmp_path / "compared.mp4").frames.shape[-1] == 3 * ez.load(tmp_path / "run").info.width
