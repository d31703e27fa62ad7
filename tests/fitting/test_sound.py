"""The sound of a fitted video: in its folder, in a compressed file, and in what is written of them; nowhere else."""

from __future__ import annotations

from unittest import mock

import av
import pytest
from sounds import RATE, heard, write_clip

import enerv_zoo as ez
from enerv_zoo.config import Tags
from enerv_zoo.evaluation.report import bits_per_pixel
from enerv_zoo.storage import open_run
from enerv_zoo.storage.sound import SOUND
from enerv_zoo.video.scenes import survey

TAGS = Tags("Evening", "2024-05-06T07:08:09.000000Z", ((0.0, 0.4, "First"), (0.4, 1.2, "Second")))
TINY = {"model": "nerv", "size": "3K", "epochs": 1, "batch_size": 6, "device": "cpu"}


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """A clip with sound, fitted whole and in two segments."""
    folder = tmp_path_factory.mktemp("sound")
    clip = write_clip(folder / "clip.mp4", tags=TAGS)
    ez.fit(clip, out=folder / "whole", **TINY)
    with mock.patch("enerv_zoo.batch.segments.survey", wraps=survey) as looks:
        ez.fit_segments(clip, segments=2, out=folder / "parts", **TINY)
    assert looks.call_count == 1, "it is looked over once, for its length and its sound"
    return folder


def sound_of(path):
    with av.open(str(path)) as container:
        streams = container.streams.audio
        return [bytes(packet) for packet in container.demux(streams) if packet.size] if streams else []


@pytest.mark.parametrize("name", ["whole", "parts"])
def test_a_fit_sounds_like_its_video(fits, name, tmp_path):
    clip, run, video = fits / "clip.mp4", open_run(fits / name), ez.load(fits / name)
    assert sound_of(fits / name / SOUND) == sound_of(clip)
    assert len(list((fits / name).rglob(SOUND))) == 1
    assert video.sound == run.sound == (fits / name / SOUND).read_bytes()
    assert (run.sound_bytes, video.info.tags) == (len(video.sound), TAGS)
    assert run.bytes == sum(part.stat().st_size for part in (fits / name).rglob("model.safetensors"))

    result = ez.compress(fits / name, tmp_path / "x.nvz")
    file = open_run(tmp_path / "x.nvz")
    size = (tmp_path / "x.nvz").stat().st_size
    assert (result.sound_bytes, result.bytes + result.sound_bytes) == (len(video.sound), size)
    assert file.bytes == result.bytes
    assert result.bpp == bits_per_pixel(result.bytes, video.info)
    again = ez.load(tmp_path / "x.nvz")
    assert (file.sound, again.sound, again.info.tags) == (video.sound, video.sound, TAGS)
    assert ez.evaluate(again, ez.open_video(clip), metrics=["psnr"]).stored_bytes == result.bytes
    again.save_pretrained(tmp_path / "saved")
    assert open_run(tmp_path / "saved").sound == video.sound

    for source in (video, again):
        written = ez.render(source, tmp_path / "out.mp4")
        assert sound_of(written) == sound_of(clip)
        assert ez.open_video(written).info.tags == TAGS
    part = ez.render(again, tmp_path / "part.mp4", frames="3:9")
    codec, samples = heard(part)
    assert codec == "aac"
    assert samples.size / RATE == pytest.approx(0.6, abs=0.05)
    assert ez.open_video(part).info.tags.chapters == ((0.0, 0.1, "First"), (0.1, 0.6, "Second"))
    assert sound_of(ez.render(video, tmp_path / "smooth.mp4", fps=20)) == sound_of(clip)
    assert sound_of(ez.render(video, tmp_path / "slow.mp4", speed=0.5)) == []


@pytest.mark.parametrize("name", ["whole", "parts"])
def test_sound_is_left_out_where_it_is_not_wanted(fits, name, tmp_path):
    ez.compress(fits / name, tmp_path / "x.nvz", sound=False, measure=False)
    ez.render(ez.load(fits / name), tmp_path / "x.mp4", sound=False)
    fit = ez.fit if name == "whole" else ez.fit_segments
    fit(fits / "clip.mp4", out=tmp_path / "run", sound=False, **TINY, **({} if name == "whole" else {"segments": 2}))
    for path in ("x.nvz", "run"):
        run = open_run(tmp_path / path)
        assert (run.sound, run.sound_bytes, run.info.tags, ez.load(tmp_path / path).sound) == (None, 0, None, None)
    assert (tmp_path / "x.nvz").read_bytes()[8] == 1
    assert b"Evening" not in b"".join(p.read_bytes() for p in (tmp_path / "run").rglob("*.json"))
    written = ez.open_video(tmp_path / "x.mp4")
    assert (written.sound, written.info.tags) == (None, None)


def test_a_replaced_fit_loses_its_sound(fits, tmp_path):
    ez.load(fits / "whole").save_pretrained(tmp_path / "x")
    ez.fit(ez.open_video(fits / "clip.mp4").frames, out=tmp_path / "x", overwrite=True, **TINY)
    assert open_run(tmp_path / "x").sound is None
    result = ez.fit(ez.open_video(fits / "clip.mp4", frames="2:8"), **TINY)
    assert heard_seconds(result.video.sound, tmp_path) == pytest.approx(0.6, abs=0.05)


def heard_seconds(sound, folder):
    (folder / "heard.mp4").write_bytes(sound)
    return heard(folder / "heard.mp4")[1].size / RATE


def test_a_target_holds_with_sound(fits, tmp_path):
    free = ez.compress(fits / "whole", tmp_path / "x.nvz", bits=6, measure=False)
    result = ez.compress(fits / "whole", tmp_path / "y.nvz", bpp=free.bpp, measure=False)
    assert result.bpp <= free.bpp
