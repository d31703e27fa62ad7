"""Frames in memory as sources: NumPy arrays, torch tensors and opened videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
import torch

from enerv_zoo.config import HD, SQUARE
from enerv_zoo.errors import VideoError
from enerv_zoo.pixels import as_bytes
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sound import copy_sound
from enerv_zoo.video.source import Moment, ReadSound, Source, Span, Video
from enerv_zoo.video.transforms import squared

_EXPECTED = "expected (N, 3, H, W), (N, H, W, 3), one still (3, H, W) or (H, W, 3), or grey (N, H, W)"


def with_channels_last(frames: torch.Tensor, channels_first: bool) -> torch.Tensor:
    """Return a view of frames as (N, H, W, C) with C of 1 (grey), 3 (RGB) or 4 (RGBA).

    Args:
        frames: four axes, or three: (3, H, W), (H, W, 3) and (H, W, 4) are one still, anything else is grey (N, H, W).
        channels_first: how to read a shape that fits both orders equally well.

    Raises:
        VideoError: no axis can be the channels, or an axis is empty.
    """
    shape = tuple(frames.shape)
    if 0 in shape:
        raise VideoError(f"an array of shape {shape} holds no pixels; {_EXPECTED}")
    if len(shape) == 3:
        if shape[-1] not in (3, 4) and shape[0] != 3:
            return frames.unsqueeze(-1)
        frames = frames.unsqueeze(0)
    if frames.ndim == 4:
        for channels in ((3,), (1, 4)):
            first, last = frames.shape[1] in channels, frames.shape[3] in channels
            if first or last:
                return frames.permute(0, 2, 3, 1) if first and (channels_first or not last) else frames
    raise VideoError(f"an array of shape {shape} is no video; {_EXPECTED}")


class ArraySource(Source):
    """Frames of an array or a tensor; they are copied, never shared.

    Args:
        frames: as `enerv_zoo.open_video` takes them.
        full_depth: keep floats rather than round them to 8 bits.
    """

    def __init__(self, frames: np.ndarray | torch.Tensor, full_depth: bool = False) -> None:
        self._full_depth = full_depth
        if isinstance(frames, np.ndarray):
            if frames.dtype != np.uint8 and not np.issubdtype(frames.dtype, np.floating):
                raise _wrong_type(frames.dtype)
            # torch takes neither negative strides, nor read-only memory without a warning, nor every float type.
            array = frames if frames.dtype == np.uint8 else frames.astype(np.result_type(frames.dtype, np.float32))
            array = array.astype(np.float64) if array.dtype.itemsize > 8 else array
            tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
            self._frames = with_channels_last(tensor, channels_first=False)
        else:
            if frames.dtype != torch.uint8 and not frames.is_floating_point():
                raise _wrong_type(frames.dtype)
            self._frames = with_channels_last(frames.detach(), channels_first=True)
        self.count = len(self._frames)

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected frames; see `Source.frames`."""
        selection.check(len(self._frames), "the array")
        for index in selection.indices(len(self._frames)):
            frame = self._frames[index, :, :, :3].cpu()
            if frame.is_floating_point():
                frame = _checked(frame, index) if self._full_depth else as_bytes(_checked(frame, index))
            yield frame.expand(-1, -1, 3).contiguous().numpy(), None


class VideoSource(Source):
    """Frames of a video that is in memory.

    Args:
        video: the frames.
        square_pixels: resample pixels that are not square.
        rounds: round floats to 8 bits.
    """

    def __init__(self, video: Video, square_pixels: bool = False, rounds: bool = False) -> None:
        self.video = video
        self.name, self.count, self.rate = video.info.name, len(video), video.info.fps
        self.attribution, self.tags, self.colour = video.info.attribution, video.info.tags, video.info.colour
        self.resamples = square_pixels and video.info.pixel_aspect != SQUARE
        self.rounds = rounds and video.frames.is_floating_point()
        if self.rounds:
            self.colour = replace(self.colour, bits=HD.bits)

    @property
    def pixel_aspect(self) -> Fraction:
        return SQUARE if self.resamples else self.video.info.pixel_aspect

    def moments(self, selection: Selection) -> list[Moment]:
        """Return when the selected frames are shown."""
        selection.check(len(self.video), self.name)
        times = self.video.info.timestamps
        return [times[index] if times else None for index in selection.indices(len(self.video))]

    def frames(self, selection: Selection) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected frames; see `Source.frames`."""
        moments = self.moments(selection)
        for index, moment in zip(selection.indices(len(self.video)), moments, strict=True):
            frame = self.video.frames[index].cpu().permute(1, 2, 0)
            frame = as_bytes(frame.float()) if self.rounds else frame
            yield (squared(frame, self.video.info.pixel_aspect) if self.resamples else frame).numpy(), moment

    def sound_reader(self) -> Callable[[Span], bytes | None] | None:
        """Return what reads the sound of a part; see `Source.sound_reader`."""
        return None if self.video.read_sound is None else partial(_sound_of, self.video.read_sound)


def _sound_of(read: ReadSound, span: Span) -> bytes | None:
    sound = read()
    return None if sound is None else copy_sound(sound, span)


def _checked(frame: torch.Tensor, index: int) -> torch.Tensor:
    low, high = frame.min().item(), frame.max().item()
    if not (low >= 0 and high <= 1):  # False for NaN, too
        raise VideoError(
            f"frame {index} of the array holds values in {low:.4g} to {high:.4g}; floats must lie in [0, 1] "
            "and be no NaN; divide by 255, or give uint8"
        )
    return frame.float()


def _wrong_type(dtype: object) -> VideoError:
    return VideoError(f"an array of {dtype} is no video; expected uint8, or floats in [0, 1]")
