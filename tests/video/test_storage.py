"""Frames in memory and on disk are the same frames."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
import torch

from enerv_zoo.errors import VideoError
from enerv_zoo.video import open_video, storage


def frame(value: int) -> torch.Tensor:
    return torch.full((6, 4, 3), value, dtype=torch.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ENERV_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_clip_on_disk_is_the_clip_in_memory(cache):
    kept = open_video("bunny", frames="0:5", resize="64x36", place="host")
    mapped = open_video("bunny", frames="0:5", resize="64x36", place="disk")
    assert (kept.on_disk, mapped.on_disk) == (False, True)
    assert torch.equal(kept.frames, mapped.frames)
    assert kept.frames.stride() == mapped.frames.stride()
    assert mapped.info == kept.info
    part = open_video(mapped, frames="2:4")
    assert part.on_disk
    assert torch.equal(part.frames, kept.frames[2:4])
    assert not open_video(mapped, resize="32x18", place="host").on_disk


@pytest.mark.skipif(sys.platform != "linux", reason="looks at open files through /proc")
def test_nothing_is_left_on_disk(cache):
    def space() -> int:
        opened = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(link.stat().st_size for link in opened if str(cache) in str(link.readlink()))

    video = open_video("bunny", frames="0:3", resize="64x36", place="disk")
    assert list(cache.iterdir()) == [], "the file has no name, so a killed process leaves nothing"
    assert space() == 3 * 36 * 64 * 3
    del video
    gc.collect()
    assert space() == 0


@pytest.mark.parametrize("expected", [None, 2, 5, 9])
@pytest.mark.parametrize("room", [10_000, 3 * 72, 1])
def test_memory_overflows_to_disk(cache, monkeypatch, expected, room):
    monkeypatch.setattr(storage, "available_memory", lambda: 2 * room)
    store = storage.FrameStore(expected)
    for value in range(5):
        store.add(frame(value))
    frames = store.frames()
    assert frames.shape == (5, 3, 6, 4)
    assert frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert store.on_disk == (max(expected or 0, 5) * 72 > room)


def test_a_full_disk_is_one_clear_line(cache, monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

    store = storage.FrameStore(None, "disk")
    store.add(frame(0))
    store.file = Full()
    with pytest.raises(VideoError, match=r"No space left on device\) after 1 of them; free some space"):
        store.add(frame(1))


def test_places_are_checked():
    with pytest.raises(VideoError, match="one of auto, host, disk, got 'cloud'"):
        open_video("bunny", place="cloud")


def test_an_unusable_cache_folder_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ENERV_ZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(VideoError, match="name another folder in ENERV_ZOO_CACHE"):
        open_video("bunny", frames="0:1", place="disk")
