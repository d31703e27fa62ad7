import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enerv_zoo.errors import VideoError
from enerv_zoo.video import open_video
from enerv_zoo.video.scenes import survey

from .conftest import Encode, moving


def test_natural_order_and_what_counts_as_an_image(tmp_path: Path, still: Encode) -> None:
    images = moving(3, 20, 30)
    for name, image in zip(("img10.PNG", "img2.png", "img1.Png"), images[::-1], strict=True):
        still(f"clip/{name}", image)
    still("clip/.hidden.png", images[0])
    (tmp_path / "clip" / "notes.txt").write_text("no image")
    (tmp_path / "clip" / "more.png").mkdir()
    video = open_video(tmp_path / "clip")
    assert np.array_equal(video.frames.permute(0, 2, 3, 1).numpy(), images)
    assert (video.info.name, video.info.fps, video.info.timestamps) == ("clip", None, None)
    assert np.array_equal(open_video(tmp_path / "clip", frames="1:").frames[0].numpy(), video.frames[1].numpy())


def test_every_kind_of_image(tmp_path: Path, still: Encode) -> None:
    image = moving(1, 20, 30)[0]
    kinds = [
        ("0.png", "png", "rgb24"),
        ("1.bmp", "bmp", "bgr24"),
        ("2.tif", "tiff", "rgb24"),
        ("3.TIFF", "tiff", "rgb24"),
        ("4.ppm", "ppm", "rgb24"),
        ("5.jpg", "mjpeg", "yuvj444p"),
        ("6.jpeg", "mjpeg", "yuvj444p"),
        ("7.webp", "libwebp", "bgra"),
    ]
    for name, codec, pix_fmt in kinds:
        still(f"clip/{name}", image, codec, pix_fmt)
    frames = open_video(tmp_path / "clip").frames.permute(0, 2, 3, 1).numpy()
    assert len(frames) == len(kinds)
    assert all(np.array_equal(frame, image) for frame in frames[:5])
    assert np.abs(frames[5:].astype(int) - image).mean() < 8


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(VideoError, match=r"holds no images \(png, jpg"):
        open_video(tmp_path)


def test_mixed_sizes_name_both_images(tmp_path: Path, still: Encode) -> None:
    still("clip/a.png", moving(1, 20, 30)[0])
    still("clip/b.png", moving(1, 20, 32)[0])
    with pytest.raises(VideoError, match=r"a\.png is 30x20, b\.png is 32x20; .*--resize"):
        open_video(tmp_path / "clip")


def test_a_damaged_image_is_named(tmp_path: Path, still: Encode) -> None:
    still("clip/a.png", moving(1, 20, 30)[0])
    (tmp_path / "clip" / "b.png").write_bytes(b"nothing of the kind")
    with pytest.raises(VideoError, match=r"b\.png"):
        open_video(tmp_path / "clip")


@pytest.mark.parametrize("left", [0.9, 0.5])
def test_half_a_jpeg_is_damaged_too(tmp_path: Path, still: Encode, left: float) -> None:
    still("clip/0.jpg", moving(1, 64, 96)[0], "mjpeg", "yuvj444p")
    path = tmp_path / "clip" / "0.jpg"
    open_video(path.parent)
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))])
    with pytest.raises(VideoError, match=r"0\.jpg: not a video or an image, or a damaged one"):
        open_video(path.parent)


def test_a_range_beyond_the_images(tmp_path: Path, still: Encode) -> None:
    still("clip/a.png", moving(1, 20, 30)[0])
    with pytest.raises(VideoError, match="which has 1 frame; choose within '0:1'"):
        open_video(tmp_path / "clip", frames="1")


def test_mixed_sizes_are_brought_to_one(tmp_path: Path, still: Encode) -> None:
    still("clip/a.png", moving(1, 20, 30)[0])
    still("clip/b.png", moving(1, 40, 60)[0])
    assert open_video(tmp_path / "clip", resize=(10, 15)).frames.shape == (2, 3, 10, 15)
    assert open_video(tmp_path / "clip", crop=(20, 20)).frames.shape == (2, 3, 20, 20)
    info = survey(tmp_path / "clip", resize=(10, 15), scenes=False).info
    assert (info.frames, info.height, info.width) == (2, 10, 15)
    with pytest.raises(VideoError, match=r"a\.png is 30x20, b\.png is 60x40"):
        survey(tmp_path / "clip", scenes=False)


def test_a_link_to_nothing_is_named(tmp_path: Path, still: Encode) -> None:
    for name in ("f001.png", "f002.png"):
        still(f"clip/{name}", moving(1, 20, 30)[0])
    (tmp_path / "clip" / "f003.png").symlink_to("nowhere")
    with pytest.raises(VideoError, match=r"f003\.png: is a link to nowhere, which is not there"):
        open_video(tmp_path / "clip")
    (tmp_path / "clip" / "f003.png").unlink()
    (tmp_path / "clip" / "f003.png").symlink_to("f001.png")
    assert len(open_video(tmp_path / "clip")) == 3
    (tmp_path / "clip" / "f003.png").unlink()
    (tmp_path / "clip" / "f003.png").symlink_to("f003.png")
    with pytest.raises(VideoError, match=r"f003\.png"):
        open_video(tmp_path / "clip")


def test_a_pipe_in_a_folder_is_named(tmp_path: Path, still: Encode) -> None:
    still("clip/a.png", moving(1, 20, 30)[0])
    os.mkfifo(tmp_path / "clip" / "b.png")
    with pytest.raises(VideoError, match=r"b\.png: is a pipe"):
        open_video(tmp_path / "clip")


def test_avif_images_in_a_folder(tmp_path: Path) -> None:
    images = moving(3, 32, 48)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.avif", quality=95)
    video = open_video(tmp_path)
    assert np.abs(video.frames.permute(0, 2, 3, 1).numpy().astype(int) - images).mean() < 8
