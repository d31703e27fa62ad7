"""Opening videos: a source, a selection and a transform become a `Video`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.video.arrays import ArraySource
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.folders import ImageFolder
from enerv_zoo.video.remote import is_address, local_copy
from enerv_zoo.video.samples import sample
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import Moment, Source, Video
from enerv_zoo.video.storage import FrameStore
from enerv_zoo.video.timing import timing
from enerv_zoo.video.transforms import Size, Transform, as_size

Readable = str | Path | Video | np.ndarray | torch.Tensor


def open_video(
    source: Readable,
    *,
    frames: str | slice | None = None,
    resize: str | Size | None = None,
    crop: str | Size | None = None,
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
        resize: (height, width) or `"HEIGHTxWIDTH"` of the result; bicubic, antialiased.
        crop: (height, width) or `"HEIGHTxWIDTH"` of a centred crop, taken before resizing.
        place: where its frames are kept: `"host"` (memory), `"disk"` (a file in `ENERV_ZOO_CACHE`, else in the user's
            cache folder, mapped into memory and gone with its last use), or `"auto"`: memory as long as they take at
            most half of what is available.

    Returns:
        The frames, (N, 3, H, W) uint8, upright and with square pixels. With every k-th frame selected, `info.fps` is
        the source's divided by k. `info.timestamps` is given for a variable frame rate, in seconds from the first kept
        frame. Frames of a `Video` that are not changed are shared with it; all others are copies.

    Raises:
        VideoError: the source cannot be read, is damaged or empty, or an option does not fit it.
    """
    selection = Selection.of(frames)
    transform = Transform(None if crop is None else as_size(crop), None if resize is None else as_size(resize))
    if isinstance(source, Video):
        return _select(source, selection, transform, place)
    if isinstance(source, np.ndarray | torch.Tensor):
        return _read(ArraySource(source), selection, transform, place)
    if not isinstance(source, str | Path):
        raise VideoError(
            f"a {type(source).__name__} is no video; expected a path, a sample name, a Video, an array or a tensor"
        )
    found, attribution = find_source(source)
    return _read(found, selection, transform, place, attribution)


def find_source(source: str | Path) -> tuple[Source, str | None]:
    """What a path, an address or a sample's name means, and who is to be named for it.

    Raises:
        VideoError: there is no such file, folder or sample, or it cannot be read.
    """
    if is_address(source):
        return VideoFile(local_copy(str(source))), None
    try:
        path = Path(source).expanduser()
        folder, file = path.is_dir(), path.exists()
    except (OSError, RuntimeError) as error:
        raise VideoError(f"{str(source)[:80]!r} cannot be looked up ({error}); give a path or a sample name") from error
    if folder and str(source):  # an empty text is no name for the current folder
        return ImageFolder(path), None
    if file and not folder:
        return VideoFile(path), None
    found = sample(source)
    return VideoFile(found.path, name=str(source)), found.attribution


def _read(
    source: Source, selection: Selection, transform: Transform, place: str, attribution: str | None = None
) -> Video:
    kept = FrameStore(None if source.count is None else len(selection.indices(source.count)), place)
    moments: list[Moment] = []
    for frame, moment in source.frames(selection):
        kept.add(transform(frame))
        moments.append(moment)
    pixels = kept.frames()
    fps, timestamps = timing(moments, source.rate, selection.step, source.tick)
    count, _, height, width = pixels.shape
    return Video(pixels, VideoInfo(count, height, width, fps, timestamps, source.name, attribution), kept.on_disk)


def _select(video: Video, selection: Selection, transform: Transform, place: str) -> Video:
    old = video.info
    selection.check(len(video), old.name)
    indices = selection.indices(len(video))
    pixels, on_disk = video.frames[indices.start : indices.stop : indices.step], video.on_disk
    if transform.crop or transform.resize:
        kept = FrameStore(len(pixels), place)
        for frame in pixels:
            kept.add(transform(frame.cpu().permute(1, 2, 0).numpy()))
        pixels, on_disk = kept.frames(), kept.on_disk
    moments = [old.timestamps[i] if old.timestamps else None for i in indices]
    fps, timestamps = timing(moments, old.fps, selection.step, 0.0)
    count, _, height, width = pixels.shape
    return Video(pixels, VideoInfo(count, height, width, fps, timestamps, old.name, old.attribution), on_disk)
