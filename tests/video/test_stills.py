"""Image files: orientation, 16 bits, pages, animations, and colours that FFmpeg takes for others."""

from __future__ import annotations

import shutil
import sys
import warnings
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from enerv_zoo.errors import VideoError
from enerv_zoo.video import open_video
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.stills import pages_of

from .conftest import Encode, moving, pixels


def test_a_damaged_tiff_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    Image.fromarray(moving(1, 24, 40)[0]).save(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x00\x01\x04\x00\x01\x00\x00\x00\x28", b"\x02\x01\x04\x00\x01\x00\x00\x00\x28", 1))
    assert path.read_bytes() != data, "its width is under another tag"
    with pytest.raises(VideoError, match=r"photo\.tif.*"):
        open_video(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_orientation_is_that_of_pillow(tmp_path: Path, suffix: str, orientation: int) -> None:
    image = Image.fromarray(moving(1, 24, 40)[0])
    exif = image.getexif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    image.save(path, exif=exif, **{"webp": {"lossless": True}, "tif": {}, "png": {}}.get(suffix, {"quality": 95}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    frame = pixels(path)[0]
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 3
    folder = tmp_path / "folder"
    folder.mkdir()
    path.rename(folder / path.name)
    assert np.array_equal(pixels(folder)[0], frame)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.png", "png", "rgb48be"),
        ("a.tif", "tiff", "rgb48le"),
        ("a.ppm", "ppm", "rgb48be"),
        ("g.png", "png", "gray16be"),
    ],
)
def test_sixteen_bits_are_rounded(still: Encode, name: str, codec: str, pix_fmt: str) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    wide = wide[..., 0] if pix_fmt.startswith("gray") else wide
    frame = pixels(still(name, av.VideoFrame.from_ndarray(wide, format=pix_fmt), codec, pix_fmt))[0]
    expected = np.round(wide * (255 / 65535)).astype(np.uint8)
    assert np.array_equal(frame, expected if expected.ndim == 3 else np.stack([expected] * 3, axis=-1))


def test_colours_of_a_profile_become_those_of_srgb(
    tmp_path: Path, still: Encode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    image, grey = Image.fromarray(moving(1, 24, 40)[0]), Image.fromarray(moving(1, 24, 40)[0]).convert("L")
    rotated = image.getexif()
    rotated[0x0112] = 6
    wide, curve = (profile(name) for name in ("wide", "grey"))
    expected = np.asarray(ImageCms.profileToProfile(image, BytesIO(wide), ImageCms.createProfile("sRGB"), 1))
    assert np.abs(expected.astype(int) - np.asarray(image)).max() > 20
    image.save(tmp_path / "a.png", icc_profile=wide, exif=rotated)
    assert np.array_equal(pixels(tmp_path / "a.png")[0], np.rot90(expected, -1))
    assert "pictures with the colour profile 'wide' are converted to sRGB" in caplog.text
    for suffix, options in (("tif", {}), ("webp", {"lossless": True}), ("jpg", {"quality": 100}), ("avif", {})):
        image.save(tmp_path / f"a.{suffix}", icc_profile=wide, **options)
        assert np.abs(pixels(tmp_path / f"a.{suffix}")[0].astype(int) - expected).mean() < 4, suffix
    grey.save(tmp_path / "grey.png", icc_profile=curve)
    assert np.abs(pixels(tmp_path / "grey.png")[0].astype(int) - np.asarray(grey)[..., None]).max() > 20
    caplog.clear()
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for number, same in enumerate((own, b"no profile", wide[:200], curve)):
        image.save(tmp_path / f"{number}.png", icc_profile=same)
        assert np.array_equal(pixels(tmp_path / f"{number}.png")[0], np.asarray(image)), number
    assert not caplog.text


def test_sixteen_bits_become_those_of_srgb_by_curves(tmp_path: Path, still: Encode) -> None:
    colours = moving(1, 24, 40)[0]
    parameters = [(2.2,), (2.2, 0.9, 0.1), (2.2, 0.9, 0.05, 0.02), (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)]
    parameters += [(2.2, 0.9, 0.05, 0.1, 0.1, 0.01, 0.02)]
    curves = [curve(kind=kind, values=values) for kind, values in enumerate(parameters)]
    curves += [curve(), curve(*(65535 * np.linspace(0, 1, 2000) ** 1.8).round().astype(int).tolist())]
    profiles = [profile("wide"), *(profile("wide", own) for own in curves), profile("grey")]
    for number, data in enumerate(profiles):
        image = Image.fromarray(colours) if number < len(profiles) - 1 else Image.fromarray(colours).convert("L")
        expected = np.asarray(ImageCms.profileToProfile(image, BytesIO(data), ImageCms.createProfile("sRGB"), 1, "RGB"))
        wide = np.asarray(image).astype(np.uint16) * 257
        form = "rgb48be" if wide.ndim == 3 else "gray16be"
        deep = with_profile(still(f"{number}.png", av.VideoFrame.from_ndarray(wide, format=form), "png", form), data)
        kept = open_video(deep, full_depth=True).frames[0].permute(1, 2, 0).float().numpy()
        assert np.abs(255 * kept - expected).max() < 1.2, number
    table = profile("wide", more={b"A2B0": tables()})
    deep = with_profile(still("deep.png", av.VideoFrame(8, 8, "rgb48be"), "png", "rgb48be"), table)
    with pytest.raises(VideoError, match="has the colour profile 'wide', by whose tables 8 bits alone"):
        open_video(deep, full_depth=True)
    assert open_video(deep).frames.dtype == torch.uint8


def with_profile(picture: Path, data: bytes) -> Path:
    """Put a profile into a PNG file."""
    body, png = b"iCCPwide\0\0" + zlib.compress(data), picture.read_bytes()
    picture.write_bytes(png[:33] + (len(body) - 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4) + png[33:])
    return picture


PRIMARIES = (0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)
"""Of P3, as XYZ."""


def fixed(*values: float) -> bytes:
    """Return values as s15Fixed16."""
    return b"".join(round(value * 65536).to_bytes(4, signed=True) for value in values)


def curve(*table: int, kind: int | None = None, values: Sequence[float] = ()) -> bytes:
    """Return a curve of a table, or of a kind with parameters (ICC.1:2022, 10.6 and 10.18)."""
    if kind is None:
        return b"curv" + bytes(4) + len(table).to_bytes(4) + b"".join(value.to_bytes(2) for value in table)
    return b"para" + bytes(4) + kind.to_bytes(2) + bytes(2) + fixed(*values)


def tables() -> bytes:
    """Return tables from colours to XYZ in place of curves (`mft2`; ICC.1:2022, 10.10)."""
    grid = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ np.array(PRIMARIES)
    ends = [0, 65535] * 3
    numbers = [2, 2, *ends, *(grid * 32768).round().clip(0, 65535).astype(int).ravel().tolist(), *ends]
    head = b"mft2" + bytes(4) + bytes([3, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return head + b"".join(number.to_bytes(2) for number in numbers)


def profile(name: str, own: bytes | None = None, more: Mapping[bytes, bytes] = MappingProxyType({})) -> bytes:
    """Return a small ICC profile (version 2) called `name`: of grey with a gamma of 1, or of P3 with one of 2.2.

    ICC.1:2001-04. `own` is another curve, `more` are further tags.
    """
    curved = own or curve(256 if name == "grey" else round(2.2 * 256))
    white = (0.9642, 1.0, 0.8249)
    tags = {
        b"desc": b"desc" + bytes(4) + (len(name) + 1).to_bytes(4) + name.encode() + bytes(1 + 4 + 4 + 2 + 1 + 67),
        b"wtpt": b"XYZ " + bytes(4) + fixed(*white),
    }
    if name == "grey":
        tags[b"kTRC"] = curved
    else:
        for letter, primary in zip("rgb", PRIMARIES, strict=True):
            tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + fixed(*primary)
            tags[f"{letter}TRC".encode()] = curved
    tags |= more
    place, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for tag, body in tags.items():
        table += tag + (place + len(data)).to_bytes(4) + len(body).to_bytes(4)
        data += body + bytes(-len(body) % 4)
    space = b"GRAY" if name == "grey" else b"RGB "
    head = (
        bytes(4) + bytes([2, 0x20, 0, 0]) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28) + fixed(*white)
    )
    head = (place + len(data)).to_bytes(4) + head.ljust(124, b"\0")
    return head + len(tags).to_bytes(4) + table + data


def test_pages_of_a_tiff_file_are_frames(tmp_path: Path) -> None:
    images = moving(5, 20, 30)
    pages = [Image.fromarray(image) for image in images]
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    video = open_video(path)
    assert np.array_equal(pixels(path), images)
    assert (video.info.fps, video.info.timestamps, video.info.name) == (None, None, "pages")
    assert np.array_equal(pixels(path, frames="1:5:2"), images[1:5:2])
    with pytest.raises(VideoError, match="which has 5 frames"):
        open_video(path, frames="5")
    pages[1].resize((32, 20)).save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(VideoError, match=r"page 1 is 30x20, those before are 32x20; frames='0:1'"):
        open_video(path)


def test_wide_pages_are_kept_rounded_or_refused(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (2, 20, 30), dtype=np.uint16)
    pages = [Image.fromarray(page) for page in wide]
    path = tmp_path / "grey.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert np.array_equal(pixels(path)[..., 1], np.round(wide * (255 / 65535)).astype(np.uint8))
    assert np.abs(pixels(path, full_depth=True)[..., 1] - wide / 65535).max() < 2**-11
    pages = [Image.fromarray(page.astype(np.float32)) for page in wide]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(VideoError, match=r"page 0 cannot be read \(colours of 32 bits"):
        open_video(path)


def write_grey_pages(path: Path, pages: np.ndarray, bits: int, white_is_zero: bool = False) -> None:
    """Write pages (N, H, W) of 12 or 16 bits as a TIFF file, little-endian, without compression."""

    def word(value: int, size: int = 4) -> bytes:
        return value.to_bytes(size, "little")

    data = b"II*\0" + word(8)
    for number, page in enumerate(pages):
        packed = page.astype("<u2").tobytes()
        if bits == 12:
            left, right = page[:, ::2].astype(int), page[:, 1::2].astype(int)
            packed = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], -1).astype(np.uint8).tobytes()
        (height, width), photometric = page.shape, 0 if white_is_zero else 1
        tags = {
            256: width,
            257: height,
            258: bits,
            259: 1,
            262: photometric,
            273: 0,
            277: 1,
            278: height,
            279: len(packed),
        }
        end = len(data) + 2 + 12 * len(tags) + 4
        tags[273] = end
        entries = b"".join(word(tag, 2) + word(4, 2) + word(1) + word(value) for tag, value in tags.items())
        after = end + len(packed) if number + 1 < len(pages) else 0
        data += word(len(tags), 2) + entries + word(after) + packed
    path.write_bytes(data)


@pytest.mark.parametrize(("bits", "white_is_zero"), [(12, False), (16, False), (16, True)])
def test_grey_pages_are_as_bright_as_they_say(tmp_path: Path, bits: int, white_is_zero: bool) -> None:
    grey = np.random.default_rng(0).integers(0, 2**bits, (3, 20, 30), dtype=np.uint16)
    write_grey_pages(tmp_path / "grey.tif", grey, bits, white_is_zero)
    expected = grey / (2**bits - 1)
    shown = pixels(tmp_path / "grey.tif", full_depth=True)[..., 1]
    assert np.abs(shown - (1 - expected if white_is_zero else expected)).max() < 2**-11


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "tiff_deflate", None])
@pytest.mark.parametrize("mode", ["RGB", "YCbCr", "CMYK", "L", "P", "RGBA"])
def test_colours_of_a_tiff_file(tmp_path: Path, mode: str, compression: str | None) -> None:
    image = Image.fromarray(moving(1, 32, 48)[0])
    path = tmp_path / "image.tif"
    try:
        image.convert(mode).save(path, compression=compression, **({"quality": 95} if compression == "jpeg" else {}))
        expected = np.asarray(Image.open(path).convert("RGB"))
    except (OSError, RuntimeError):
        pytest.skip("this Pillow writes no such file, or cannot read it")
    assert np.abs(pixels(path)[0].astype(int) - expected).mean() < 3


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_that_are_no_colours_are_refused(tmp_path: Path, kind: type) -> None:
    Image.fromarray(moving(1, 32, 48)[0, ..., 0].astype(kind)).save(tmp_path / "image.tif")
    with pytest.raises(VideoError, match=r"image\.tif: page 0 cannot be read \(colours of 32 bits"):
        open_video(tmp_path / "image.tif")


