import hashlib
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.video import Video, open_video, samples
from enerv_zoo.video.samples import SAMPLES

from .conftest import Encode, moving

BUNNY = "54094210234c8c97b2dcfc2ee3dc268c222f95a7f9bbf9a449c1cf307a85ccf7"
"""SHA-256 of the sample's planes, which H.264 defines to the bit."""


def test_the_sample_is_exact(bunny: Video) -> None:
    """And the colours are those of BT.601, up to what FFmpeg rounds, which differs from processor to processor."""
    assert bunny.frames.shape == (132, 3, 720, 1280)
    assert bunny.frames.is_contiguous(memory_format=torch.channels_last)
    planes = hashlib.sha256()
    with av.open(str(SAMPLES["bunny"].path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            planes.update(frame.to_ndarray(format="yuv420p").data)
            if number % 30 == 0:
                assert np.abs(bunny.frames[number].permute(1, 2, 0).numpy() - by_definition(frame)).max() < 3
    assert planes.hexdigest() == BUNNY


def by_definition(frame: av.VideoFrame) -> np.ndarray:
    """Return (H, W, 3) RGB from 0 to 255 of a frame in 4:2:0 of BT.601 in limited range."""
    planes = frame.to_ndarray(format="yuv420p").astype(float)
    luma = (planes[: frame.height] - 16) * 255 / 219
    chroma = planes[frame.height :].reshape(2, frame.height // 2, frame.width // 2) - 128
    blue, red = (chroma * 255 / 112).repeat(2, axis=1).repeat(2, axis=2)
    rgb = luma + 0.701 * red, luma - (0.701 * 0.299 * red + 0.886 * 0.114 * blue) / 0.587, luma + 0.886 * blue
    return np.stack(rgb, axis=-1).clip(0, 255)


def test_the_sample_is_described(bunny: Video) -> None:
    credit = "Big Buck Bunny (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0"
    assert bunny.info == VideoInfo(132, 720, 1280, 25.0, None, "bunny", credit)
    assert samples() == ["bunny"]


def test_a_part_of_the_sample_is_that_part(bunny: Video) -> None:
    part = open_video("bunny", frames="3:10:3")
    assert torch.equal(part.frames, bunny.frames[3:10:3])
    assert part.info.fps == pytest.approx(25 / 3)
    assert part.info.attribution == bunny.info.attribution


def test_crop_then_resize(bunny: Video) -> None:
    small = open_video("bunny", frames=slice(0, 1), crop="1280x640", resize="640x320")
    middle = bunny.frames[:1, :, 40:680]
    expected = torch.nn.functional.interpolate(middle.float(), size=(320, 640), mode="bicubic", antialias=True)
    assert small.frames.shape == (1, 3, 320, 640)
    assert (small.frames - expected.clamp(0, 255)).abs().max() < 1.6


def test_a_video_is_selected_from_without_a_copy(bunny: Video) -> None:
    part = open_video(bunny, frames="10:20")
    assert part.frames.data_ptr() == bunny.frames[10].data_ptr()
    assert (len(part), part.info.name, part.info.fps) == (10, "bunny", 25.0)
    small = open_video(bunny, frames="::66", resize="64x36")
    assert torch.equal(small.frames, open_video("bunny", frames="::66", resize="64x36").frames)
    with pytest.raises(VideoError, match="bunny, which has 132 frames"):
        open_video(bunny, frames="0:133")


def test_timestamps_of_a_video_follow_a_selection() -> None:
    moments = (0.0, 0.1, 0.5, 0.6, 1.5)
    video = Video(torch.zeros(5, 3, 4, 6, dtype=torch.uint8), VideoInfo(5, 4, 6, 4 / 1.5, moments))
    part = open_video(video, frames="2:")
    assert part.info.timestamps == pytest.approx((0.0, 0.1, 1.0))
    assert part.info.fps == pytest.approx(2.0)


def test_info_must_fit_the_frames() -> None:
    with pytest.raises(VideoError, match="make the two agree"):
        Video(torch.zeros(5, 3, 4, 6, dtype=torch.uint8), VideoInfo(4, 4, 6))


def test_a_path_wins_over_a_sample(tmp_path: Path, still: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    still("bunny/0.png", moving(1, 20, 30)[0])
    monkeypatch.chdir(tmp_path)
    assert open_video("bunny").frames.shape == (1, 3, 20, 30)


def test_a_missing_file_suggests_the_nearest_sample() -> None:
    with pytest.raises(VideoError, match=r"'buny': no such file .*samples: bunny.*Did you mean 'bunny'\?"):
        open_video("buny")


@pytest.mark.parametrize("source", ["", "x" * 5000, "~nobody-of-that-name/clip.mp4", "a\0b"])
def test_impossible_paths(source: str) -> None:
    with pytest.raises(VideoError):
        open_video(source)


@pytest.mark.parametrize("source", [None, 5, [np.zeros((4, 4, 3), np.uint8)]])
def test_other_sources_are_refused(source: object) -> None:
    with pytest.raises(VideoError, match="expected a path, a sample name, a Video"):
        open_video(source)  # type: ignore[arg-type]


def test_bad_options_are_refused_before_reading() -> None:
    with pytest.raises(VideoError, match="is no selection"):
        open_video("missing.mp4", frames="x")
    with pytest.raises(VideoError, match="is no size"):
        open_video("missing.mp4", resize="x")


def test_a_crop_beyond_the_frame(encode: Encode) -> None:
    with pytest.raises(VideoError, match="crop 96x65 exceeds the frame, which is 96x64"):
        open_video(encode("clip.mp4", moving(2)), crop=(65, 96))
