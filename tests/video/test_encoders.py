from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from enerv_zoo.video import open_video, write_video

from .conftest import moving


def frames_of(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("suffix", "limit"), [(".mp4", 3), (".mov", 3), (".mkv", 3), (".webm", 3)])
def test_colours_survive(tmp_path: Path, suffix: str, limit: float) -> None:
    # Saturated patches, two pixels wide as chroma is stored. A matrix or a range mixed up moves them by 10 and more.
    patches = np.random.default_rng(0).integers(0, 2, (2, 32, 48, 3), dtype=np.uint8) * 255
    images = patches.repeat(2, axis=1).repeat(2, axis=2)
    path = write_video(tmp_path / f"clip{suffix}", frames_of(images), quality=1)
    assert np.abs(open_video(path).frames.permute(0, 2, 3, 1).numpy().astype(int) - images).mean() < limit


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 0, 0), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)),
        ((0, 0, 255), (32, 240, 118)),
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 0), (16, 128, 128)),
    ],
)
def test_stored_numbers_are_those_of_bt709(tmp_path: Path, colour: tuple[int, ...], expected: tuple[int, ...]) -> None:
    images = np.broadcast_to(np.uint8(colour), (1, 32, 32, 3))
    path = write_video(tmp_path / "clip.mp4", frames_of(images.copy()), quality=0)
    with av.open(str(path)) as container:
        frame: Any = next(container.decode(video=0))
    stored = [np.frombuffer(plane, np.uint8)[plane.line_size * 8 + 8] for plane in frame.planes]
    assert np.abs(np.array(stored, int) - expected).max() <= 1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_colour_tags(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"clip{suffix}", frames_of(moving(2)))
    with av.open(str(path)) as container:
        codec: Any = container.streams.video[0].codec_context
        next(container.decode(video=0))
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
        assert codec.pix_fmt == "yuv420p"


def test_an_mp4_starts_with_its_index(tmp_path: Path) -> None:
    data = write_video(tmp_path / "clip.mp4", frames_of(moving(5))).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_quality_buys_bytes(tmp_path: Path, suffix: str) -> None:
    frames = frames_of(np.random.default_rng(0).integers(0, 256, (4, 64, 96, 3), dtype=np.uint8))
    sizes = [write_video(tmp_path / f"{q}{suffix}", frames, quality=q).stat().st_size for q in (5, 20, 40)]
    assert sizes[0] > 1.3 * sizes[1] > 1.5 * sizes[2]


def test_a_gif_loops_and_has_a_palette_of_its_own(tmp_path: Path) -> None:
    images = moving(6)
    path = write_video(tmp_path / "clip.gif", frames_of(images), fps=20)
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in path.read_bytes()
    assert np.abs(open_video(path).frames.permute(0, 2, 3, 1).numpy().astype(int) - images).mean() < 8


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_odd_sizes_repeat_the_last_row_and_column(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    images = moving(3, 131, 175)
    path = write_video(tmp_path / f"clip{suffix}", frames_of(images))
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "175x131" in caplog.text
    assert "176x132" in caplog.text
    result = open_video(path).frames.permute(0, 2, 3, 1).numpy()
    assert result.shape == (3, 132, 176, 3)
    assert np.abs(result.astype(int) - np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")).mean() < 5


@pytest.mark.parametrize("fps", [1000.0, 2000.0, 10000.0])
@pytest.mark.parametrize("count", [3, 8, 101])
def test_at_thousands_of_frames_a_second_none_is_lost(tmp_path: Path, fps: float, count: int) -> None:
    for suffix in (".mp4", ".mov"):
        path = write_video(
            tmp_path / f"x{suffix}", torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8), fps=fps
        )
        assert len(open_video(path)) == count