def test_an_animated_webp_file(tmp_path: Path) -> None:
    images = moving(6, 20, 30)
    frames = [Image.fromarray(image) for image in images]
    path = tmp_path / "moving.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, lossless=True)
    assert np.array_equal(pixels(path), images)
    assert {open_video(path, frames=part).info.fps for part in ("0:6", "2:5", "4")} == {25.0}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[40, 40, 80, 40, 40, 40], lossless=True)
    assert open_video(path).info.timestamps == pytest.approx([0, 0.04, 0.08, 0.16, 0.2, 0.24])


def test_files_of_several_pictures_in_a_folder(tmp_path: Path) -> None:
    frames = [Image.fromarray(image) for image in moving(3, 20, 30)]
    frames[0].save(tmp_path / "a.tif")
    frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(VideoError, match=r"b\.tif: holds several pictures, a folder takes one"):
        open_video(tmp_path)


def test_damaged_pages(tmp_path: Path) -> None:
    frames = [Image.fromarray(image) for image in moving(3, 64, 96)]
    path = tmp_path / "moving.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(VideoError, match=r"moving\.webp"):
        open_video(path)
    path = tmp_path / "stack.tif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=r"stack\.tif: pages after the first cannot be read"):
        open_video(path)


def test_pages_that_are_masks_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As maps have them; Pillow knows no such page."""
    path = tmp_path / "map.tif"
    pictures, mask = [Image.fromarray(each) for each in moving(2, 20, 30)], Image.new("1", (30, 20), 1)
    pictures[0].save(path, save_all=True, append_images=[mask, pictures[1], mask])
    kind = b"\x06\x01\x03\x00\x01\x00\x00\x00"  # the tag of what a page's numbers mean; 4 is a mask
    path.write_bytes(path.read_bytes().replace(kind + b"\x01", kind + b"\x04"))
    expected = torch.stack([torch.from_numpy(np.array(each)).permute(2, 0, 1) for each in pictures])
    assert torch.equal(open_video(path).frames, expected)
    assert "map.tif: page 1 is left out" in caplog.text


def test_a_page_of_which_the_description_is_damaged_is_refused(tmp_path: Path) -> None:
    pictures = [Image.fromarray(each) for each in moving(3, 20, 30)]
    pictures[0].save(tmp_path / "stack.tif", save_all=True, append_images=pictures[1:])
    data = (tmp_path / "stack.tif").read_bytes()
    before, tag, after = data.rpartition(b"\x06\x01\x03\x00\x01\x00\x00\x00")
    (tmp_path / "stack.tif").write_bytes(before + tag + b"\x63" + after[1:])
    with pytest.raises(VideoError, match=r"stack\.tif: pages after the first cannot be read \(unknown pixel mode"):
        open_video(tmp_path / "stack.tif")


def test_warnings_of_the_host_are_heard_while_pages_are_read(tmp_path: Path) -> None:
    frames = [Image.fromarray(image) for image in moving(3, 20, 30)]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    pages = pages_of(tmp_path / "stack.tif")
    assert pages is not None
    reading = pages.frames(Selection())
    next(reading)
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


@pytest.mark.parametrize("suffix", ["tif", "webp"])
def test_pages_are_found_from_those_before(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each from the beginning, a long stack would take hours."""
    frames = [Image.fromarray(image) for image in moving(12, 20, 30)]
    path = tmp_path / f"moving.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    opened, real = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *arguments: (opened.append(arguments), real(*arguments))[1])
    assert len(open_video(path)) == 12
    assert len(opened) < 6


HEIC = Path(__file__).parents[1] / "fixtures" / "heic"
"""Pictures of `moving` by libheif and x265; the container crops sides that the codec pads."""


@pytest.mark.parametrize(
    ("name", "size", "turn"),
    [
        ("exif_alone.heic", (48, 80), 1),  # containers say how a picture is turned; readers ignore what EXIF says
        ("orientation_2.heic", (48, 80), 2),
        ("orientation_5.heic", (48, 80), 5),
        ("orientation_6.heic", (48, 80), 6),
        ("orientation_7.heic", (48, 80), 7),
        ("tiles.heic", (300, 400), 6),
    ],
)
def test_heic_pictures_are_upright_and_whole(tmp_path: Path, name: str, size: tuple[int, int], turn: int) -> None:
    pytest.importorskip("pi_heif")
    image = Image.fromarray(moving(1, *size)[0])
    image.getexif()[0x0112] = turn
    expected = np.asarray(ImageOps.exif_transpose(image))
    for number in range(2):
        shutil.copy(HEIC / name, tmp_path / f"IMG_{number}.HEIC")
    frames = pixels(tmp_path)
    assert frames.shape == (2, *expected.shape)
    assert np.abs(frames.astype(int) - expected).mean() < 5
    assert np.array_equal(pixels(HEIC / name), frames[:1])


def test_a_heic_file_of_two_pictures(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    first = moving(1, 48, 80)[0]
    frames = pixels(HEIC / "two.heic")
    assert np.abs(frames.astype(int) - np.stack([first, first[:, ::-1]])).mean() < 5
    shutil.copy(HEIC / "two.heic", tmp_path)
    with pytest.raises(VideoError, match=r"two\.heic: holds several pictures"):
        open_video(tmp_path)


def test_a_damaged_heic_picture(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    data = (HEIC / "tiles.heic").read_bytes()
    for size in (64, 400, len(data) // 2):
        (tmp_path / "short.heic").write_bytes(data[:size])
        with pytest.raises(VideoError, match=r"short\.heic: "):
            open_video(tmp_path / "short.heic")


def test_heic_without_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(VideoError, match=r"two\.heic: .*pi-heif.*; pip install 'enerv-zoo\[heic\]'"):
        open_video(HEIC / "two.heic")
