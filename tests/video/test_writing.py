import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.video import Video, open_video, write_image, write_video

from .conftest import moving

FRAMES = torch.from_numpy(moving(6)).permute(0, 3, 1, 2)
MOVIES = [".mp4", ".mov", ".mkv", ".webm"]


@pytest.mark.parametrize("suffix", [*MOVIES, ".gif", ".MP4"])
def test_formats_read_back(tmp_path: Path, suffix: str) -> None:
    path = write_video(str(tmp_path / "new" / f"clip{suffix}"), FRAMES, fps=20)
    assert path == tmp_path / "new" / f"clip{suffix}"
    info = open_video(path).info
    assert (info.frames, info.height, info.width, info.fps, info.timestamps) == (6, 64, 96, 20.0, None)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["clip", "clip.v2/", "deep/er/clip"])
def test_a_folder_of_png_files_is_lossless(tmp_path: Path, name: str) -> None:
    path = write_video(f"{tmp_path}/{name}", FRAMES)
    assert sorted(entry.name for entry in path.iterdir()) == [f"{index:05d}.png" for index in range(6)]
    assert torch.equal(open_video(path).frames, FRAMES)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_frames_come_in_many_forms(tmp_path: Path) -> None:
    forms = [FRAMES, FRAMES.numpy(), list(FRAMES), (frame.numpy() for frame in FRAMES), FRAMES.contiguous()]
    for index, frames in enumerate(forms):
        assert torch.equal(open_video(write_video(tmp_path / str(index), frames)).frames, FRAMES)


@pytest.mark.parametrize("suffix", [*MOVIES, ".gif", ""])
def test_frames_are_not_hoarded(tmp_path: Path, suffix: str) -> None:
    # Each frame overwrites the one before: only a writer that takes them one at a time gets them right.
    def one_buffer() -> Iterator[torch.Tensor]:
        buffer = torch.empty(3, 64, 96, dtype=torch.uint8)
        for level in range(6):
            yield buffer.fill_(40 * level)

    frames = open_video(write_video(tmp_path / f"clip{suffix}", one_buffer())).frames
    assert (frames.float().mean(dim=(1, 2, 3)) - 40 * torch.arange(6)).abs().max() < 3


@pytest.mark.parametrize("suffix", MOVIES)
@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(12)])
def test_rates_are_exact(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    path = write_video(tmp_path / f"clip{suffix}", FRAMES.repeat(5, 1, 1, 1), fps=float(rate))
    assert open_video(path).info.fps == float(rate)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == rate


@pytest.mark.parametrize("suffix", [*MOVIES, ".gif"])
def test_a_variable_rate_survives(tmp_path: Path, suffix: str) -> None:
    moments = (0.0, 0.04, 0.1, 0.5, 0.53, 1.75)
    video = Video(FRAMES, VideoInfo(6, 64, 96, 5 / 1.75, moments))
    path = write_video(tmp_path / f"clip{suffix}", video)
    assert open_video(path).info.timestamps == pytest.approx(moments, abs=1e-3)
    assert open_video(path).info.fps == pytest.approx(5 / 1.75, rel=1e-3)
    shifted = write_video(tmp_path / f"shifted{suffix}", FRAMES, timestamps=[7 + moment for moment in moments])
    assert open_video(shifted).info.timestamps == pytest.approx(moments, abs=1e-3)


def test_timing_of_a_video_is_a_default(tmp_path: Path) -> None:
    video = Video(FRAMES, VideoInfo(6, 64, 96, 10.0, (0.0, 0.1, 0.2, 0.3, 0.4, 0.9)))
    info = open_video(write_video(tmp_path / "clip.mp4", video, fps=30)).info
    assert (info.fps, info.timestamps) == (30.0, None)
    still = Video(FRAMES, VideoInfo(6, 64, 96))
    assert open_video(write_video(tmp_path / "still.mp4", still)).info.fps == 25.0


@pytest.mark.parametrize(
    "timestamps", [[0, 1], [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 2, 3, 4], [0, 1, 2, 3, 4, float("nan")], []]
)
def test_bad_timestamps(tmp_path: Path, timestamps: list[float]) -> None:
    with pytest.raises(VideoError, match="timestamps"):
        write_video(tmp_path / "clip.mp4", FRAMES, timestamps=timestamps)
    assert not list(tmp_path.iterdir())


def test_a_gif_cannot_be_too_fast(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"increase by at least 0\.01 s"):
        write_video(tmp_path / "clip.gif", FRAMES, fps=240)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e9])
def test_bad_rates(tmp_path: Path, fps: float) -> None:
    with pytest.raises(VideoError, match=r"fps .* is out of range"):
        write_video(tmp_path / "clip.mp4", FRAMES, fps=fps)


@pytest.mark.parametrize(("name", "quality"), [("a.mp4", 52), ("a.webm", 64), ("a.mkv", -1), ("a.mp4", float("nan"))])
def test_bad_quality(tmp_path: Path, name: str, quality: float) -> None:
    with pytest.raises(VideoError, match=r"quality .* is out of range"):
        write_video(tmp_path / name, FRAMES, quality=quality)


