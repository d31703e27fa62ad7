"""Raw `.yuv` files, by their names and by an option."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from enerv_zoo.errors import VideoError
from enerv_zoo.video import open_video
from enerv_zoo.video.raw import RawFormat, format_of_name, parse_raw_format
from enerv_zoo.video.scenes import survey

from .conftest import Encode, moving


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Beauty_1920x1080_120fps_420_8bit_YUV", RawFormat(1920, 1080, "yuv420p", Fraction(120))),
        ("Beauty_3840x2160_120fps_420_10bit_YUV", RawFormat(3840, 2160, "yuv420p10le", Fraction(120))),
        ("BQMall_832x480_60", RawFormat(832, 480, "yuv420p", Fraction(60))),
        ("FoodMarket4_3840x2160_60fps_10bit_420", RawFormat(3840, 2160, "yuv420p10le", Fraction(60))),
        ("Traffic_2560x1600_30_crop", RawFormat(2560, 1600, "yuv420p", Fraction(30))),
        ("clip_640x360_yuv422p10le_29.97fps", RawFormat(640, 360, "yuv422p10le", Fraction("29.97"))),
        ("clip_1920x1080_30p_420p10le", RawFormat(1920, 1080, "yuv420p10le", Fraction(30))),
        ("clip_1280x720_420", RawFormat(1280, 720)),
        ("foreman_cif", RawFormat(352, 288)),
        ("news_qcif_15hz", RawFormat(176, 144, "yuv420p", Fraction(15))),
        ("park_joy_420_720p50", None),
    ],
)
def test_what_names_say(name: str, expected: RawFormat | None) -> None:
    assert format_of_name(name) == expected


def test_the_notation() -> None:
    assert parse_raw_format("1920x1080:yuv420p:120") == RawFormat(1920, 1080, "yuv420p", Fraction(120))
    assert parse_raw_format("64x48") == RawFormat(64, 48, "yuv420p", None)
    assert parse_raw_format("64X48::30000/1001") == RawFormat(64, 48, "yuv420p", Fraction(30000, 1001))
    for text in ("", "64", "64x48:nonsense", "64x48:yuv420p:0", "64x48:yuv420p:1/0", "0x48", "64x48:yuv420p:25:1"):
        with pytest.raises(VideoError, match="expected WIDTHxHEIGHT:FORMAT:FPS"):
            parse_raw_format(text)


@pytest.mark.parametrize(
    ("pix_fmt", "words"), [("yuv420p", "420_8bit"), ("yuv444p10le", "444_10bit"), ("yuv422p", "422")]
)
def test_frames_are_those_of_a_lossless_file(encode: Encode, tmp_path: Path, pix_fmt: str, words: str) -> None:
    lossless = encode("clip.mkv", moving(20, 48, 66), "ffv1", pix_fmt)
    expected = open_video(lossless)
    path = tmp_path / f"Clip_66x48_25fps_{words}_YUV.yuv"
    with path.open("wb") as file, av.open(str(lossless)) as container:
        for frame in container.decode(video=0):
            for plane, part in zip(frame.planes, frame.format.components, strict=True):
                size = (part.bits + 7) // 8 * part.width
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: part.height, :size]
                file.write(rows.tobytes())
    video = open_video(path)
    assert np.array_equal(video.frames, expected.frames)
    assert (video.info.fps, video.info.name) == (25.0, path.stem)
    assert np.array_equal(open_video(path, frames="3:17:5").frames, expected.frames[3:17:5])
    bare = path.rename(tmp_path / "clip.bin")
    chosen = open_video(bare, yuv=f"66x48:{pix_fmt}:50", frames="19")
    assert np.array_equal(chosen.frames, expected.frames[19:])
    assert chosen.info.fps == 50.0
    assert survey(bare, yuv=f"66x48:{pix_fmt}:50").info.frames == 20
    with pytest.raises(VideoError, match="which has 20 frames"):
        open_video(bare, yuv=f"66x48:{pix_fmt}", frames="20")


def test_a_wrong_format_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "clip.yuv"
    path.write_bytes(bytes(64 * 48 * 3))
    with pytest.raises(VideoError, match=r"does not say its size; give it with yuv='1920x1080:yuv420p:50' \(--yuv\)"):
        open_video(path)
    with pytest.raises(VideoError, match=r"9,216 bytes are not a number of frames of 62x48 yuv420p"):
        open_video(path, yuv="62x48")
    path.write_bytes(b"")
    with pytest.raises(VideoError, match="0 bytes are not a number of frames"):
        open_video(path, yuv="62x48")


def test_other_sources_take_no_format(tmp_path: Path, still: Encode) -> None:
    still("clip/a.png", moving(1, 20, 30)[0])
    for source in (tmp_path / "clip", np.zeros((1, 8, 8, 3), np.uint8)):
        with pytest.raises(VideoError, match=r"leave out yuv \(--yuv\)"):
            open_video(source, yuv="8x8")


@pytest.mark.parametrize(
    ("pix_fmt", "size"), [("bgr0", 4), ("0rgb", 4), ("rgb565le", 2), ("x2rgb10le", 4), ("rgb24", 3)]
)
def test_bytes_of_no_colour_and_colours_that_share_bytes_are_counted(tmp_path: Path, pix_fmt: str, size: int) -> None:
    frames = [bytes([10 * number]) * (8 * 8 * size) for number in range(6)]
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "x.yuv").write_bytes(b"".join(frames))
    whole = open_video(folder / "x.yuv", yuv=f"8x8:{pix_fmt}:30")
    assert len(whole) == 6
    part = open_video(folder / "x.yuv", yuv=f"8x8:{pix_fmt}:30", frames="2:4")
    assert torch.equal(part.frames, whole.frames[2:4])


def test_a_colon_in_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a:b_16x16.yuv").write_bytes(bytes(3 * 384))
    assert len(open_video("a:b_16x16.yuv")) == 3
