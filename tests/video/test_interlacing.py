"""Interlaced frames: noted, taken as they are, or made whole."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import enerv_zoo as ez
from enerv_zoo.errors import VideoError
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage import open_run
from enerv_zoo.video import open_video
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.packets import FrameIndex
from enerv_zoo.video.scenes import survey

from .conftest import Encode, moving, pixels

LOSSLESS = {"qp": "0", "bf": "0"}
INTERLACED = {**LOSSLESS, "flags": "+ildct", "g": "8"}
COUNT = 60


def sliding(count: int, height: int = 64, width: int = 96) -> np.ndarray:
    """(N, H, W, 3): grey waves that move by three pixels per moment, smooth from row to row."""
    n, y, x = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), indexing="ij")
    grey = 128 + 100 * np.sin((x + 3 * n) / 6 + y / 40)
    return np.stack([grey] * 3, axis=-1).round().astype(np.uint8)


def woven(encode: Encode) -> Path:
    """A file whose frame n has its odd rows from moment 2 n and its even ones from the next (bottom field first)."""
    moments = sliding(2 * COUNT)
    frames = moments[::2].copy()
    frames[:, ::2] = moments[1::2, ::2]
    return encode("woven.mp4", frames, pix_fmt="yuv444p", options=INTERLACED)


def test_interlaced_frames_are_noted(encode: Encode, caplog: pytest.LogCaptureFixture) -> None:
    path = woven(encode)
    with caplog.at_level("INFO"):
        plain = pixels(path)
    assert [record.message for record in caplog.records if "interlaced" in record.message] == [
        f"{path}: frames are interlaced, so their odd and even rows are of two moments; --deinterlace "
        "(deinterlace=True) makes whole ones, --interlaced (False) takes them as they are"
    ]
    caplog.clear()
    with caplog.at_level("INFO"):
        assert np.array_equal(pixels(path, deinterlace=False), plain)
        open_video(encode("whole.mp4", moving(3)))
    assert "interlaced" not in caplog.text


def test_whole_frames_are_of_one_moment(encode: Encode) -> None:
    path = woven(encode)
    whole, combed = pixels(path, deinterlace=True), pixels(path)
    expected = sliding(2 * COUNT)[::2].astype(int)
    assert np.abs(combed - expected).mean() > 10
    assert np.abs(whole - expected).mean() < 3
    assert np.array_equal(whole[:, 1::2], combed[:, 1::2])  # the rows of that moment stay
    plain, info = open_video(path).info, open_video(path, deinterlace=True).info
    assert info == plain == survey(path, deinterlace=True, scenes=False).info


def test_the_same_whole_frames_from_every_start(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = woven(encode)
    whole = pixels(path, deinterlace=True)
    assert np.array_equal(pixels(path, frames="7:20:4", deinterlace=True), whole[7:20:4])
    decoded: list[int] = []
    plain = VideoFile.decode
    monkeypatch.setattr(VideoFile, "decode", lambda *a, **k: (decoded.append(1) or frame for frame in plain(*a, **k)))
    for start in range(50, COUNT):  # keyframes are 48 and 56
        decoded.clear()
        assert np.array_equal(pixels(path, frames=f"{start}:{start + 1}", deinterlace=True)[0], whole[start])
        assert len(decoded) <= 11


def test_an_index_that_is_wrong_further_on(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = woven(encode)
    whole, plain = pixels(path, deinterlace=True), FrameIndex.verified
    monkeypatch.setattr(FrameIndex, "verified", lambda *a: itertools.islice(plain(*a), 5))
    assert np.array_equal(pixels(path, frames="50:", deinterlace=True), whole[50:])


def test_other_frames_are_not_changed(encode: Encode) -> None:
    path = encode("whole.mp4", moving(6), options=LOSSLESS)
    assert np.array_equal(pixels(path, deinterlace=True), pixels(path))


def test_up_to_damage_frames_are_made_whole(encode: Encode) -> None:
    path = woven(encode)
    faststart = encode("f.mkv", pixels(path), pix_fmt="yuv444p", options=INTERLACED)
    data = bytearray(faststart.read_bytes())
    data[len(data) // 2 : len(data) * 3 // 4] = bytes(len(data) * 3 // 4 - len(data) // 2)
    faststart.write_bytes(data)
    with pytest.raises(VideoError, match=r"frames='0:\d+' \(--frames\) takes them") as caught:
        open_video(faststart, deinterlace=True)
    readable = int(str(caught.value).split("'0:")[1].split("'")[0])
    assert len(open_video(faststart, frames=f"0:{readable}", deinterlace=True)) == readable > 5


def test_a_change_of_size(encode: Encode, tmp_path: Path) -> None:
    parts = [encode(name, moving(6, *size)) for name, size in (("a.h264", (64, 96)), ("b.h264", (48, 80)))]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(VideoError, match=r"changes at frame 6 from 96x64 to 80x48"):
        open_video(path, deinterlace=True)
    assert len(open_video(path, frames="6:", deinterlace=True)) == 6


def test_a_fit_remembers_it(encode: Encode, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    path, out = woven(encode), tmp_path / "fit"
    options = ("--size", "40K", "--epochs", 1, "--batch-size", 3, "--frames", "0:3", "--no-report", "--out", out)
    code, _, error = cli("fit", path, "--model", "nerv", "--deinterlace", *options)
    assert (code, "interlaced" in error) == (0, False)
    assert read_mapping(out / "fit.json")["video"] == {"frames": "0:3", "deinterlace": True}
    whole = open_run(out).original().frames
    assert np.array_equal(whole.permute(0, 2, 3, 1), pixels(path, frames="0:3", deinterlace=True))
    with pytest.raises(ez.ConfigError, match="deinterlace is true or false, got 'yes'"):
        ez.fit(path, "nerv", deinterlace="yes", out=tmp_path / "other")  # type: ignore[arg-type]
