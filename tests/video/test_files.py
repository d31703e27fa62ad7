from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from enerv_zoo.errors import VideoError
from enerv_zoo.video import open_video

from .conftest import Encode, moving, pixels

LOSSLESS = {"qp": "0"}
Cut = Callable[[Path, float], Path]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("clip.mp4", "libx264", "yuv420p", {"bf": "3"}),
        ("clip.mov", "libx264", "yuv420p", {"bf": "3"}),
        ("clip.mkv", "libx264", "yuv420p", {"bf": "3"}),
        ("clip.ts", "libx264", "yuv420p", {"bf": "3"}),
        ("clip.h264", "libx264", "yuv420p", {"bf": "3"}),
        ("h264.avi", "libx264", "yuv420p", {"bf": "3"}),
        ("clip.avi", "mpeg4", "yuv420p", {"bf": "2", "q": "2"}),
        ("hevc.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        ("clip.webm", "libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "crf": "20"}),
        ("clip.gif", "gif", "rgb8", {}),
        ("clip.y4m", "wrapped_avframe", "yuv420p", {}),
        ("ffv1.mkv", "ffv1", "bgr0", {}),
        ("percent%03d:colon.mp4", "libx264", "yuv420p", {}),
    ],
)
def test_whole_files_are_read_whole(
    encode: Encode, tmp_path: Path, name: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    images = moving(30)
    plain = name.replace("percent%03d:colon", "plain")
    path = encode(plain, images, codec, pix_fmt, options=options).rename(tmp_path / name)
    video = open_video(path)
    assert (video.info.frames, video.info.height, video.info.width) == (30, 64, 96)
    assert (video.info.fps, video.info.timestamps, video.info.name) == (25.0, None, Path(name).stem)
    error = np.abs(video.frames.permute(0, 2, 3, 1).numpy().astype(int) - images).mean(axis=(1, 2, 3))
    assert error.max() < (30 if name.endswith("gif") else 10)
    assert np.array_equal(pixels(path, frames="7:20:6"), pixels(path)[7:20:6])


def test_unusual_layouts_are_no_damage(encode: Encode, tmp_path: Path) -> None:
    source = encode("clip.mp4", moving(30), options={"bf": "3", "g": "8"})

    def remux(name: str, shift: int, options: dict[str, str]) -> Path:
        with av.open(str(source)) as old, av.open(str(tmp_path / name), "w", options=options) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.dts is not None and packet.pts is not None:
                    packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                    new.mux(packet)
        return tmp_path / name

    fragmented = remux("fragmented.mp4", 0, {"movflags": "+frag_keyframe+empty_moov"})
    assert np.array_equal(pixels(fragmented), pixels(source))
    # Frames before zero are in the file, and cut by its edit list: the header counts 30.
    trimmed = remux("trimmed.mp4", 512 * 10, {})
    assert np.array_equal(pixels(trimmed), pixels(source)[10:])
    pts = [*range(10), *range(15, 30)]
    with_gap = encode("gap.avi", moving(25), "mpeg4", pts=pts)  # AVI counts the dropped frames
    assert open_video(with_gap).info.timestamps == pytest.approx([n / 25 for n in pts])


def test_fractional_rates_are_exact(encode: Encode) -> None:
    for name in ("clip.mp4", "clip.mkv", "clip.avi"):
        path = encode(name, moving(12), "mpeg4", rate=Fraction(30000, 1001))
        assert open_video(path).info.fps == 30000 / 1001
        assert open_video(path, frames="::3").info.fps == pytest.approx(10000 / 1001)


def test_variable_frame_rate(encode: Encode) -> None:
    pts = [0, 40, 80, 200, 240, 400, 1000]
    path = encode("clip.mkv", moving(7), pts=pts, tick=Fraction(1, 1000))
    info = open_video(path).info
    assert info.timestamps == pytest.approx([moment / 1000 for moment in pts])
    assert info.fps == pytest.approx(6.0)
    assert open_video(path, frames="3:").info.timestamps == pytest.approx([0, 0.04, 0.2, 0.8])
    start = open_video(path, frames=":3").info
    assert start.timestamps is None
    assert start.fps == pytest.approx(25.0)


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1, (1, 2))),  # a phone held upright: a quarter turn clockwise
        ((0, -1, 1, 0), lambda a: np.rot90(a, 1, (1, 2))),
        ((-1, 0, 0, -1), lambda a: a[:, ::-1, ::-1]),
        ((-1, 0, 0, 1), lambda a: a[:, :, ::-1]),
        ((0, 1, 1, 0), lambda a: a.transpose(0, 2, 1, 3)),
        ((1, 0, 0, 1), lambda a: a),
    ],
)
def test_rotation(encode: Encode, matrix: tuple[int, ...], turn: Callable[[np.ndarray], np.ndarray]) -> None:
    path = encode("clip.mp4", moving(3), options=LOSSLESS)
    plain = pixels(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # the track's matrix: a b u, c d v, x y w
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    assert np.array_equal(pixels(path), turn(plain))


def test_orientation_of_a_photo(still: Encode) -> None:
    path = still("photo.jpg", moving(1, 32, 48)[0], "mjpeg", "yuvj444p")
    plain = pixels(path)
    data = path.read_bytes()
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"  # orientation 6: turn a quarter clockwise to view
    exif = b"Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\0\0\0\0"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    assert np.array_equal(pixels(path), np.rot90(plain, -1, (1, 2)))


def test_ten_bits(encode: Encode) -> None:
    images = moving(4)
    path = encode("clip.mkv", images, "ffv1", "yuv444p10le")
    assert np.abs(pixels(path).astype(int) - images).max() <= 4


@pytest.mark.parametrize(("full", "matrix"), [(False, 1), (True, 1), (False, 5), (True, 5), (False, 9)])
def test_tagged_colours(tmp_path: Path, full: bool, matrix: int) -> None:
    red, green, blue = 0.75, 0.25, 0.5
    k_red, k_blue = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    luma = k_red * red + (1 - k_red - k_blue) * green + k_blue * blue
    chroma = (blue - luma) / (2 - 2 * k_blue), (red - luma) / (2 - 2 * k_red)
    values = (
        [luma * 255, *(128 + c * 255 for c in chroma)] if full else [16 + luma * 219, *(128 + c * 224 for c in chroma)]
    )
    frame = av.VideoFrame(32, 32, "yuv444p")
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(bytes([round(value)]) * plane.buffer_size)
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        frame.colorspace, frame.color_range, frame.pts = matrix, 2 if full else 1, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert np.abs(pixels(path)[0, 5, 5] - 255 * np.array([red, green, blue])).max() < 3


@pytest.mark.parametrize(("pix_fmt", "channels"), [("gray", 1), ("rgba", 3), ("rgb48be", 3), ("gray16be", 1)])
def test_kinds_of_png(still: Encode, pix_fmt: str, channels: int) -> None:
    image = moving(1, 20, 30)[0]
    image = np.repeat(image[..., :1], 3, axis=-1) if channels == 1 else image
    video = open_video(still("image.png", image, pix_fmt=pix_fmt))
    assert (video.info.frames, video.info.fps, video.info.name) == (1, None, "image")
    assert np.abs(video.frames[0].permute(1, 2, 0).numpy().astype(int) - image).max() <= 2


def test_a_transparent_image_keeps_its_colours(still: Encode) -> None:
    rgba = np.concatenate([moving(1, 20, 30)[0], np.zeros((20, 30, 1), np.uint8)], axis=-1)
    path = still("image.png", av.VideoFrame.from_ndarray(rgba, format="rgba"), pix_fmt="rgba")
    assert np.array_equal(pixels(path)[0], rgba[..., :3])


def test_a_palette_image(still: Encode) -> None:
    indices = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0], palette[:, 1:] = 255, np.arange(256)[:, None] * (1, 3, 7) % 256  # alpha, red, green, blue
    frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")
    assert np.array_equal(pixels(still("image.png", frame, pix_fmt="pal8"))[0], palette[indices][..., 1:])


