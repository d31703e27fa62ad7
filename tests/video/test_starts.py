"""Every start in every kind of container: what reading from the start gives, with the same rate and the same times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from enerv_zoo.errors import VideoError
from enerv_zoo.video import open_video
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.packets import MIN_FRAMES_TO_SEEK
from enerv_zoo.video.scenes import survey
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.timing import timing

from .conftest import Encode, moving

COUNT = 110
REORDERED = {"bf": "3", "g": "20"}
OPEN = {"bf": "3", "g": "20", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0"}
HEVC = {"x265-params": "log-level=none:keyint=20:open-gop=1:bframes=4", "preset": "ultrafast"}
REFRESHED = {"bf": "0", "g": "20", "x264-params": "intra-refresh=1"}

ENCODED = [
    *((f"reordered.{suffix}", "libx264", REORDERED) for suffix in ("avi", "mp4", "mkv", "ts", "flv", "asf", "nut")),
    *((f"open.{suffix}", "libx264", OPEN) for suffix in ("avi", "mp4", "ts")),
    *((f"hevc.{suffix}", "libx265", HEVC) for suffix in ("mp4", "ts")),
    *((f"refreshed.{suffix}", "libx264", REFRESHED) for suffix in ("mp4", "ts")),
    *((f"part2.{suffix}", "mpeg4", {"bf": "2", "g": "20"}) for suffix in ("avi", "mp4")),
    *((f"mpeg2.{suffix}", "mpeg2video", {"bf": "2", "g": "18"}) for suffix in ("avi", "mpg", "ts")),
    ("flash.flv", "flv", {"g": "20"}),
    ("windows.wmv", "wmv2", {"g": "20"}),
    ("lossless.avi", "ffv1", {"g": "20"}),
]
COPIED = [
    ("reordered.mp4", "libx264", REORDERED, "copy.avi"),
    ("open.mp4", "libx264", OPEN, "copy.mkv"),
    ("open.mp4", "libx264", OPEN, "copy.flv"),
    ("part2.mp4", "mpeg4", {"bf": "2", "g": "20"}, "copy.avi"),
]


def copy(source: Path, target: Path, change: Callable[[av.Packet], None] = lambda packet: None) -> Path:
    """Put the packets of a file into another container, as `ffmpeg -c copy` does."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        raw = target.suffix == ".avi" and stream.codec_context.name == "libx264"
        as_stream = BitStreamFilterContext("h264_mp4toannexb", old.streams.video[0], stream) if raw else None
        first: int | None = None
        for packet in old.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                first = packet.dts if first is None else first
                packet.pts, packet.dts = packet.pts - first, packet.dts - first
                change(packet)
                for each in as_stream.filter(packet) if as_stream else [packet]:
                    each.stream = stream
                    new.mux(each)
    return target


def assert_the_same_from_every_start(path: Path, count: int = COUNT, step: int = 1) -> None:
    file = VideoFile(path)
    whole = list(file.frames(Selection()))
    assert len(whole) == count
    for start in range(MIN_FRAMES_TO_SEEK, count, step):
        selection = Selection(start, min(start + 2, count))
        for (pixels, moment), (expected, when) in zip(file.frames(selection), whole[start:], strict=False):
            assert np.array_equal(pixels, expected), start
            assert moment == when, start
    info = open_video(path).info
    assert (info.fps, info.timestamps) == timing([moment for _, moment in whole], file.rate, 1, file.tick)
    surveyed = survey(path, scenes=False).info
    assert (surveyed.frames, surveyed.fps, surveyed.timestamps) == (count, info.fps, info.timestamps)
    rates = {open_video(path, frames=f"{start}:{start + 5}").info.fps for start in (0, 3, 50, 51, 77, 93)}
    assert rates == {info.fps} == {25.0}


@pytest.mark.parametrize(("name", "codec", "options"), ENCODED, ids=[case[0] for case in ENCODED])
def test_encoded(encode: Encode, name: str, codec: str, options: dict[str, str]) -> None:
    assert_the_same_from_every_start(encode(name, moving(COUNT, 48, 64), codec, options=options))


