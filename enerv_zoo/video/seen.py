"""Part of a video that a fit sees: without pixels that a mask hides, and without frames that are held out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.config import VideoInfo, size_text
from enerv_zoo.errors import VideoError
from enerv_zoo.pixels import as_float
from enerv_zoo.video.reading import Reading, prepare
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sizes import Size
from enerv_zoo.video.source import ReadOptions, Seen, Video
from enerv_zoo.video.storage import FrameStore
from enerv_zoo.video.transforms import Transform

BLACK, WHITE = 16, 239
"""Weights below and above are 0 and 255: masks in lossy files have noise."""

KERNEL_RADIUS = 2
"""Pixels that bicubic resampling reaches to either side, as the coarser of both pictures counts them."""

STRIP_VALUES = 1 << 22
"""Pixels are filled in strips of rows with about so many pixels in all frames."""


def restricted(video: Video, mask: Any = None, fit_frames: str | slice | None = None, **selection: Any) -> Video:
    """Return a video that knows what a fit sees of it; its frames are shared.

    Args:
        video: as it was opened.
        mask: weights per pixel, as `enerv_zoo.open_video` takes a video, an image or an array, also one of booleans:
            white or 1 is seen, black or 0 is hidden, greys weigh in between. A still is for all frames. It has the size
            of the source's frames, and is cropped and resized like them, or that of these frames.
        fit_frames: the frames that are fitted; by default all.
        selection: how the video was opened.

    Raises:
        VideoError: the mask cannot be read or does not fit, or nothing is left to be seen.
    """
    part = Selection.of(fit_frames)
    part.check(len(video), video.info.name)
    fitted = tuple(part.indices(len(video)))
    weights = None if mask is None else read_mask(mask, video.info, **selection)
    if weights is not None:
        shown = weights.flatten(1).any(dim=1).expand(len(video)).tolist()
        fitted = tuple(index for index in fitted if shown[index])
        if not fitted:
            raise VideoError("the mask hides every pixel; white is what is seen, black is hidden")
    if weights is None and len(fitted) == len(video):
        return video
    return dataclasses.replace(video, seen=Seen(weights, fitted if len(fitted) < len(video) else None))


def read_mask(
    mask: Any,
    info: VideoInfo,
    *,
    frames: str | slice | None = None,
    resize: Any = None,
    crop: Any = None,
    square_pixels: bool = False,
    **others: Any,
) -> Tensor:
    """Return the weights of pixels (N or 1, H, W), uint8, of a mask for the frames that `info` describes.

    Where the mask is resized with the frames, a pixel of which hidden ones are a part is hidden.

    Args:
        mask: as `restricted` takes it.
        info: of the frames.
        frames, resize, crop, square_pixels: how the frames were selected and transformed.
        others: options that choose within a file of frames, which say nothing of masks.

    Raises:
        VideoError: it cannot be read, or has another size or length.
    """
    if isinstance(mask, np.ndarray | Tensor):
        mask = mask[None] if mask.ndim == 2 else mask
        boolean = mask.dtype in (bool, torch.bool)
        mask = (
            mask * np.uint8(255) if boolean and isinstance(mask, np.ndarray) else mask.byte() * 255 if boolean else mask
        )
    options = ReadOptions(square_pixels=square_pixels)
    source = prepare(mask, None, None, None, options).source
    chosen, is_counted = Selection.of(frames), source.count not in (None, 1)  # a picture's file does not say
    reading = Reading(source, chosen if is_counted else Selection(), Transform())
    transform = prepare(mask, None, resize, crop, options).transform
    weights = [_weights(frame, (info.height, info.width), transform) for frame, _ in reading.frames()]
    if len(weights) > 1 and not is_counted:
        chosen.check(len(weights), "the mask")
        weights = [weights[index] for index in chosen.indices(len(weights))]
    if len(weights) not in (1, info.frames):
        raise VideoError(
            f"the mask has {len(weights)} frames, {info.name!r} has {info.frames}; give one for each, or one"
        )
    return torch.stack(weights)


def _weights(frame: np.ndarray, size: Size, transform: Transform) -> Tensor:
    """Return the weights (H, W), uint8, of a frame (h, w, 3) of a mask."""
    weights = torch.from_numpy(np.ascontiguousarray(frame)).float().mean(dim=2).round()
    weights = weights.where(weights >= BLACK, 0).where(weights <= WHITE, 255)
    if tuple(weights.shape) == size:
        return weights.byte()
    if transform.crop is not None:
        margins = [(side - crop) // 2 for side, crop in zip(weights.shape, transform.crop, strict=True)]
        if min(margins) >= 0:
            weights = weights[margins[0] :, margins[1] :][: transform.crop[0], : transform.crop[1]]
    before = (weights.shape[0], weights.shape[1])
    if (before if transform.resize is None else transform.resize.size(*before)) != size:
        raise VideoError(
            f"the mask is {size_text(*frame.shape[:2])}, which does not become {size_text(*size)} as the video does; "
            "give it the size of the video's frames"
        )
    if before == size:
        return weights.byte()
    hidden = F.adaptive_max_pool2d((weights == 0).float()[None], size)
    reach = [int(np.ceil(KERNEL_RADIUS * max(1, after / side))) for after, side in zip(size, before, strict=True)]
    hidden = F.max_pool2d(hidden, [2 * each + 1 for each in reach], 1, reach)[0]
    weights = F.interpolate(weights[None, None], size=size, mode="bilinear", antialias=True)[0, 0].round().clamp(1, 255)
    return weights.where(hidden == 0, 0).byte()


def seen_frames(video: Video, place: str = "auto") -> tuple[Tensor, bool]:
    """Return the frames of a video as a fit sees them, and whether they are on disk.

    Hidden pixels, and those of frames that are held out, have the values between the nearest ones in time that are
    seen, or of seen ones around them where a pixel never is. What is hidden has no part in any of them.

    Args:
        video: the video.
        place: where the frames are kept, as `enerv_zoo.open_video` takes it.

    Returns:
        (N, 3, H, W); with a mask, (N, 4, H, W), the weights last. The type is that of the video's frames.
    """
    if (seen := video.seen) is None:
        return video.frames, video.on_disk
    store = FrameStore(len(video), place)
    is_known = torch.ones(len(video), dtype=torch.bool)
    if seen.fitted is not None:
        is_known[:] = False
        is_known[list(seen.fitted)] = True
    for index, frame in enumerate(video.frames):
        pixels = frame.permute(1, 2, 0)
        if seen.weights is not None:
            weights = seen.weights_of([index])[0, 0]
            own = weights if frame.dtype == torch.uint8 else as_float(weights)
            pixels = torch.cat((pixels, own.to(frame.dtype)[..., None]), dim=2)
        store.add(pixels)
    frames = store.frames()
    rows = max(STRIP_VALUES // (len(video) * video.info.width), 1)
    for top in range(0, video.info.height, rows):
        strip = frames[:, :3, top : top + rows]
        weights = is_known[:, None, None].expand(-1, *strip.shape[2:])
        if seen.weights is not None:
            weights = weights & (frames[:, 3, top : top + rows] > 0)
        strip.copy_(_filled_in_time(strip, weights))
    if seen.weights is not None:
        _fill_in_space(frames, is_known)
    return frames, store.on_disk


def _filled_in_time(pixels: Tensor, is_known: Tensor) -> Tensor:
    """Return pixels (N, 3, h, W) of which unknown ones (N, h, W) are blends of the nearest known ones in time."""
    count = len(is_known)
    order = torch.arange(count)[:, None, None].expand_as(is_known)
    before = order.where(is_known, -1).cummax(dim=0).values
    after = order.where(is_known, count).flip(0).cummin(dim=0).values.flip(0)
    before, after = before.where(before >= 0, after), after.where(after < count, before)
    share = (order - before) / (after - before).clamp(min=1)
    sides = (each.clamp(0, count - 1)[:, None].expand_as(pixels) for each in (before, after))
    left, right = (pixels.gather(0, side).float() for side in sides)
    blend = torch.lerp(left, right, share[:, None])
    return torch.where(
        is_known[:, None], pixels, (blend if pixels.is_floating_point() else blend.round()).to(pixels.dtype)
    )


def _fill_in_space(frames: Tensor, fitted: Tensor) -> None:
    """Fill pixels that no fitted frame (N,) shows, of frames with weights (N, 4, H, W), from those around them."""
    is_known = torch.zeros(frames.shape[2:], dtype=torch.bool)
    for frame, is_fitted in zip(frames, fitted.tolist(), strict=True):
        is_known |= (frame[3] > 0) & is_fitted
    if is_known.all():
        return
    for frame in frames:
        filled = _spread(frame[None, :3].float(), is_known[None, None].float())[0]
        frame[:3] = filled if frames.is_floating_point() else filled.round().to(torch.uint8)


def _spread(pixels: Tensor, is_known: Tensor) -> Tensor:
    """Fill pixels (1, 3, H, W) where they are not known (1, 1, H, W) from ever coarser means of known ones."""
    if is_known.all():
        return pixels
    share = F.avg_pool2d(is_known, 2, ceil_mode=True)
    means = F.avg_pool2d(pixels * is_known, 2, ceil_mode=True) / share.clamp(min=1e-9)
    coarse = _spread(means, (share > 0).float())
    return torch.where(is_known > 0, pixels, F.interpolate(coarse, size=pixels.shape[2:], mode="bilinear"))