def test_a_range_beyond_the_end(encode: Encode) -> None:
    for name in ("clip.mp4", "clip.mkv"):
        path = encode(name, moving(10))
        for frames in ("0:11", "10:", "10", "500:1000000000"):
            with pytest.raises(VideoError, match=r"clip.*which has 10 frames; choose within '0:10'"):
                open_video(path, frames=frames)
        assert len(open_video(path, frames="9")) == len(open_video(path, frames="9:10")) == 1


def test_reading_stops_after_the_last_needed_frame(encode: Encode, cut: Cut) -> None:
    path = cut(encode("clip.mp4", moving(30), container_options={"movflags": "+faststart"}), 0.9)
    assert len(open_video(path, frames="0:5")) == 5


@pytest.mark.parametrize("part", [0.3, 0.5, 0.75, 0.95, 0.999])
@pytest.mark.parametrize(("name", "codec", "bf"), [("clip.mp4", "libx264", "3"), ("clip.avi", "mpeg4", "0")])
def test_a_truncated_file_says_what_is_readable(
    encode: Encode, cut: Cut, name: str, codec: str, bf: str, part: float
) -> None:
    faststart = {"movflags": "+faststart"} if name == "clip.mp4" else {}
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 96, 3), dtype=np.uint8)
    path = encode(name, noise, codec, options={"bf": bf, "g": "10"}, container_options=faststart)
    whole, short = pixels(path), cut(path, part)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        ends = [packet.pos + packet.size for packet in packets if packet.pos is not None]
    complete = sum(end <= short.stat().st_size for end in ends)
    if name == "clip.avi" and part > 0.99:
        assert np.array_equal(pixels(short), whole)  # the index alone is cut, and no frame is lost
        return
    with pytest.raises(VideoError, match=r"damaged or truncated: \d+ of 30 frames are readable") as caught:
        open_video(short)
    readable = int(str(caught.value).split(" of 30")[0].split()[-1])
    assert complete - 4 <= readable <= complete  # the decoder needs some frames ahead
    assert f"frames='0:{readable}' (--frames) takes them" in str(caught.value)
    assert np.array_equal(pixels(short, frames=f"0:{readable}"), whole[:readable])
    with pytest.raises(VideoError, match="damaged or truncated"):
        open_video(short, frames=f"0:{readable + 1}")


