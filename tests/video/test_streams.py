"""Which of several video streams is read, and that a fit reads the same one again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

import enerv_zoo as ez
from enerv_zoo.errors import VideoError
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage import open_run
from enerv_zoo.video import open_video
from enerv_zoo.video.scenes import survey

from .conftest import moving, pixels

SMALL, LARGE = (32, 48), (64, 96)


def write(path: Path, sizes: list[tuple[int, int]], default: int | None = None, count: int = 6) -> Path:
    """A file of lossless streams of these (height, width), one of them marked as default."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, (height, width) in enumerate(sizes):
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
            stream.disposition = Disposition.default.value if number == default else 0
            streams.append(stream)
        for n in range(count):
            for number, (stream, size) in enumerate(zip(streams, sizes, strict=True)):
                frame = av.VideoFrame.from_ndarray(image(n, number, size), format="rgb24").reformat(format="bgr0")
                frame.pts, frame.time_base = n, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def image(n: int, number: int, size: tuple[int, int]) -> np.ndarray:
    return np.ascontiguousarray(np.roll(moving(n + 1, *size)[-1], number, axis=2))


def test_a_codec_that_nobody_knows_is_one_line(tmp_path: Path) -> None:
    path = ez.write_video(tmp_path / "clip.mp4", open_video("bunny", frames="0:3", resize="64x36"))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    for stream in (None, 0):
        with pytest.raises(VideoError, match=r"clip\.mp4: its codec is unknown here"):
            open_video(path, stream=stream)
    with pytest.raises(VideoError, match=r"has no video stream 1; it has 0 \(of an unknown codec, default\)"):
        open_video(path, stream=1)


@pytest.mark.parametrize(
    ("sizes", "default", "expected"),
    [
        ([SMALL, LARGE], 1, 1),
        ([LARGE, SMALL], 1, 1),  # the mark counts more than the size
        ([SMALL, LARGE], None, 1),
        ([LARGE, SMALL], None, 0),
        ([LARGE, LARGE], None, 0),
    ],
)
def test_the_default_stream(tmp_path: Path, sizes: list[tuple[int, int]], default: int | None, expected: int) -> None:
    path = write(tmp_path / "clip.mkv", sizes, default)
    frames = np.stack([image(n, expected, sizes[expected]) for n in range(6)])
    assert np.array_equal(pixels(path), frames)
    for number, size in enumerate(sizes):
        own = np.stack([image(n, number, size) for n in range(2, 4)])
        assert np.array_equal(pixels(path, stream=number, frames="2:4"), own)
        info = survey(path, stream=number, scenes=False).info
        assert (info.frames, info.height, info.width) == (6, *size)


def test_each_stream_has_its_own_index(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", [SMALL, LARGE], 0, count=60)
    for number, size in ((0, SMALL), (1, LARGE), (0, SMALL)):
        assert np.array_equal(pixels(path, stream=number, frames="55")[0], image(55, number, size))


def test_what_is_no_stream(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", [SMALL, LARGE], 1)
    with pytest.raises(VideoError, match=r"no video stream 2; it has 0 \(48x32 ffv1\), 1 \(96x64 ffv1, default\)"):
        open_video(path, stream=2)
    for stream in (-1, True, "1", 1.0):
        with pytest.raises(VideoError, match=r"expected 0, 1, \.\.\."):
            open_video(path, stream=stream)  # type: ignore[arg-type]
    with pytest.raises(VideoError, match=r"leave out stream \(--stream\)"):
        open_video(np.zeros((1, 8, 8, 3), np.uint8), stream=0)


def test_a_still_and_a_sequence(tmp_path: Path) -> None:
    frames = [Image.fromarray(each) for each in moving(6, 32, 48)]
    path = tmp_path / "moving.avif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    assert (len(open_video(path)), open_video(path).info.fps) == (6, 25.0)
    assert (len(open_video(path, stream=0)), open_video(path, stream=0).info.fps) == (1, None)
    assert len(open_video(path, stream=1)) == 6


def test_a_fit_remembers_its_stream(tmp_path: Path) -> None:
    path, out = write(tmp_path / "clip.mkv", [LARGE, LARGE], 0), tmp_path / "fit"
    options = {"size": "40K", "epochs": 1, "batch_size": 3, "frames": "0:3", "out": out}
    ez.fit(path, "nerv", stream=1, **options)  # type: ignore[arg-type]
    assert read_mapping(out / "fit.json")["video"] == {"frames": "0:3", "stream": 1}
    assert np.array_equal(open_run(out).original().frames[0].permute(1, 2, 0), image(0, 1, LARGE))
    assert np.array_equal(open_run(out).original(stream=0).frames[0].permute(1, 2, 0), image(0, 0, LARGE))
    other = write(tmp_path / "other.mkv", [LARGE])
    assert np.array_equal(open_run(out).original(other, frames="0:3").frames[0].permute(1, 2, 0), image(0, 0, LARGE))


def test_the_command_line_takes_a_stream(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    path, out = write(tmp_path / "clip.mkv", [LARGE, LARGE], 0), tmp_path / "fit"
    options = ("--size", "40K", "--epochs", 1, "--frames", "0:3", "--no-report", "--out", out)
    assert cli("fit", path, "--model", "nerv", "--stream", 1, *options)[0] == 0
    assert read_mapping(out / "fit.json")["video"]["stream"] == 1
    assert cli("eval", out)[0] == 0
    code, _, error = cli("fit", path, "--model", "nerv", "--stream", 2, *options, "--overwrite")
    assert (code, "no video stream 2" in error) == (1, True)
