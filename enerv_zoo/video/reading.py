"""Opening videos: a source, a selection and a transform become a `Video`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from enerv_zoo.config import SQUARE, VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.video.arrays import ArraySource
from enerv_zoo.video.folders import ImageFolder, different_sizes
from enerv_zoo.video.opening import check_stream, open_file, refuse_options
from enerv_zoo.video.paths import without_file_scheme
from enerv_zoo.video.remote import is_address, local_copy
from enerv_zoo.video.samples import sample
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sizes import ResizeOption, Size, as_size, parse_resize
from enerv_zoo.video.source import Moment, Source, Video
from enerv_zoo.video.storage import FrameStore
from enerv_zoo.video.timing import timing
from enerv_zoo.video.transforms import Transform

Readable = str | Path | Video | np.ndarray | torch.Tensor


def open_video(
    source: Readable,
    *,
    frames: str | slice | None = None,
    resize: ResizeOption | None = None,
    crop: str | Size | None = None,
    square_pixels: bool = False,
    stream: int | None = None,
    yuv: str | None = None,
    place: str = "auto",
) -> Video:
    """Read a video.

    Args:
        source: a path to a video or an image, a folder of images (in natural order of their names), the name of a
            sample (`samples()`; a path that exists wins), an address of a file that fsspec reaches (`https://`,
            `hf://`, `s3://`, ...; it is fetched once), a `Video`, or an array or a tensor: uint8, or floats in
            [0, 1], of shape (N, 3, H, W) or (N, H, W, 3), one still (3, H, W) or (H, W, 3), or grey (N, H, W). Where a
            shape fits both orders, a tensor is taken channels-first and an array channels-last. Alpha is dropped.
        frames: which frames, as `"0:53"`, `"10:"`, `"::2"`, `"5"` or a slice without negative parts. Only these are
            kept, and reading stops after the last of them.
        resize: to which size, bicubic and antialiased: `"WIDTHxHEIGHT"` or (height, width), which is logged where it
            changes the aspect by more than 2 %; or with the aspect kept `"360p"` (the shorter side), `"256"` or `256`
            (the longest side), `"50%"`, `"0.5MP"` (at most about so many megapixels, never enlarged).
        crop: `"WIDTHxHEIGHT"` or (height, width) of a centred crop, taken before resizing.
        square_pixels: resample frames whose pixels are not square, before they are cropped: the width is scaled, the
            height kept. By default the stored pixels are what is taken, and `info.pixel_aspect` says how to show them.
        stream: which of a file's video streams, counted from 0 as FFmpeg's `v:N` does. By default the one that is
            marked as default; among several, one of more than a picture, then the largest.
        yuv: the format of raw video, as `"WIDTHxHEIGHT:FORMAT:FPS"` such as `"1920x1080:yuv420p:50"` (format and rate
            may be left out). By default, the name of a `.yuv` file says it:
            `Beauty_1920x1080_120fps_420_8bit_YUV.yuv`.
        place: where its frames are kept: `"host"` (memory), `"disk"` (a file in `ENERV_ZOO_CACHE`, else in the user's
            cache folder, mapped into memory and gone with its last use), or `"auto"`: memory as long as they take at
            most half of what is available.

    Returns:
        The frames, (N, 3, H, W) uint8, upright. With every k-th frame selected, `info.fps` is the source's divided by
        k. `info.timestamps` is given for a variable frame rate, in seconds from the first kept frame. A `resize` that
        squeezes the picture changes `info.pixel_aspect`, so that it keeps its shape on the screen. Frames of a `Video`
        that are not changed are shared with it; all others are copies.

    Raises:
        VideoError: the source cannot be read, is damaged or empty, or an option does not fit it.
    """
    selection = Selection.of(frames)
    transform = Transform(None if crop is None else as_size(crop), None if resize is None else parse_resize(resize))
    check_stream(stream)
    if isinstance(source, Video | np.ndarray | torch.Tensor):
        refuse_options("a video in memory", stream, yuv)
    if isinstance(source, Video):
        square = source.info.pixel_aspect if square_pixels else SQUARE
        return _select(source, selection, replace(transform, square=square), place)
    if isinstance(source, np.ndarray | torch.Tensor):
        return _read(ArraySource(source), selection, transform, place)
    if not isinstance(source, str | Path):
        raise VideoError(
            f"a {type(source).__name__} is no video; expected a path, a sample name, a Video, an array or a tensor"
        )
    found, attribution = find_source(source, square_pixels, stream, yuv)
    return _read(found, selection, transform, place, attribution)


def find_source(
    source: str | Path, square_pixels: bool = False, stream: int | None = None, yuv: str | None = None
) -> tuple[Source, str | None]:
    """What a path, an address or a sample's name means, and who is to be named for it.

    Args:
        source: as `open_video` takes it.
        square_pixels: whether the source yields frames with square pixels.
        stream, yuv: as `open_video` takes them.

    Raises:
        VideoError: there is no such file, folder or sample, or it cannot be read.
    """
    source = without_file_scheme(source)
    if is_address(source):
        return open_file(local_copy(str(source)), None, square_pixels, stream, yuv), None
    try:
        path = Path(source).expanduser()
        folder, file = path.is_dir(), path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise VideoError(f"{str(source)[:80]!r} cannot be looked up ({error}); give a path or a sample name") from error
    if folder and str(source):  # an empty text is no name for the current folder
        refuse_options(str(path), stream, yuv)
        return ImageFolder(path), None
    if file and not folder:
        return open_file(path, None, square_pixels, stream, yuv), None
    found = sample(source)
    return open_file(found.path, str(source), square_pixels, stream, yuv), found.attribution


def _read(
    source: Source, selection: Selection, transform: Transform, place: str, attribution: str | None = None
) -> Video:
    kept = FrameStore(None if source.count is None else len(selection.indices(source.count)), place)
    moments: list[Moment] = []
    stored: Size | None = None
    size: torch.Size | None = None
    for number, (frame, moment) in enumerate(source.frames(selection)):
        if stored is None:
            stored = frame.shape[0], frame.shape[1]
            transform.note(stored)
        result = transform(frame)
        size = size or result.shape
        if result.shape != size:
            raise different_sizes(source, selection, number, size, result.shape)
        kept.add(result)
        moments.append(moment)
    assert stored is not None, "sources refuse to yield nothing"
    pixels = kept.frames()
    fps, timestamps = timing(moments, source.rate, selection.step, source.tick)
    count, _, height, width = pixels.shape
    aspect = transform.pixel_aspect(stored, source.pixel_aspect)
    info = VideoInfo(count, height, width, fps, timestamps, source.name, attribution, aspect)
    return Video(pixels, info, kept.on_disk)


def _select(video: Video, selection: Selection, transform: Transform, place: str) -> Video:
    old = video.info
    selection.check(len(video), old.name)
    indices = selection.indices(len(video))
    pixels, on_disk = video.frames[indices.start : indices.stop : indices.step], video.on_disk
    transform.note((old.height, old.width))
    if transform.changes:
        kept = FrameStore(len(pixels), place)
        for frame in pixels:
            kept.add(transform(frame.cpu().permute(1, 2, 0).numpy()))
        pixels, on_disk = kept.frames(), kept.on_disk
    moments = [old.timestamps[i] if old.timestamps else None for i in indices]
    fps, timestamps = timing(moments, old.fps, selection.step, 0.0)
    count, _, height, width = pixels.shape
    aspect = transform.pixel_aspect((old.height, old.width), old.pixel_aspect)
    info = VideoInfo(count, height, width, fps, timestamps, old.name, old.attribution, aspect)
    return Video(pixels, info, on_disk)
