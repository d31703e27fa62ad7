"""Movies of fits: a frame per epoch, also of fits that are interrupted."""

from __future__ import annotations

import pytest

import enerv_zoo as ez
from enerv_zoo.errors import VideoError

FIT = {
    "model": "nerv", "frames": "0:3", "resize": "64x36", "size": "60K", "epochs": 4, "batch_size": 3,
    "checkpoint_every": 0, "lr": 5e-2,
}  # fmt: skip


class Stop(ez.Callback):
    def __init__(self, after):
        self.after = after

    def on_epoch(self, fitter, row):
        if row["epoch"] == self.after:
            raise RuntimeError("stopped")


@pytest.fixture
def whole(tmp_path):
    """The pictures of a fit that nothing interrupts."""
    ez.fit("bunny", callbacks=[ez.TimeLapse(tmp_path / "whole.mkv")], **FIT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.mkv"]
    return ez.open_video(tmp_path / "whole.mkv")


def test_a_movie_has_a_frame_for_the_start_and_for_every_epoch(tmp_path, whole):
    assert (len(whole), whole.info.fps, whole.info.size_text) == (5, 10.0, "64x36")
    result = ez.fit("bunny", callbacks=[ez.TimeLapse(tmp_path / "first.mkv", frame=0, fps=5)], **FIT)
    first = ez.open_video(tmp_path / "first.mkv")
    assert first.info.fps == 5
    difference = (first.frames[-1].float() - result.video[0].float()).abs().mean()
    assert difference < 8  # an encoder is between them
    assert (first.frames[0].float() - result.video[0].float()).abs().mean() > 2 * difference


def test_a_fit_that_is_resumed_gives_one_movie(tmp_path, whole):
    options = {**FIT, "out": tmp_path / "fit"}
    lapse = tmp_path / "films" / "fit.mkv"
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", callbacks=[ez.TimeLapse(lapse), Stop(3)], **options)
    assert not lapse.exists()
    assert len(list((tmp_path / "films" / "fit.mkv.frames").iterdir())) == 4
    ez.fit("bunny", callbacks=[ez.TimeLapse(lapse)], resume=True, **options)
    assert ez.open_video(lapse).frames.equal(whole.frames)
    assert [path.name for path in lapse.parent.iterdir()] == ["fit.mkv"]
    ez.fit("bunny", callbacks=[ez.TimeLapse(lapse)], resume=True, **options)  # it has ended: nothing is done


@pytest.mark.parametrize(
    ("removed", "end"), [(0, {}), (2, {}), (None, {}), (None, {"epochs": None, "time_budget": 1.0})]
)
def test_a_fit_that_was_killed_after_its_movie_was_written_is_gone_on_with(tmp_path, monkeypatch, removed, end):
    options = {**FIT, **end, "out": tmp_path / "fit"}
    lapse = tmp_path / "fit.mkv"

    def killed(self, pictures):
        if lapse.exists():
            remove(self, pictures[:removed])
            raise RuntimeError("killed")
        remove(self, pictures)

    remove = ez.TimeLapse._remove
    monkeypatch.setattr(ez.TimeLapse, "_remove", killed)
    with pytest.raises(RuntimeError, match="killed"):
        ez.fit("bunny", callbacks=[ez.TimeLapse(lapse)], **options)
    monkeypatch.undo()
    written = ez.open_video(lapse).frames
    assert not ez.fit("bunny", callbacks=[ez.TimeLapse(lapse)], resume=True, **options).ended_before
    assert ez.open_video(lapse).frames.equal(written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit", "fit.mkv"]


def test_a_fit_that_is_begun_anew_gives_a_movie_of_itself(tmp_path, whole):
    lapse = tmp_path / "fit.mkv"
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", callbacks=[ez.TimeLapse(lapse), Stop(4)], **FIT)
    (tmp_path / "fit.mkv.frames" / "notes.txt").write_text("mine")
    ez.fit("bunny", callbacks=[ez.TimeLapse(lapse)], **{**FIT, "epochs": 1})
    assert len(ez.open_video(lapse)) == 2
    assert [path.name for path in (tmp_path / "fit.mkv.frames").iterdir()] == ["notes.txt"]


def test_a_file_is_not_replaced_unasked_and_the_video_never(tmp_path, whole):
    clip = ez.write_video(tmp_path / "clip.mkv", whole)
    lapse = tmp_path / "whole.mkv"
    with pytest.raises(ez.VideoError, match="exists; choose another name for the time-lapse"):
        ez.fit(clip, callbacks=[ez.TimeLapse(lapse)], **FIT)
    before = clip.read_bytes()
    with pytest.raises(ez.VideoError, match=r"clip\.mkv: is the video"):
        ez.fit(clip, callbacks=[ez.TimeLapse(clip, overwrite=True)], **FIT)
    assert clip.read_bytes() == before
    ez.fit(clip, callbacks=[ez.TimeLapse(lapse, overwrite=True)], **{**FIT, "epochs": 1})
    assert len(ez.open_video(lapse)) == 2


@pytest.mark.parametrize(("name", "fps"), [("x.avi", 10), ("x.txt", 10), ("folder", 10), ("x.mp4", 0), ("x.gif", -1)])
def test_what_no_movie_can_be_is_refused_before_the_fit(tmp_path, name, fps):
    with pytest.raises(VideoError, match=r"nothing is written for|a movie is a file|is out of range"):
        ez.TimeLapse(tmp_path / name, fps=fps)


def test_a_fit_that_was_begun_without_one_ends_without_one(tmp_path, caplog):
    options = {**FIT, "out": tmp_path / "fit"}
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", callbacks=[Stop(4)], **options)
    lapse = ez.TimeLapse(tmp_path / "late.mp4")
    lapse._keep = lambda *_: None
    result = ez.fit("bunny", callbacks=[lapse], resume=True, **options)
    assert result.metrics["epochs"] == 4
    assert "no time-lapse is written" in caplog.text
    assert not (tmp_path / "late.mp4").exists()


def test_a_fit_that_is_gone_on_with_keeps_a_file_of_which_it_has_not_all_frames(tmp_path, whole, caplog):
    options = {**FIT, "out": tmp_path / "fit"}
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", callbacks=[Stop(2)], **options)
    ez.fit("bunny", callbacks=[ez.TimeLapse(tmp_path / "whole.mkv")], resume=True, **options)
    assert ez.open_video(tmp_path / "whole.mkv").frames.equal(whole.frames)
    assert "is kept as it was" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit", "whole.mkv"]


def test_a_fit_that_is_extended_refuses_the_file_of_the_one_before(tmp_path):
    options = {**FIT, "out": tmp_path / "fit"}
    lapse = tmp_path / "fit.mkv"
    ez.fit("bunny", callbacks=[ez.TimeLapse(lapse)], **options)
    with pytest.raises(ez.VideoError, match="exists; choose another name for the time-lapse"):
        ez.fit("bunny", callbacks=[ez.TimeLapse(lapse)], resume=True, **{**options, "epochs": 6})
