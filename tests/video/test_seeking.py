"""Frames from the middle of a file are those that decoding from its start gives, and what is before is not decoded."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from enerv_zoo.errors import VideoError
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.packets import MIN_FRAMES_TO_SEEK
from enerv_zoo.video.selection import Selection

FRAMES = 240
SIZE = 48, 64


def picture(number: int) -> np.ndarray:
    """A frame that says which one it is, in 8 bars of two brightnesses, and survives a codec."""
    bits = np.array([(number >> bit) & 1 for bit in range(8)], dtype=np.uint8) * 160 + 40
    return np.repeat(np.tile(np.repeat(bits, SIZE[1] // 8), (SIZE[0], 1))[..., None], 3, axis=2)


def read_number(frame: np.ndarray) -> int:
    bars = frame[8:40].reshape(32, 8, SIZE[1] // 8, 3).mean(axis=(0, 2, 3)) > 120
    return int(sum(int(bar) << bit for bit, bar in enumerate(bars)))


def write(path, codec, options=None, uneven=False, **settings):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts = number * 40 + (number * number % 7 * 5 if uneven else 0)
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


B_FRAMES = {"g": "48", "bf": "3", "x264-params": "scenecut=0:open-gop=1:b-pyramid=normal"}
CASES = {
    "b_frames.mp4": ("libx264", B_FRAMES),
    "b_frames.mkv": ("libx264", B_FRAMES),
    "transport.ts": ("libx264", B_FRAMES),
    "short_groups.mov": ("mpeg4", {"g": "12", "bf": "2"}),
    "one_keyframe.mp4": ("libx264", {"g": "1000"}),
    "vp9.webm": ("libvpx-vp9", {"g": "40", "deadline": "realtime", "cpu-used": "8"}),
    "vp8.webm": ("libvpx", {"g": "40", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}),
    "no_times.avi": ("mpeg4", {"g": "12", "bf": "2"}),
}


@pytest.fixture(scope="module", params=[(name, uneven) for name in CASES for uneven in (False, True)], ids=str)
def file(request, tmp_path_factory):
    name, uneven = request.param
    codec, options = CASES[name]
    return write(tmp_path_factory.mktemp("seek") / name, codec, options, uneven and not name.endswith("avi"))


def frames(path, text):
    start, stop = (int(part) if part else None for part in text.split(":"))
    return list(VideoFile(path).frames(Selection(start or 0, stop)))


def test_every_frame_has_the_number_that_decoding_from_the_start_gives_it(file):
    whole = frames(file, ":")
    assert [read_number(pixels) for pixels, _ in whole] == list(range(len(whole)))
    seek, end = MIN_FRAMES_TO_SEEK, len(whole)
    for start, stop in ((seek, seek + 3), (95, 98), (96, 97), (143, 150), (150, 151), (end - 1, end)):
        for (pixels, moment), (expected, when) in zip(frames(file, f"{start}:{stop}"), whole[start:stop], strict=True):
            assert (pixels == expected).all()
            assert moment == when
    assert len(frames(file, "200:")) == len(whole) - 200
    with pytest.raises(VideoError, match=f"which has {len(whole)} frames"):
        frames(file, f"100:{len(whole) + 1}")


def test_what_is_before_is_not_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.mp4", *CASES["b_frames.mp4"])
    decoded = []
    plain = VideoFile.decode
    monkeypatch.setattr(VideoFile, "decode", lambda *a: (decoded.append(1) or frame for frame in plain(*a)))
    assert [read_number(pixels) for pixels, _ in frames(path, "200:204")] == [200, 201, 202, 203]
    assert len(decoded) <= 48 + 4 + 4  # a group of pictures, what is asked for, and what was in flight


def test_an_index_that_is_wrong_is_noticed(tmp_path, monkeypatch):
    """Where packets announce a frame that never comes, frames are counted from the start."""
    path = write(tmp_path / "clip.mp4", *CASES["b_frames.mp4"])
    plain = VideoFile.decode

    def losing(self, container, stream, packets, before=0, clock=None):
        for i, frame in enumerate(plain(self, container, stream, packets, before, clock)):
            if clock is not None or i != 12:
                yield frame

    monkeypatch.setattr(VideoFile, "decode", losing)
    assert [read_number(pixels) for pixels, _ in frames(path, "150:170")] == list(range(150, 170))


def test_a_file_that_changes_is_indexed_again(tmp_path):
    path = write(tmp_path / "clip.mp4", *CASES["b_frames.mp4"])
    assert len(VideoFile(path).index()) == FRAMES
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(VideoError, match="truncated"):
        list(VideoFile(path).frames(Selection(100, 110)))