@pytest.mark.parametrize(("name", "codec", "options", "target"), COPIED, ids=[f"{c[0]}-{c[3]}" for c in COPIED])
def test_copied(encode: Encode, tmp_path: Path, name: str, codec: str, options: dict[str, str], target: str) -> None:
    source = encode(name, moving(COUNT, 48, 64), codec, options=options)
    path = copy(source, tmp_path / target)
    assert_the_same_from_every_start(path)
    assert np.array_equal(open_video(path).frames, open_video(source).frames)


@pytest.mark.parametrize(("codec", "options"), [("libx264", REORDERED), ("libx264", OPEN), ("libx265", HEVC)])
def test_timestamps_of_decoding_in_a_container_that_has_those_of_display(
    encode: Encode, tmp_path: Path, codec: str, options: dict[str, str]
) -> None:
    """A program that wraps a raw stream and counts packets stamps them in decoding order."""
    source = encode("source.mp4", moving(COUNT, 48, 64), codec, options=options)
    count = 0

    def stamp(packet: av.Packet) -> None:
        nonlocal count
        packet.pts = packet.dts = count * 512
        count += 1

    assert_the_same_from_every_start(copy(source, tmp_path / "wrapped.mkv", stamp))


def test_a_cut_by_an_edit_list(encode: Encode, tmp_path: Path) -> None:
    def earlier(packet: av.Packet) -> None:
        packet.pts, packet.dts = packet.pts - 512 * 12, packet.dts - 512 * 12

    source = encode("source.mp4", moving(COUNT, 48, 64), options=OPEN)
    path = copy(source, tmp_path / "cut.mp4", earlier)
    assert_the_same_from_every_start(path, COUNT - 10)
    assert np.array_equal(open_video(path).frames, open_video(source, frames="10:").frames)


@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", REORDERED), ("libx265", HEVC), ("mpeg2video", {"bf": "2", "g": "18"})]
)
def test_joined_recordings_are_read_whole(encode: Encode, tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    part = encode("part.ts", moving(60, 48, 64), codec, options=options)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part.read_bytes() * 2)
    assert_the_same_from_every_start(joined, 120, step=7)
    frames = open_video(joined).frames
    assert np.array_equal(frames[:60], frames[60:])
    assert np.array_equal(frames[:60], open_video(part).frames)


@pytest.mark.parametrize("begins", [(0, 2500), (2500, 0)])
def test_each_joined_recording_has_a_clock_of_its_own(encode: Encode, tmp_path: Path, begins: tuple[int, int]) -> None:
    images = moving(60, 48, 64)
    parts = [encode(f"{n}.ts", images, options=REORDERED, pts=range(n, n + 60)) for n in begins]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert_the_same_from_every_start(joined, 120, step=7)
    for frames in (None, "::7", "55:65"):
        info = open_video(joined, frames=frames).info
        assert (info.fps, info.timestamps) == (pytest.approx(25 / 7 if frames == "::7" else 25), None)


def test_a_change_of_size_in_joined_recordings(encode: Encode, tmp_path: Path) -> None:
    parts = [encode(f"{side}.ts", moving(30, side, 64), options=REORDERED) for side in (48, 64)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(VideoError, match=r"size changes at frame 30 from 64x48 to 64x64; frames='0:30'.*'30:'"):
        open_video(joined)
    for frames, part in (("0:30", parts[0]), ("30:", parts[1])):
        assert np.array_equal(open_video(joined, frames=frames).frames, open_video(part).frames)


def test_lost_packets_are_damage(encode: Encode, tmp_path: Path) -> None:
    data = encode("whole.ts", np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), dtype=np.uint8)).read_bytes()
    middle = len(data) // 376 * 188
    (tmp_path / "lost.ts").write_bytes(data[:middle] + data[middle + 5 * 188 :])
    with pytest.raises(VideoError, match="damaged or truncated"):
        open_video(tmp_path / "lost.ts")
