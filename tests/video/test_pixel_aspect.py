"""Pixels that are not square: they are taken as they are stored, and their shape goes along."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.config import VideoInfo, from_dict, to_dict
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.storage import open_run
from enerv_zoo.video import Video, open_video, write_video
from enerv_zoo.video.scenes import survey
from enerv_zoo.video.transforms import bounded_aspect, resized_aspect

from .conftest import Encode, moving, turned

QCIF = Fraction(128, 117)
LOSSLESS = {"qp": "0"}


def qcif(encode: Encode, name: str = "qcif.mp4", count: int = 2) -> Path:
    return encode(name, moving(count, 144, 176), aspect=QCIF, options=LOSSLESS)


def test_stored_pixels_are_what_is_read(encode: Encode) -> None:
    plain = open_video(encode("square.mp4", moving(2, 144, 176), options=LOSSLESS))
    video = open_video(qcif(encode))
    assert plain.info.pixel_aspect == 1
    assert video.info.pixel_aspect == QCIF
    assert torch.equal(video.frames, plain.frames)


@pytest.mark.parametrize(("unit", "display"), [(0, (48, 24)), (3, (3, 2))])  # in pixels, or as an aspect
def test_a_webm_file_says_how_it_is_displayed(tmp_path: Path, unit: int, display: tuple[int, int]) -> None:
    path = write_video(tmp_path / "clip.webm", torch.zeros(2, 3, 24, 32, dtype=torch.uint8))
    data = path.read_bytes()
    place = data.index(b"\x55\xb0")  # the colour, which gives way to the unit, width and height of the display
    size = data[place + 2] - 0x80 + 3
    told = bytes([0x54, 0xB2, 0x81, unit, 0x54, 0xB0, 0x81, display[0], 0x54, 0xBA, 0x81, display[1]])
    void = bytes([0xEC, 0x80 + size - len(told) - 2]) + bytes(size - len(told) - 2)
    path.write_bytes(data[:place] + told + void + data[place + size :])
    assert open_video(path).info.pixel_aspect == Fraction(display[0] * 24, display[1] * 32)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.ts"])
def test_every_container_says_it(encode: Encode, name: str) -> None:
    assert open_video(qcif(encode, name)).info.pixel_aspect == QCIF


def test_square_pixels_are_resampled_where_asked(encode: Encode) -> None:
    square = open_video(encode("square.mp4", moving(2), options=LOSSLESS)).frames.permute(0, 2, 3, 1).numpy()
    wide = encode("wide.mp4", moving(2), aspect=Fraction(4, 3), options=LOSSLESS)
    video = open_video(wide, square_pixels=True)
    assert (video.info.height, video.info.width, video.info.pixel_aspect) == (64, 128, 1)
    stretched = np.repeat(square, 4, axis=2).reshape(2, 64, 128, 3, 3).mean(axis=3)
    assert np.abs(video.frames.permute(0, 2, 3, 1).numpy() - stretched).mean() < 3
    again = open_video(open_video(wide), square_pixels=True)
    assert torch.equal(again.frames, video.frames)
    assert again.info == video.info
    cropped = open_video(open_video(wide), square_pixels=True, crop=(64, 120))
    assert torch.equal(cropped.frames, video.frames[..., 4:124])


def test_a_turned_picture_has_turned_pixels(encode: Encode) -> None:
    path = turned(qcif(encode))
    info = open_video(path).info
    assert (info.height, info.width, info.pixel_aspect) == (176, 144, 1 / QCIF)
    info = open_video(path, square_pixels=True).info
    assert (info.height, info.width, info.pixel_aspect) == (193, 144, 1)


def test_a_resized_picture_keeps_its_shape_on_the_screen(encode: Encode) -> None:
    path = qcif(encode)
    assert open_video(path, resize=(72, 88)).info.pixel_aspect == QCIF
    assert open_video(path, resize=(144, 192)).info.pixel_aspect == QCIF * Fraction(176, 192)
    assert open_video(path, crop=(144, 88), resize=(72, 44)).info.pixel_aspect == QCIF
    assert open_video(path, crop=(144, 88), resize=(72, 88)).info.pixel_aspect == QCIF / 2
    assert open_video("bunny", frames="0", resize=(480, 854)).info.pixel_aspect == 1, "853.33 columns, rounded"
    assert open_video("bunny", frames="0", resize=(100, 100)).info.pixel_aspect == Fraction(16, 9)
    seen = survey(path, resize=(144, 192), scenes=False).info
    assert seen == open_video(path, resize=(144, 192)).info


def test_ratios_stay_within_what_files_hold() -> None:
    assert bounded_aspect(Fraction(1_000_001, 1_000_000)) == 1
    assert bounded_aspect(Fraction(10**9)) == 65_535
    assert bounded_aspect(Fraction(1, 10**9)) == Fraction(1, 65_535)
    assert resized_aspect(Fraction(65_535, 65_534), (3, 50_000), (50_000, 3)) == 65_535


def test_configs_name_it_only_where_pixels_are_not_square() -> None:
    square, wide = VideoInfo(3, 144, 176), VideoInfo(3, 144, 176, pixel_aspect=QCIF)
    assert "pixel_aspect" not in to_dict(square)
    assert to_dict(wide)["pixel_aspect"] == "128:117"
    for info in (square, wide):
        assert from_dict(VideoInfo, to_dict(info)) == info
    for wrong in ("0:1", "1:0", "1:70000", "-1:2", "1e999999999", 1.5, [1, 2], None):
        with pytest.raises(ConfigError, match="a pixel aspect is a ratio of 1 to 65535 such as '128:117', got"):
            from_dict(VideoInfo, {**to_dict(square), "pixel_aspect": wrong})


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_movies_are_written_with_it(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", open_still(QCIF))
    with av.open(str(path)) as file:
        assert file.streams.video[0].sample_aspect_ratio == QCIF
    info = open_video(path).info
    assert (info.height, info.width, info.pixel_aspect) == (144, 176, QCIF)
    if shutil.which("ffprobe"):
        asked = ["-v", "error", "-show_entries", "stream=sample_aspect_ratio", "-of", "json", str(path)]
        answer = json.loads(subprocess.run(["ffprobe", *asked], capture_output=True, check=True).stdout)
        assert answer["streams"][0]["sample_aspect_ratio"] == "128:117"


@pytest.mark.parametrize("name", ["a.webm", "a.gif", "folder"])
def test_what_cannot_say_it_is_noted(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    write_video(tmp_path / name, open_still(QCIF))
    assert f"{name} cannot say that pixels have an aspect of 128:117" in caplog.text
    caplog.clear()
    write_video(tmp_path / f"square-{name}", open_still(Fraction(1)))
    assert not caplog.text


def test_a_ratio_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"a pixel aspect is a ratio of 1 to 65535 such as '128:117', got Fraction\(0"):
        write_video(tmp_path / "a.mp4", open_still(Fraction(1)), pixel_aspect=Fraction(0))
    assert not list(tmp_path.iterdir())


def open_still(aspect: Fraction) -> Video:
    video = open_video(moving(2, 144, 176))
    return Video(video.frames, VideoInfo(2, 144, 176, 25.0, pixel_aspect=aspect))


def test_a_fit_keeps_it_everywhere(encode: Encode, tmp_path: Path) -> None:
    path = encode("small.mp4", moving(2, 36, 44), aspect=QCIF, options=LOSSLESS)
    options = {"size": "60K", "epochs": 1, "batch_size": 1, "loss": "L2"}
    result = ez.fit(path, "nerv", out=tmp_path / "fit", **options)
    assert (result.metrics["height"], result.metrics["width"]) == (36, 44)
    assert json.loads((tmp_path / "fit/config.json").read_text())["video"]["pixel_aspect"] == "128:117"
    ez.compress(tmp_path / "fit", tmp_path / "fit.nvz")
    for run in (tmp_path / "fit", tmp_path / "fit.nvz"):
        fitted = ez.load(run)
        assert fitted.info.pixel_aspect == QCIF
        ez.render(fitted, tmp_path / "fit.mp4")
        shown = open_video(tmp_path / "fit.mp4").info
        assert (shown.height, shown.width, shown.pixel_aspect) == (36, 44, QCIF)
    parts = ez.fit_segments(path, "nerv", out=tmp_path / "parts", segments=2, **options)
    assert parts.video.info.pixel_aspect == QCIF
    square = ez.fit(path, "nerv", out=tmp_path / "square", square_pixels=True, **options)
    assert (square.metrics["height"], square.metrics["width"]) == (36, 48)
    assert square.video.info.pixel_aspect == 1
    report = ez.evaluate(square.video, open_run(tmp_path / "square").original())
    assert report.psnr == pytest.approx(square.metrics["psnr"], abs=1e-3)
    with pytest.raises(VideoError, match="square_pixels=True"):
        ez.evaluate(square.video, path)


def test_codecs_measure_what_the_file_holds(encode: Encode, tmp_path: Path) -> None:
    path = qcif(encode, count=3)
    result = ez.rate_distortion(path, [], out=tmp_path / "rd", codecs=["x264"])
    assert (result.video["height"], result.video["width"]) == (144, 176)
    (curve,) = result.curves
    assert all(point.bpp == pytest.approx(8 * point.bytes / (3 * 144 * 176)) for point in curve.points)
    result = ez.rate_distortion(path, [], out=tmp_path / "square", codecs=["x264"], square_pixels=True, crop=(144, 192))
    assert (result.video["height"], result.video["width"]) == (144, 192)
