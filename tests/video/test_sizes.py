"""What `resize` takes: named sides, one side, a part, a number of pixels."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

from enerv_zoo.config import VideoInfo, size_text
from enerv_zoo.errors import VideoError
from enerv_zoo.models.geometry import plan
from enerv_zoo.recipes import PRESETS, read_recipe
from enerv_zoo.video import open_video, parse_resize
from enerv_zoo.video.scenes import survey
from enerv_zoo.video.sizes import as_size

CLIPS = [
    (720, 1280), (1280, 720), (1080, 1080), (272, 640), (640, 272), (480, 640), (576, 720), (480, 854), (768, 1366),
    (1080, 2560), (800, 1920), (240, 320), (144, 176), (288, 352), (17, 33), (161, 161), (2160, 4096), (1, 1),
]  # fmt: skip


def test_sizes_may_be_of_numpy() -> None:
    assert as_size(tuple(np.array([36, 64]))) == (36, 64)  # type: ignore[arg-type]
    assert parse_resize(np.int64(64)).size(100, 200) == (32, 64)  # type: ignore[arg-type]
    assert open_video("bunny", frames="0", stream=None, crop=(np.int32(36), np.int32(64))).info.width == 64


def test_text_is_width_first() -> None:
    assert size_text(720, 1280) == "1280x720"
    assert VideoInfo(1, 36, 64).size_text == "64x36"
    assert parse_resize("64x36").size(720, 1280) == parse_resize((36, 64)).size(1, 1) == (36, 64)
    assert open_video("bunny", frames="0", resize="64x36").frames.shape == (1, 3, 36, 64)


@pytest.mark.parametrize(
    ("resize", "frame", "expected"),
    [
        ("360p", (720, 1280), (360, 640)),
        ("360P", (1280, 720), (640, 360)),
        ("360p", (272, 640), (360, 848)),
        ("720p", (720, 1281), (720, 1281)),
        ("256", (720, 1280), (144, 256)),
        (256, (1280, 720), (256, 144)),
        ("256", (272, 640), (108, 256)),
        ("50%", (720, 1280), (360, 640)),
        ("50%", (17, 33), (8, 16)),
        ("50%", (62, 36), (31, 18)),
        ("12.5%", (720, 1280), (90, 160)),
        ("1%", (17, 33), (1, 1)),
        ("0.0576mp", (720, 1280), (180, 320)),
        (" .047 MP ", (720, 1280), (162, 288)),
    ],
)
def test_the_aspect_is_kept(resize: str | int, frame: tuple[int, int], expected: tuple[int, int]) -> None:
    assert parse_resize(resize).size(*frame) == expected
    assert parse_resize(resize).note(*frame) is None


@pytest.mark.parametrize(
    "resize",
    ["", "x", "0p", "0", "0%", "0MP", "36.5p", "-5", "1e9", "720*1280", "1280 720", "70000", "9999999", "0x9", "9x0",
     "70000x2", 7.5, True, None, (1, 2, 3), (0, 1), (1.5, 2), ["a", 1]],
)  # fmt: skip
def test_what_is_no_size_is_refused(resize: object) -> None:
    with pytest.raises(VideoError, match="is no size"):
        parse_resize(resize)  # type: ignore[arg-type]


def test_what_would_be_too_large_is_refused() -> None:
    for resize in ("65000p", "999999%"):
        with pytest.raises(VideoError, match=r"a frame of 1280x720 would become \d+x\d+; each side must lie in 1 to"):
            parse_resize(resize).size(720, 1280)


@pytest.mark.parametrize("frame", CLIPS, ids=lambda frame: size_text(*frame))
@pytest.mark.parametrize("pixels", [0.047, 0.058, 0.25, 1.0])
def test_a_number_of_pixels(frame: tuple[int, int], pixels: float) -> None:
    height, width = parse_resize(f"{pixels}MP").size(*frame)
    assert height <= frame[0]
    assert width <= frame[1]
    if frame[0] * frame[1] <= pixels * 1e6:
        assert (height, width) == frame
        return
    assert abs(width * frame[0] / (height * frame[1]) - 1) <= 0.01
    shorter = min(height, width)
    assert (shorter > 160) == (min(frame) > 160), "MS-SSIM exists wherever the clip allows it"
    if shorter > 168:
        assert 0.85 <= height * width / (pixels * 1e6) <= 1.15
    grid, strides = plan(height, width)
    surplus = grid[0] * grid[1] * math.prod(strides) ** 2 / (height * width) - 1
    assert surplus < 0.08, "strides divide the sides, or nearly so"


def test_a_floor_does_not_cost_more_than_twice_the_pixels() -> None:
    height, width = parse_resize("0.047MP").size(200, 10_000)
    assert height * width < 2 * 47_000
    assert parse_resize("0.047MP").size(100, 1280) == (60, 768)


@pytest.mark.parametrize(
    ("size", "frame", "better"),
    [("256x144", (1280, 720), "144x256"), ("1080x1920", (1080, 1920), "1920x1080"), ("100x100", (720, 1280), "134x75")],
)
def test_named_sides_that_squeeze_are_noted(size: str, frame: tuple[int, int], better: str) -> None:
    note = parse_resize(size).note(*frame)
    assert note is not None
    assert note == f"{size} changes the aspect of frames of {size_text(*frame)} (WIDTHxHEIGHT); {better} keeps it"
    assert parse_resize(better).note(*frame) is None


def test_the_note_is_logged_once_and_only_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    array = np.zeros((3, 90, 160, 3), np.uint8)
    open_video(array, resize="100x100")
    assert caplog.messages == ["100x100 changes the aspect of frames of 160x90 (WIDTHxHEIGHT); 134x75 keeps it"]
    caplog.clear()
    open_video(open_video(array), resize=(100, 100))
    assert len(caplog.messages) == 1
    caplog.clear()
    survey("bunny", frames="0:2", resize="100x100", scenes=False)
    assert len(caplog.messages) == 1
    caplog.clear()
    open_video(array, resize="81x45")  # 0.5 % off
    open_video(array, crop=(90, 90), resize="50x50")
    open_video(array, resize="50%")
    assert not caplog.messages


def test_presets_keep_the_aspect() -> None:
    for name in PRESETS.keys() - {"auto"}:
        video = read_recipe(name).video
        for frame in ((720, 1280), (1280, 720), (1080, 1080), (272, 640), (17, 33)):
            height, width = parse_resize(video["resize"]).size(*frame) if "resize" in video else frame
            assert abs(width * frame[0] / (height * frame[1]) - 1) <= 0.02
            assert (min(height, width) > 160) == (min(frame) > 160)
    assert parse_resize(read_recipe("quick").video["resize"]).size(720, 1280) == (162, 288)
