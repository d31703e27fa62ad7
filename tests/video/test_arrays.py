import pickle
import warnings

import numpy as np
import pytest
import torch

from enerv_zoo.errors import VideoError
from enerv_zoo.video import open_video
from enerv_zoo.video.identity import digest

from .conftest import moving

IMAGES = moving(5, 8, 12)


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("as_tensor", [True, False])
def test_both_orders_of_axes(channels_first: bool, as_tensor: bool) -> None:
    array = IMAGES.transpose(0, 3, 1, 2) if channels_first else IMAGES
    video = open_video(torch.from_numpy(array) if as_tensor else array)
    assert np.array_equal(video.frames.permute(0, 2, 3, 1).numpy(), IMAGES)
    assert video.frames.is_contiguous(memory_format=torch.channels_last)
    assert (video.info.frames, video.info.height, video.info.width, video.info.fps) == (5, 8, 12, None)
    assert len(video) == 5


def test_a_shape_that_fits_both_orders() -> None:
    array = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    assert np.array_equal(open_video(array).frames.numpy(), array.transpose(0, 3, 1, 2))
    assert np.array_equal(open_video(torch.from_numpy(array)).frames.numpy(), array)


@pytest.mark.parametrize("array", [IMAGES[0], IMAGES[0].transpose(2, 0, 1)])
def test_one_still(array: np.ndarray) -> None:
    assert np.array_equal(open_video(array).frames[0].permute(1, 2, 0).numpy(), IMAGES[0])


@pytest.mark.parametrize("shape", [(5, 8, 12), (5, 1, 8, 12), (5, 8, 12, 1)])
def test_grey(shape: tuple[int, ...]) -> None:
    grey = np.ascontiguousarray(IMAGES[..., 2])
    frames = open_video(grey.reshape(shape)).frames
    assert frames.shape == (5, 3, 8, 12)
    assert all(np.array_equal(frames[:, channel].numpy(), grey) for channel in range(3))


def test_alpha_is_dropped() -> None:
    rgba = np.concatenate([IMAGES, np.full((5, 8, 12, 1), 7, np.uint8)], axis=-1)
    for array in (rgba, rgba.transpose(0, 3, 1, 2)):
        assert np.array_equal(open_video(array).frames.permute(0, 2, 3, 1).numpy(), IMAGES)
    assert open_video(rgba[0]).frames.shape == (1, 3, 8, 12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floats_are_rounded(dtype: type) -> None:
    frames = open_video((IMAGES / 255).astype(dtype)).frames
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), IMAGES)


def test_half_precision_tensors() -> None:
    frames = open_video(torch.tensor([0.0, 0.5, 1.0], dtype=torch.bfloat16).expand(1, 2, 2, 3)).frames
    assert frames[0, :, 0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("value", [float("nan"), -0.01, 1.01, 200.0])
def test_floats_out_of_range_are_refused(value: float) -> None:
    array = np.zeros((2, 4, 5, 3), np.float32)
    array[1, 2, 2, 0] = value
    with pytest.raises(VideoError, match=r"frame 1 of the array .* \[0, 1\]"):
        open_video(array)


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.bool_, np.complex64])
def test_other_types_are_refused(dtype: type) -> None:
    with pytest.raises(VideoError, match="expected uint8, or floats"):
        open_video(IMAGES.astype(dtype))


@pytest.mark.parametrize("shape", [(4,), (4, 5), (2, 5, 6, 7), (1, 2, 3, 4, 3), (0, 4, 5, 3), (2, 0, 5, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(VideoError, match=r"expected \(N, 3, H, W\)"):
        open_video(np.zeros(shape, np.uint8))


def test_views_and_read_only_arrays_are_taken_and_never_shared() -> None:
    array = IMAGES.copy()
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(open_video(array[::-1, :, ::-1]).frames[0].permute(1, 2, 0).numpy(), IMAGES[4, :, ::-1])
    mine = torch.from_numpy(IMAGES.copy())
    video = open_video(mine)
    mine.zero_()
    assert np.array_equal(video.frames.permute(0, 2, 3, 1).numpy(), IMAGES)


def test_selection_and_transforms() -> None:
    video = open_video(IMAGES, frames="1::2", crop="6x4", resize=(2, 3))
    assert video.frames.shape == (2, 3, 2, 3)
    with pytest.raises(VideoError, match="the array, which has 5 frames"):
        open_video(IMAGES, frames="0:6")


def test_a_video_keeps_nothing_but_its_frames() -> None:
    """Neither the array that it was made from nor a larger video is held, or pickled."""
    for source in (IMAGES, IMAGES / 255, open_video(IMAGES)):
        small = open_video(source, resize=(4, 4))
        assert small.read_sound is None
        assert len(pickle.dumps(small)) < small.frames.nbytes + 3000


def test_floats_of_a_video_become_bytes_when_asked() -> None:
    deep = open_video(IMAGES / 255, full_depth=True)
    assert deep.frames.dtype == torch.float16
    for options in ({}, {"crop": (2, 2)}, {"frames": "1:2"}):
        rounded = open_video(deep, full_depth=False, **options)
        assert rounded.info.colour.bits == 8
        assert torch.equal(rounded.frames, open_video(IMAGES, **options).frames)
    assert open_video(deep).frames.dtype == torch.float16


def test_bfloat16_has_a_digest() -> None:
    frames = torch.rand(2, 3, 4, 4).bfloat16()
    assert digest(frames) == digest(frames.clone()) != digest(frames / 2)