def test_an_unknown_suffix_lists_the_legal_ones(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"'\.wmv'; expected one of \.mp4, \.mov, \.mkv, \.webm, \.gif"):
        write_video(tmp_path / "clip.wmv", FRAMES)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "clip", "new/clip.mp4"])
def test_no_frames_leave_no_trace(tmp_path: Path, name: str) -> None:
    for nothing in ([], FRAMES[:0], iter(())):
        with pytest.raises(VideoError, match="no frames to write"):
            write_video(tmp_path / name, nothing)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "bad",
    [
        FRAMES[0].permute(1, 2, 0),
        FRAMES[0, 0],
        FRAMES[0].numpy().astype(np.int64),
        torch.zeros(3, 0, 5, dtype=torch.uint8),
        "frame",
    ],
)
def test_frames_of_another_form(tmp_path: Path, bad: object) -> None:
    for frames, index in (([bad], 0), ([FRAMES[0], bad], 1)):
        with pytest.raises(VideoError, match=rf"frame {index} is .*expected uint8, .* of shape \(3, H, W\)"):
            write_video(tmp_path / "clip.mp4", frames)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_frames_of_two_sizes(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"frame 1 is 96x32 .*the first one 96x64"):
        write_video(tmp_path / "clip.mp4", [FRAMES[0], FRAMES[1, :, :32]])
    with pytest.raises(VideoError, match="a int holds no frames"):
        write_video(tmp_path / "clip.mp4", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", [OSError("disk"), KeyboardInterrupt(), ValueError("mine")])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "clip"])
def test_a_failure_leaves_the_target_as_it_was(tmp_path: Path, name: str, failure: BaseException) -> None:
    def failing() -> Iterator[torch.Tensor]:
        yield from FRAMES[:3]
        raise failure

    target = tmp_path / name
    with pytest.raises(type(failure)) as caught:
        write_video(target, failing())
    assert caught.value is failure
    assert not list(tmp_path.iterdir())
    write_video(target, FRAMES)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(type(failure)):
        write_video(target, failing(), overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_nothing_has_the_targets_name_before_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"

    def watched() -> Iterator[torch.Tensor]:
        for frame in FRAMES:
            assert not target.exists()
            yield frame

    write_video(target, watched())
    assert target.exists()


def test_overwriting_files(tmp_path: Path) -> None:
    target = write_video(tmp_path / "clip.mp4", FRAMES[:2])
    assert len(open_video(write_video(target, FRAMES))) == 6
    with pytest.raises(VideoError, match="exists; choose another name"):
        write_video(target, FRAMES[:2], overwrite=False)
    assert len(open_video(target)) == 6


def test_overwriting_folders(tmp_path: Path) -> None:
    target = tmp_path / "clip"
    target.mkdir()
    write_video(target, FRAMES)
    for overwrite in (None, False):
        with pytest.raises(VideoError, match="the folder is not empty"):
            write_video(target, FRAMES[:2], overwrite=overwrite)
    write_video(target, FRAMES[:2], overwrite=True)
    assert torch.equal(open_video(target).frames, FRAMES[:2])
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "frames", "frame.png"])
def test_a_disk_that_takes_no_more_is_told_by_the_name_that_was_given(name, tmp_path):
    resource = pytest.importorskip("resource")
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, most))  # of every file that this process writes
    try:
        with pytest.raises(
            VideoError, match=rf"{re.escape(str(tmp_path / name))}: cannot be written \(File too large\)"
        ):
            write_image(tmp_path / name, FRAMES[0]) if name == "frame.png" else write_video(tmp_path / name, FRAMES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(VideoError, match=r"holds 'thesis\.txt'"):
        write_video(tmp_path, FRAMES, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(VideoError, match="is a file where a folder"):
        write_video(tmp_path / "file", FRAMES)
    with pytest.raises(VideoError, match="cannot be written"):
        write_video(tmp_path / "file" / "clip.mp4", FRAMES)
    with pytest.raises(VideoError, match="cannot be written"):
        write_image(tmp_path / "file" / "frame.png", FRAMES[0])
    assert (tmp_path / "file").read_text() == "a file"


def test_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    path = write_video(tmp_path / "clip.mp4", FRAMES)
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_an_image_is_lossless(tmp_path: Path) -> None:
    path = write_image(tmp_path / "new" / "frame%03d.png", FRAMES[0])
    assert torch.equal(open_video(path).frames[0], FRAMES[0])
    write_image(path, FRAMES[1].numpy())
    assert torch.equal(open_video(path).frames[0], FRAMES[1])
    assert [entry.name for entry in path.parent.iterdir()] == ["frame%03d.png"]


def test_images_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"ends in \.png"):
        write_image(tmp_path / "frame.jpg", FRAMES[0])
    with pytest.raises(VideoError, match="frame 0 is"):
        write_image(tmp_path / "frame.png", FRAMES)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(VideoError, match="is a folder"):
        write_image(tmp_path / "folder.png", FRAMES[0])
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("name", [".mp4", ".MKV", "folder/.gif", ".webm/"])
def test_a_suffix_without_a_name_is_refused(tmp_path, name):
    with pytest.raises(VideoError, match=r"is a suffix without a name .*; give a name such as video\.") as told:
        write_video(f"{tmp_path}/{name}", torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []
