"""Colours: what a file says of them is kept, right when it is read, and written back."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av import VideoFrame

import enerv_zoo as ez
from enerv_zoo.config import HD, MATRICES, PRIMARIES, TRANSFERS, Colour, VideoInfo, from_dict, to_dict
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.machine import scheduling_kept
from enerv_zoo.storage import open_run
from enerv_zoo.video import Video, open_video, write_video
from enerv_zoo.video.colours import to_float, to_yuv
from enerv_zoo.video.scenes import survey

from .conftest import Encode, moving, turned

SD = Colour("smpte170m", "smpte170m", "smpte170m")
PHOTO = Colour("bt709", "iec61966-2-1", "bt470bg", full_range=True)
PQ = Colour("bt2020", "smpte2084", "bt2020nc", bits=10)
HLG = Colour("bt2020", "arib-std-b67", "bt2020nc", bits=10)
PQ_NAMES = ("bt2020", "smpte2084", "bt2020nc")
P3 = Colour("smpte432", "bt709", "bt709", full_range=True, bits=10)


def patches(count: int = 2) -> torch.Tensor:
    """(N, 3, 48, 64), float: patches of 16 x 16 pixels, whose middle no filter of chroma changes."""
    colours = np.random.default_rng(0).random((count, 3, 3, 4), dtype=np.float32)
    return torch.from_numpy(colours.repeat(16, axis=2).repeat(16, axis=3))


MIDDLE = (slice(None), slice(8, None, 16), slice(8, None, 16))


def tags(path: Path) -> Colour:
    """What a file says of its colours, as ffprobe says it, or PyAV where there is no ffprobe."""
    if shutil.which("ffprobe"):
        asked = ["-v", "error", "-select_streams", "v", "-show_streams", "-of", "json", str(path)]
        stream = json.loads(subprocess.run(["ffprobe", *asked], capture_output=True, check=True).stdout)["streams"][0]
        names = [stream[f"color_{part}"] for part in ("primaries", "transfer", "space")]
        return Colour(*names, stream["color_range"] == "pc", 10 if "10" in stream["pix_fmt"] else 8)
    with av.open(str(path)) as file:
        codec: Any = file.streams.video[0].codec_context
        numbers = (codec.color_primaries, codec.color_trc, codec.colorspace)
        tables = zip((PRIMARIES, TRANSFERS, MATRICES), numbers, strict=True)
        names = [next(name for name, each in table.items() if each == number) for table, number in tables]
        return Colour(*names, codec.color_range == 2, codec.format.components[0].bits)


def by_ffmpeg(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, 48, 64, 3)


@pytest.mark.parametrize(
    ("suffix", "colour"),
    [("mp4", SD), ("webm", SD), ("mov", PHOTO), ("mkv", PHOTO), ("mp4", PQ), ("mkv", HLG), ("webm", HLG), ("mov", P3)],
    ids=str,
)
def test_files_keep_colours(tmp_path: Path, colour: Colour, suffix: str) -> None:
    frames = patches()
    path = write_video(tmp_path / f"clip.{suffix}", frames, colour=colour, quality=1)
    assert tags(path) == colour
    video = open_video(path, full_depth=False)
    assert video.info.colour == colour
    pixels = video.frames.permute(0, 2, 3, 1).numpy()[MIDDLE].astype(int)
    assert np.abs(pixels - 255 * frames.permute(0, 2, 3, 1).numpy()[MIDDLE]).max() < 4
    if shutil.which("ffmpeg"):
        assert np.abs(pixels - by_ffmpeg(path)[MIDDLE]).max() <= 2
    assert tags(write_video(tmp_path / f"again.{suffix}", video)) == colour


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("matrix", "red", "blue"), [("smpte170m", 0.299, 0.114), ("bt2020nc", 0.2627, 0.0593)])
def test_stored_values_are_those_of_the_standard(
    tmp_path: Path, matrix: str, red: float, blue: float, full_range: bool
) -> None:
    rgb = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0.25, 1]])
    luma = rgb @ [red, 1 - red - blue, blue]
    chroma = [(rgb[:, 2] - luma) / (2 - 2 * blue), (rgb[:, 0] - luma) / (2 - 2 * red)]
    for bits in (8, 10):
        images = np.broadcast_to(rgb.astype(np.float32)[:, :, None, None], (4, 3, 64, 64))
        colour = Colour(matrix=matrix, full_range=full_range, bits=bits)
        path = write_video(tmp_path / "clip.mkv", torch.from_numpy(images.copy()), colour=colour, quality=0)
        with av.open(str(path)) as file:
            frames = list(file.decode(video=0))
        dtype, steps = (np.uint8, 1) if bits == 8 else (np.uint16, 4)
        y, c, black = (2**bits - 1, 2**bits - 1, 0) if full_range else (219 * steps, 224 * steps, 16 * steps)
        expected = np.stack([luma * y + black, *(part * c + 128 * steps for part in chroma)], axis=1)
        stored = [[np.frombuffer(plane, dtype)[5] for plane in frame.planes] for frame in frames]
        assert np.abs(np.array(stored, float) - expected.clip(0, 2**bits - 1)).max() <= 1.01


def test_what_a_file_leaves_open_is_that_of_hd(encode: Encode) -> None:
    assert open_video(encode("plain.mp4", moving(2))).info.colour == HD
    assert open_video("bunny", frames="0").info.colour == HD
    assert open_video(encode("rgb.mkv", moving(2), "libx264rgb", "rgb24")).info.colour == HD
    deep = open_video(encode("deep.mkv", moving(2), "ffv1", "yuv422p12le")).info.colour
    assert deep == Colour(bits=12)
    assert str(deep) == "12 bits"


def test_an_unknown_matrix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.colorspace = 8
        file.mux([*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)])
    with pytest.raises(VideoError, match=r"yuv420p cannot be turned into RGB \(matrix ycgco\); convert the file"):
        open_video(path)


def test_descriptions_name_what_is_not_as_in_hd() -> None:
    plain, hlg = VideoInfo(3, 36, 44), VideoInfo(3, 36, 44, colour=HLG)
    assert "colour" not in to_dict(plain)
    assert to_dict(VideoInfo(3, 36, 44, colour=Colour(bits=10)))["colour"] == {"bits": 10}
    for info in (plain, hlg):
        assert from_dict(VideoInfo, json.loads(json.dumps(to_dict(info)))) == info
    for wrong, message in (
        ({"matrix": "bt2020"}, "colour matrix 'bt2020' is unknown. Did you mean 'bt2020nc'"),
        ({"transfer": 16}, "option 'colour.transfer': .*string"),
        ({"bits": 17}, "colour bits are 8 to 16, got 17"),
        ({"hue": "red"}, "no option 'colour.hue'"),
    ):
        with pytest.raises(ConfigError, match=message):
            from_dict(VideoInfo, {**to_dict(plain), "colour": wrong})


def test_what_cannot_say_it_is_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = Video((patches() * 255).round().byte(), VideoInfo(2, 48, 64, 25.0, colour=PQ))
    write_video(tmp_path / "a.gif", video)
    assert "a.gif cannot say that its colours are bt2020/smpte2084" in caplog.text
    caplog.clear()
    write_video(tmp_path / "b.gif", video, colour=SD)
    assert not caplog.text


def test_pictures_of_floats_have_sixteen_bits(tmp_path: Path) -> None:
    frames = patches()
    write_video(tmp_path / "folder", frames)
    with av.open(str(tmp_path / "folder/00001.png")) as file:
        wide = next(file.decode(video=0))
    assert wide.format.name == "rgb48be"
    assert np.array_equal(wide.to_ndarray(), (frames[1].permute(1, 2, 0) * 65535).round().numpy())
    with pytest.raises(VideoError, match=r"frame 0 holds values outside \[0, 1\], or NaN"):
        write_video(tmp_path / "other", frames - 0.5)


def test_full_depth_keeps_more_than_eight_bits(
    tmp_path: Path, encode: Encode, still: Encode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    frames = patches()
    path = write_video(tmp_path / "clip.mp4", frames, colour=P3, quality=0)
    assert open_video(path).frames.dtype == torch.uint8
    assert "colours of 10 bits are rounded to 8; --full-depth (full_depth=True) keeps them" in caplog.text
    caplog.clear()
    video = open_video(path, full_depth=True, place="disk")
    assert video.on_disk
    assert video.frames.dtype == torch.float16
    middle = (slice(None), *MIDDLE)
    assert (video.frames.float() - frames)[middle].abs().max() < 2.5 / 1023
    assert torch.equal(open_video(video, frames="1").frames, video.frames[1:])
    small = open_video(path, full_depth=True, resize="32x24", crop="64x48").frames
    assert small.dtype == torch.float16
    assert 0 <= small.min() < small.max() <= 1
    assert (open_video(video, resize="32x24").frames - small).abs().max() < 0.002
    assert open_video(encode("eight.mp4", moving(2)), full_depth=True).frames.dtype == torch.uint8
    assert "rounded" not in caplog.text

    wide = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    still("folder/a.png", av.VideoFrame.from_ndarray(wide, format="rgb48be"), "png", "rgb48be")
    still("folder/b.png", moving(1, 20, 30)[0])
    pictures = open_video(tmp_path / "folder", full_depth=True)
    assert pictures.info.colour == Colour(bits=16)
    assert survey(tmp_path / "folder", full_depth=True).info == pictures.info
    folder = pictures.frames.permute(0, 2, 3, 1).float().numpy()
    assert np.abs(folder[0] - wide / 65535).max() < 2**-11
    assert np.abs(folder[1] - moving(1, 20, 30)[0] / 255).max() < 2**-11
    tiff = still("a.tif", av.VideoFrame.from_ndarray(wide, format="rgb48le"), "tiff", "rgb48le")
    assert torch.equal(open_video(tiff, full_depth=True).frames, pictures.frames[:1])
    assert open_video(tmp_path / "folder").frames.dtype == torch.uint8
    assert torch.equal(open_video(frames, full_depth=True).frames, frames.half())


def test_hdr_keeps_its_depth(tmp_path: Path, still: Encode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    frames = patches()
    path = write_video(tmp_path / "clip.mp4", frames, colour=PQ, quality=0)
    assert torch.equal(open_video(path).frames, open_video(path, full_depth=True).frames)
    assert "HDR of 10 bits is kept, in twice the memory of 8, --8-bit (full_depth=False) rounds it" in caplog.text
    assert survey(path, scenes=False).info == open_video(path).info
    assert open_video(path, full_depth=False).frames.dtype == torch.uint8

    wide = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    picture = still("folder/1.png", av.VideoFrame.from_ndarray(wide, format="rgb48be"), "png", "rgb48be")
    data = picture.read_bytes()
    body = b"cICP" + bytes([9, 16, 0, 1])  # BT.2020, PQ, RGB, full range
    picture.write_bytes(data[:33] + b"\0\0\0\4" + body + zlib.crc32(body).to_bytes(4) + data[33:])
    video = open_video(tmp_path / "folder")
    assert video.info.colour == survey(tmp_path / "folder").info.colour == Colour(*PQ_NAMES, bits=16)
    assert np.abs(video.frames[0].permute(1, 2, 0).float().numpy() - wide / 65535).max() < 2**-11
    assert open_video(tmp_path / "folder", full_depth=False).frames.dtype == torch.uint8
    still("folder/2.png", moving(1, 20, 30)[0])
    with pytest.raises(VideoError, match=r"2\.png: its colours are as in HD .*, those before are bt2020/smpte2084, "):
        open_video(tmp_path / "folder")


@pytest.mark.parametrize("colour", [PQ, Colour(bits=10)])
def test_pictures_of_ten_bits_in_avif(tmp_path: Path, colour: Colour) -> None:
    image = patches(1)[0].permute(1, 2, 0).numpy()
    with scheduling_kept(), av.open(str(tmp_path / "a.avif"), "w", format="avif") as file:
        stream: Any = file.add_stream("libsvtav1", rate=1, options={"svtav1-params": "qp=1:aq-mode=0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        codec = stream.codec_context
        codec.color_primaries, codec.color_trc = PRIMARIES[colour.primaries], TRANSFERS[colour.transfer]
        codec.colorspace, codec.color_range = MATRICES[colour.matrix], 1
        frame = to_yuv(image, colour)
        frame.pts = 0
        file.mux([*stream.encode(frame), *stream.encode(None)])
    still = open_video(tmp_path / "a.avif", full_depth=None if colour.is_hdr else True)
    assert still.info.colour == replace(colour, bits=10 if colour.is_hdr else 16)
    assert still.info.fps is None
    decoded = still.frames[0].permute(1, 2, 0).float().numpy()
    assert np.abs(decoded - image)[8::16, 8::16].max() < 4 / 1023
    assert open_video(tmp_path / "a.avif", full_depth=False).frames.dtype == torch.uint8


@pytest.mark.parametrize("colour", [PQ, Colour(bits=10)])
def test_pictures_of_ten_bits_in_heic(tmp_path: Path, colour: Colour) -> None:
    pytest.importorskip("pi_heif")
    frames = patches(1)[..., :48]
    with av.open(str(write_video(tmp_path / "a.mp4", frames, colour=colour, quality=0))) as file:
        config: Any = file.streams.video[0].codec_context
        picture = heic(bytes(config.extradata), b"".join(bytes(packet) for packet in file.demux(video=0)), colour)
    (tmp_path / "a.heic").write_bytes(picture)
    still = open_video(tmp_path / "a.heic", full_depth=None if colour.is_hdr else True)
    assert still.info.colour == replace(colour, bits=10 if colour.is_hdr else 16)
    assert (still.frames[0].float() - frames[0])[:, 8::16, 8::16].abs().max() < 4 / 1023
    plain = open_video(tmp_path / "a.heic", full_depth=False)
    assert plain.frames.dtype == torch.uint8
    assert plain.info.colour == (colour if colour.is_hdr else HD)


def heic(config: bytes, picture: bytes, colour: Colour) -> bytes:
    """Return a HEIC file of one picture of 48 x 48 pixels and 10 bits, coded by H.265 (ISO/IEC 23008-12)."""

    def box(kind: bytes, *parts: bytes) -> bytes:
        return (8 + len(b"".join(parts))).to_bytes(4) + kind + b"".join(parts)

    one, numbers = b"\0\1", (PRIMARIES[colour.primaries], TRANSFERS[colour.transfer], MATRICES[colour.matrix])
    size = bytes(4) + 2 * (48).to_bytes(4)
    coded = box(b"colr", b"nclx", *(number.to_bytes(2) for number in numbers), b"\0")
    bits = box(b"pixi", bytes(4) + bytes([3, 10, 10, 10]))
    properties = box(b"ipco", box(b"hvcC", config), box(b"ispe", size), coded, bits)
    head = box(b"ftyp", b"heix", bytes(4), b"mif1heix")

    def meta(place: int) -> bytes:
        extent = place.to_bytes(4) + len(picture).to_bytes(4)
        return box(
            b"meta", bytes(4), box(b"hdlr", bytes(8), b"pict", bytes(13)), box(b"pitm", bytes(4), one),
            box(b"iloc", bytes(4), b"\x44\0", one, one, bytes(2), one, extent),
            box(b"iinf", bytes(4), one, box(b"infe", b"\2\0\0\0", one, bytes(2), b"hvc1\0")),
            box(b"iprp", properties, box(b"ipma", bytes(4), bytes(2), one, one, b"\4\x81\2\3\4")),
        )  # fmt: skip

    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", picture)


@pytest.mark.parametrize("pix_fmt", ["gbrp10le", "gray10le", "yuv422p12le", "p010le", "yuva444p10le"])
def test_full_depth_of_every_layout(tmp_path: Path, pix_fmt: str) -> None:
    grey = np.full((32, 48), 40_000, np.uint16)
    frame = av.VideoFrame.from_ndarray(grey, format="gray16le").reformat(format="gray10le")
    code = int(np.frombuffer(frame.planes[0], "<u2")[0])
    frame = av.VideoFrame.from_ndarray(np.stack([grey] * 3, axis=-1), format="rgb48le").reformat(format=pix_fmt)
    rgb = to_float(frame)
    assert rgb.shape == (32, 48, 3)
    assert rgb.dtype == np.float32
    assert np.abs(rgb - code / 1023).max() < 4 / 1023  # FFmpeg wrote the samples


def test_a_matrix_that_a_file_does_not_say(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    red, green, blue = 0.8, 0.3, 0.1
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    samples = [16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748]
    path = tmp_path / "clip_608x608_25fps_444.yuv"
    path.write_bytes(b"".join(bytes([round(value)]) * 608**2 for value in samples))
    video = open_video(path, matrix="bt709", resize="64x64")
    assert video.info.colour == HD
    assert (video.frames[0, :, 8, 8] / 255 - torch.tensor([red, green, blue])).abs().max() < 2.5 / 255
    open_video("bunny", frames="0:1", resize="64x36")
    assert "colour matrix" not in caplog.text
    other = open_video(path, resize="64x64")
    assert "does not say its colour matrix, and is read as BT.601" in caplog.text
    assert (other.frames[0] / 255 - video.frames[0] / 255).abs().max() > 8 / 255
    sd = write_video(tmp_path / "sd.mp4", other, colour=SD, quality=0)
    assert open_video(sd, matrix="bt2020nc").info.colour == Colour("smpte170m", "smpte170m", "bt2020nc")
    with pytest.raises(VideoError, match="matrix 'rec709' is no colour matrix; expected one of bt709, "):
        open_video(sd, matrix="rec709")
    with pytest.raises(VideoError, match=r"is no video file; leave out matrix \(--matrix\)"):
        open_video(other, matrix="bt709")
    with pytest.raises(VideoError, match="matrix 'rec709' is no colour matrix"):
        ez.fit(sd, matrix="rec709")


def test_raw_video_has_its_bits(tmp_path: Path) -> None:
    values = np.concatenate([np.full(32 * 32, 940), np.full(2 * 16 * 16, 512)]).astype("<u2")
    path = tmp_path / "white_32x32_25fps_420_10bit.yuv"
    path.write_bytes(values.tobytes())
    video = open_video(path, full_depth=True)
    assert video.info.colour == Colour(bits=10)
    assert torch.equal(video.frames, torch.ones(1, 3, 32, 32, dtype=torch.float16))
    assert open_video(path).frames.min() >= 253  # as FFmpeg rounds


def test_the_fit_of_a_phones_video_is_that_video(tmp_path: Path) -> None:
    moments = (0.0, 0.04, 0.12)
    path = turned(write_video(tmp_path / "phone.mp4", patches(3), timestamps=moments, colour=HLG, quality=1))
    decided = {"size": "60K", "epochs": 1, "loss": "L2"}
    ez.fit(path, "pca_nerv", **decided, out=tmp_path / "fit")
    assert open_run(tmp_path / "fit").original().frames.dtype == torch.float16
    record = json.loads((tmp_path / "fit/fit.json").read_text())
    assert record["video"] == {"full_depth": True}
    ended = ez.fit(path, "pca_nerv", **decided, out=tmp_path / "fit", resume=True)
    assert ended.ended_before
    shutil.copytree(tmp_path / "fit", tmp_path / "before")  # as of a version whose default was 8 bits
    (tmp_path / "before/fit.json").write_text(json.dumps({**record, "video": {}}))
    assert open_run(tmp_path / "before").original().frames.dtype == torch.uint8
    longer = ez.fit(path, "pca_nerv", **{**decided, "epochs": 2}, out=tmp_path / "before", resume=True)
    assert json.loads((tmp_path / "before/fit.json").read_text())["video"] == {}
    assert longer.metrics["epochs"] == 2
    assert json.loads((tmp_path / "fit/config.json").read_text())["video"]["colour"]["transfer"] == "arib-std-b67"
    ez.compress(tmp_path / "fit", tmp_path / "fit.nvz")
    for run in (tmp_path / "fit", tmp_path / "fit.nvz"):
        fitted = ez.load(run)
        assert fitted.info.colour == HLG
        shown = ez.render(fitted, tmp_path / "fit.mp4", quality=0)
        assert tags(shown) == HLG
        video = open_video(shown, full_depth=True)
        assert (video.info.height, video.info.width) == (64, 48)
        assert video.info.timestamps == pytest.approx(moments)
        decoded = torch.cat(list(fitted.decode(dtype=torch.float16)))
        middle = (slice(None), *MIDDLE)
        assert (video.frames.float() - decoded.float())[middle].abs().max() < 4 / 255
    compared = ez.render(fitted, tmp_path / "compared.mp4", source=path)
    assert open_video(compared).info.width == 3 * 48
    assert tags(compared) == HLG
    assert ez.write_report([tmp_path / "fit"], tmp_path / "fit.html").is_file()


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_what_is_beside_a_deep_alpha_is_read_whole(bits: int) -> None:
    picture = np.random.default_rng(bits).integers(0, 1 << 16, (6, 8, 3)).astype(np.uint16)
    frame = VideoFrame.from_ndarray(picture, format="rgb48le")
    with_alpha, without = (to_float(frame.reformat(format=f"{kind}{bits}le")) for kind in ("gbrap", "gbrp"))
    np.testing.assert_array_equal(with_alpha, without)
    np.testing.assert_allclose(with_alpha, picture / 65535, atol=2.0**-bits)
