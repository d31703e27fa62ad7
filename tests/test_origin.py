"""The video that a fit was made from is never written to, by whatever name, and a change of it is told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.errors import EnervZooError, FitError, VideoError
from enerv_zoo.files import free_name
from enerv_zoo.storage import open_run
from enerv_zoo.video import origin, write_image, write_video
from enerv_zoo.video.origin import Origin, protected

TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
FIT = {"model_options": TINY, "epochs": 1, "batch_size": 2, "lr": 5e-3, "device": "cpu"}
REFUSED = "is the video that was fitted, or a part of it, and is not written to; choose another name"


@pytest.fixture(scope="module")
def frames():
    return ez.open_video("bunny", frames="0:3", resize="64x36")


@pytest.fixture(scope="module")
def made(frames, tmp_path_factory):
    """A film, a folder of images, a fit of each, one in segments, and their compressed files."""
    root = tmp_path_factory.mktemp("made")
    write_video(root / "mine.mp4", frames)
    write_video(root / "pictures", frames)
    ez.fit(root / "mine.mp4", out=root / "run", **FIT)
    ez.fit(root / "pictures", out=root / "images-run", **FIT)
    ez.fit_segments(root / "mine.mp4", segments=2, out=root / "long", **FIT)
    for name in ("run", "long"):
        ez.compress(root / name, root / f"{name}.nvz", measure=False)
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of all of it, in which the fits are of the copies."""
    root = tmp_path / "here"
    shutil.copytree(made, root)
    old, new = (json.dumps(str(folder))[1:-1] for folder in (made, root))
    for record in root.rglob("fit.json"):
        record.write_text(record.read_text().replace(old, new))
    monkeypatch.chdir(root)
    return root


def contents(root):
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in root.rglob("*") if path.is_file()}


def test_a_fit_records_what_its_source_holds_and_no_more_than_that_goes_along(made):
    record = json.loads((made / "run" / "fit.json").read_text())
    data = (made / "mine.mp4").read_bytes()
    assert record["source"] == str((made / "mine.mp4").resolve())
    assert record["source_contents"] == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    config = json.loads((made / "run" / "config.json").read_text())
    assert config["fit"]["source"] == {"digest": record["source_contents"]["sha256"][:16], "bytes": len(data)}
    for run in ("run", "run.nvz", "long.nvz"):
        assert ez.load(made / run).origin.bytes == len(data)
    assert ez.load(made / "run.nvz").origin.source is None
    assert ez.load(made / "long" / "segment-00001").origin == ez.load(made / "long").origin


def test_a_fit_of_an_array_records_it_and_goes_on_with_it_alone(frames, tmp_path):
    fit = ez.fit(frames.frames, out=tmp_path / "run", **FIT)
    record = json.loads((tmp_path / "run" / "fit.json").read_text())
    assert record["source"] is None
    assert record["source_contents"]["bytes"] == frames.frames.nbytes
    assert ez.fit(frames.frames, out=tmp_path / "run", resume=True, **FIT).metrics == fit.metrics
    with pytest.raises(FitError, match="another video: the contents of its source have changed since"):
        ez.fit(255 - frames.frames, out=tmp_path / "run", resume=True, **FIT)


@pytest.mark.parametrize("run", ["run", "run.nvz", "long", "long.nvz", "long/segment-00000"])
def test_no_render_replaces_the_film(here, run):
    (here / "symlink.mp4").symlink_to("mine.mp4")
    os.link("mine.mp4", "hard.mp4")
    shutil.copy("mine.mp4", "copy.mp4")
    before, video = contents(here), ez.load(run)
    for name in ("mine.mp4", "symlink.mp4", "hard.mp4", "copy.mp4"):
        with pytest.raises(VideoError, match=REFUSED):
            ez.render(video, name)
    assert contents(here) == before


@pytest.mark.parametrize("options", [(), ("--overwrite",)], ids=str)
@pytest.mark.parametrize("run", ["run", "long.nvz"])
def test_no_hint_leads_to_the_film(here, cli, run, options):
    before = contents(here)
    code, _, err = cli("render", run, "mine.mp4", *options)
    assert (code, err.count("\n")) == (1, 1)
    assert REFUSED in err
    assert "--overwrite" not in err
    assert contents(here) == before


