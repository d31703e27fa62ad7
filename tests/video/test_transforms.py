import numpy as np
import pytest
import torch

from enerv_zoo.errors import VideoError
from enerv_zoo.video import parse_frame_size, parse_resize
from enerv_zoo.video.sizes import as_size
from enerv_zoo.video.transforms import Transform, resize

from .conftest import moving


def test_sizes() -> None:
    assert parse_frame_size("1280x720") == (720, 1280)
    assert parse_frame_size(" 2X3 ") == (3, 2)
    assert as_size([4, 5]) == (4, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["720", "720*1280", "0x3", "-2x1", "70000x2", (1, 2, 3), (1.5, 2), (0, 1), 7])
def test_bad_sizes_are_refused(size: object) -> None:
    with pytest.raises(VideoError, match="is no size"):
        as_size(size)  # type: ignore[arg-type]


def test_crop_is_centred() -> None:
    image = moving(1, 10, 13)[0]
    assert np.array_equal(Transform(crop=(4, 6))(image).numpy(), image[3:7, 3:9])


def test_crop_comes_before_resize() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[5:15, 5:15] = 200  # the crop sees nothing else
    assert (Transform(crop=(10, 10), resize=parse_resize((4, 8)))(image) == 200).all()


def test_crop_beyond_the_frame_is_refused() -> None:
    with pytest.raises(VideoError, match="crop 4x11 exceeds the frame, which is 13x10"):
        Transform(crop=(11, 4))(moving(1, 10, 13)[0])


@pytest.mark.parametrize("size", [(20, 33), (90, 150), (64, 50)])
def test_resize_of_bytes_is_that_of_floats(size: tuple[int, int]) -> None:
    image = torch.from_numpy(moving(1, 64, 96)[0])
    exact = torch.nn.functional.interpolate(
        image.permute(2, 0, 1)[None].double(), size=size, mode="bicubic", antialias=True
    )
    expected = exact[0].permute(1, 2, 0).clamp(0, 255)
    result = resize(image, size)
    assert result.dtype == torch.uint8
    assert (result - expected).abs().max() < 1.6


def test_shrinking_is_antialiased() -> None:
    stripes = torch.zeros(64, 64, 3, dtype=torch.uint8)
    stripes[:, ::2] = 255
    shrunk = resize(stripes, (16, 16))[2:-2, 2:-2].int()
    assert (shrunk - 127).abs().max() < 12