@pytest.mark.skipif(int(av.__version__.split(".")[0]) < 17, reason="PyAV does not show a file's index before 17")
def test_a_cut_between_two_frames_is_noticed(encode: Encode, tmp_path: Path) -> None:
    path = encode("clip.mp4", moving(12), options={"bf": "0"}, container_options={"movflags": "+faststart"})
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][6]
        assert packet.pos is not None
        end = packet.pos
    short = tmp_path / "short.mp4"
    short.write_bytes(path.read_bytes()[:end])
    with pytest.raises(VideoError, match=r"6 of 12 frames are readable; frames='0:6'"):
        open_video(short)
    assert np.array_equal(pixels(short, frames="0:6"), pixels(path)[:6])


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts"])
def test_damage_in_the_middle(encode: Encode, name: str) -> None:
    path = encode(name, np.random.default_rng(0).integers(0, 256, (20, 64, 96, 3), dtype=np.uint8), "mpeg2video")
    whole = pixels(path)
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) * 3 // 4, 97):
        data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"damaged or truncated: \d+ frames are readable; frames='0:\d+'") as caught:
        open_video(path)
    readable = int(str(caught.value).split("'0:")[1].split("'")[0])
    assert 1 <= readable < 20
    assert np.array_equal(pixels(path, frames=f"0:{readable}"), whole[:readable])


def test_an_mp4_without_its_index(encode: Encode, cut: Cut) -> None:
    with pytest.raises(VideoError, match=r"truncated before its index \(moov\): 0 frames are readable"):
        open_video(cut(encode("clip.mp4", moving(10)), 0.5))


def test_the_size_changes(encode: Encode, tmp_path: Path) -> None:
    parts = [encode("a.h264", moving(6)), encode("b.h264", moving(6, 48, 80))]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(VideoError, match=r"changes at frame 6 from 96x64 to 80x48.*frames='0:6'"):
        open_video(path)
    assert len(open_video(path, frames="0:6")) == 6


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"sound\.wav: the file has no video stream"):
        open_video(path)


def test_a_title_that_is_not_utf_8_keeps_no_video_from_being_read(encode: Encode, tmp_path: Path) -> None:
    with av.open(str(encode("clip.mkv", moving(3)))) as source, av.open(str(tmp_path / "titled.mkv"), "w") as target:
        target.metadata["title"] = "A title"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    path = tmp_path / "titled.mkv"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"A title", b"\xc6 title"))
    assert path.read_bytes() != data
    assert len(open_video(path)) == 3


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes.png", "notes"])
def test_no_video_at_all(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Nothing to see here.\n" * 50)
    with pytest.raises(VideoError, match=r"notes.*not a video or an image"):
        open_video(tmp_path / name)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(VideoError, match="the file is empty"):
        open_video(tmp_path / "clip.mp4")


def test_a_video_without_frames(tmp_path: Path) -> None:
    (tmp_path / "clip.y4m").write_bytes(b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n")
    with pytest.raises(VideoError, match=r"clip\.y4m has no frames"):
        open_video(tmp_path / "clip.y4m")