@pytest.mark.parametrize(
    "command",
    [
        ("render", "images-run", "pictures", "--overwrite"),
        ("render", "images-run", "pictures/"),
        ("render", "images-run", "linked", "--overwrite"),
        ("eval", "images-run", "--images", "pictures", "--overwrite"),
        ("eval", "run", "--out", "links"),
        ("report", "run", "--out", "mine.mp4", "--overwrite"),
        ("report", "run", "images-run", "--out", "pictures/00000.png", "--overwrite"),
        ("compress", "run", "linked.nvz", "--overwrite"),
        ("compress", "images-run", "second.nvz", "--data", "mine.mp4", "--overwrite"),
        ("render", "images-run", "mine.mp4", "--video", "mine.mp4", "--overwrite"),
        ("fit", "pictures", "--size", "80K", "--epochs", "1", "--out", "pictures"),
        ("fit", "pictures", "--size", "80K", "--epochs", "1", "--out", "linked", "--overwrite", "--segments", "1"),
        ("fit", "own/preview.png", "--size", "80K", "--epochs", "1", "--out", "own", "--overwrite"),
        ("compare", "pictures", "--models", "enerv", "--size", "80K", "--epochs", "1", "--out", "pictures"),
    ],
    ids=lambda command: " ".join(command),
)
def test_no_command_writes_to_a_source(here, cli, frames, command):
    (here / "linked").symlink_to("pictures")
    (here / "linked.nvz").symlink_to("mine.mp4")
    os.link("mine.mp4", "second.nvz")
    (here / "links").mkdir()
    (here / "links" / "report.json").symlink_to(here / "mine.mp4")
    write_image(here / "own" / "preview.png", frames.frames[0])
    before = contents(here)
    code, _, err = cli(*command)
    assert (code, err.count("error:")) == (1, 1), err
    assert REFUSED in err or "is the folder of images that is fitted" in err
    assert "Traceback" not in err
    assert contents(here) == before


def test_a_folder_that_holds_the_source_is_not_replaced_but_may_hold_the_fit(here, frames):
    write_image(here / "stills" / "00000.png", frames.frames[0])
    video = ez.fit(here / "stills" / "00000.png", out=here / "inner" / "run", **FIT).video
    with pytest.raises(VideoError, match=REFUSED):
        ez.render(video, here / "stills", overwrite=True)
    assert torch.equal(ez.open_video(here / "stills" / "00000.png").frames[0], frames.frames[0])
    ez.render(video, here / "other", overwrite=True)
    ez.fit(here / "stills" / "00000.png", out=here / "stills", **FIT)
    assert torch.equal(ez.open_video(here / "stills" / "00000.png").frames[0], frames.frames[0])


def test_what_is_not_the_source_is_replaced_as_ever(here, cli, frames):
    write_video(here / "other.mp4", frames.frames.flip(0))
    assert cli("render", "run", "other.mp4", "--overwrite")[0] == 0
    assert cli("render", "images-run", "pictures/movie.mp4")[0] == 0
    with protected(here / "mine.mp4", None, ""):
        write_video(here / "other.mp4", frames)
    write_video(here / "mine.mp4", frames)  # no fit is at work: it is the user's own


def test_hints_name_files_that_are_not_there(here, cli):
    _, out, _ = cli("compress", "run", "mine.nvz", "--bits", "8")
    assert "enerv-zoo render mine.nvz mine-decoded.mp4" in out
    (here / "mine-decoded.mp4").touch()
    (here / "mine-decoded-2.mp4").symlink_to("nowhere")
    assert free_name("mine.mp4").name == "mine-decoded-3.mp4"
    assert free_name("new.mp4").name == "new.mp4"


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "run"),
        ("eval", "run", "mine.mp4"),
        ("eval", "long"),
        ("report", "run"),
        ("render", "run", "x.mp4", "--side-by-side"),
        ("compress", "run", "x.nvz", "--tune-epochs", "1"),
        ("compress", "run", "x.nvz"),
    ],
    ids=lambda command: " ".join(command),
)
def test_a_source_that_has_changed_is_told_in_one_line(here, cli, frames, command):
    write_video(here / "mine.mp4", 255 - frames.frames)
    code, _, err = cli(*command)
    assert code == 0, err
    assert err.count("mine.mp4 has changed since the fit; what is compared is not what was fitted\n") == 1


def test_a_fit_does_not_go_on_with_another_video_of_the_same_name(here, frames):
    write_video(here / "mine.mp4", 255 - frames.frames)
    with pytest.raises(FitError, match="another video: the contents of its source have changed since"):
        ez.fit(here / "mine.mp4", out=here / "run", resume=True, **FIT)


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "run"),
        ("report", "long"),
        ("render", "run", "x.mp4", "--side-by-side"),
        ("compress", "run", "x.nvz", "--tune-epochs", "1"),
    ],
    ids=lambda command: " ".join(command),
)
def test_a_source_that_is_gone_is_told_in_one_line(here, cli, command):
    (here / "mine.mp4").unlink()
    code, _, err = cli(*command)
    assert code == 1
    assert err.count("the video that was fitted is not there any more (") == 1
    assert err.count("error:") == 1


def test_a_moved_film_is_the_film(here, frames):
    """By its contents: what was cut for the fit is cut again, also for a file that names no film of this machine."""
    ez.write_video("whole.mkv", ez.open_video("bunny", frames="0:9", resize="64x36"), quality=0)
    ez.fit("whole.mkv", frames="4:7", out="part", **FIT)
    ez.compress("part", "part.nvz", measure=False)
    expected = ez.evaluate(ez.load("part"), ez.open_video("whole.mkv", frames="4:7")).psnr
    Path("moved").mkdir()
    moved = Path("whole.mkv").rename("moved/renamed.mkv")
    for run in ("part", "part.nvz"):
        original = open_run(run).originals(moved)(0)
        assert torch.equal(original.frames, ez.open_video(moved, frames="4:7").frames)
    assert ez.evaluate(ez.load("part"), open_run("part").originals(moved)(0)).psnr == pytest.approx(expected)


def test_a_video_that_is_cut_already_is_taken_as_it_is(here):
    """Whatever was chosen for the fit: nothing is cropped, resized or selected twice."""
    cut = {"frames": "2:8", "crop": "1280x640", "resize": "50%"}
    ez.fit("bunny", **{**cut, "resize": "64x32"}, out="cut", **FIT)
    video = ez.open_video("bunny", **{**cut, "resize": "64x32"})
    assert torch.equal(open_run("cut").originals(video)(0).frames, video.frames)
    ez.fit_segments("bunny", segments=2, **{**cut, "resize": "64x32"}, out="cut-long", **FIT)
    originals = open_run("cut-long").originals(video)
    assert torch.equal(torch.cat([originals(0).frames, originals(1).frames]), video.frames)
    array = video.frames.numpy()
    write_video("film.mkv", video, quality=0)
    ez.fit("film.mkv", out="of-film", **FIT)
    Path("film.mkv").unlink()
    assert torch.equal(open_run("of-film").originals(array)(0).frames, video.frames), "though the film is gone"
    ez.fit(array, frames="1:4", out="of-array", **FIT)
    assert torch.equal(open_run("of-array").originals(ez.open_video(array, frames="1:4"))(0).frames, video.frames[1:4])


def test_a_film_with_the_name_of_a_sample_is_not_the_sample(here, frames):
    write_video("bunny.mp4", frames)
    ez.fit("bunny.mp4", out="mine", **FIT)
    ez.compress("mine", "mine.nvz", measure=False)
    assert open_run("mine.nvz").record["source"] is None
    assert open_run("run.nvz").record["source"] is None
    ez.fit("bunny", frames="0:3", resize="64x36", out="theirs", **FIT)
    ez.compress("theirs", "theirs.nvz", measure=False)
    assert open_run("theirs.nvz").record["source"] == "bunny"


def test_older_records_are_read_and_say_nothing_of_contents(here, cli, frames):
    for name, part, key in (("fit.json", None, "source_contents"), ("config.json", "fit", "source")):
        record = json.loads((here / "run" / name).read_text())
        (record[part] if part else record).pop(key)
        (here / "run" / name).write_text(json.dumps(record))
    assert ez.load(here / "run").origin == Origin(str((here / "mine.mp4").resolve()))
    assert ez.fit("mine.mp4", out="run", resume=True, **FIT).ended_before
    write_video(here / "mine.mp4", 255 - frames.frames)
    code, _, err = cli("eval", "run")
    assert (code, "has changed" in err) == (0, False)
    with pytest.raises(VideoError, match=REFUSED):
        ez.render(ez.load("run"), "mine.mp4")


def test_damaged_records_protect_what_they_can(here):
    (here / "run" / "fit.json").write_text(json.dumps({"source": 3, "source_contents": [1]}))
    assert ez.load(here / "run").origin.source is None
    with pytest.raises(EnervZooError, match=REFUSED):  # by the digest in config.json
        ez.render(ez.load(here / "run"), here / "mine.mp4")


@pytest.mark.parametrize("source", ["s3://bucket/x.mp4", "https://example.org/x.mp4", "sftp://nobody@example.org/x"])
def test_nobody_is_asked_whether_an_address_is_a_file_of_this_machine(source, tmp_path, monkeypatch):
    """A fit that was downloaded says where its video was."""

    def connect(*arguments):
        raise AssertionError("connects")

    monkeypatch.setattr(origin, "file_system", connect)
    assert Origin(source).path is None
    Origin(source).refuse(tmp_path / "x.mp4")


def test_an_address_of_a_file_is_that_file(tmp_path):
    (tmp_path / "x.mp4").touch()
    assert Origin((tmp_path / "x.mp4").as_uri()).path == tmp_path / "x.mp4"
    with pytest.raises(VideoError, match=REFUSED):
        Origin((tmp_path / "x.mp4").as_uri()).refuse(tmp_path / "x.mp4")
