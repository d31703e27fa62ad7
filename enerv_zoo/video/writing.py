"""Writer of videos and images: the format, the target, and all of a file or nothing."""

from __future__ import annotations

import itertools
import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from enerv_zoo.config import DEFAULT_FPS, HD, SQUARE, Colour, Tags, as_pixel_aspect, size_text
from enerv_zoo.errors import VideoError
from enerv_zoo.files import replacing, usable_path
from enerv_zoo.shell import printable
from enerv_zoo.video.encoders import DEEP_MOVIES, MOVIES, Clock, encode_gif, encode_movie, encode_png
from enerv_zoo.video.source import Video

logger = logging.getLogger(__name__)

Frame = np.ndarray | torch.Tensor

_SAY_ASPECT = (".mp4", ".mov", ".mkv")
"""Movies that say what shape their pixels have. VP9 does not, and PyAV cannot have it written into a WebM header."""

_FRAME_FILE = re.compile(r"[0-9]+\.png")


def write_video(
    path: str | Path,
    frames: Video | torch.Tensor | Iterable[Frame],
    *,
    fps: float | None = None,
    timestamps: Sequence[float] | None = None,
    pixel_aspect: Fraction | None = None,
    colour: Colour | None = None,
    quality: float | None = None,
    overwrite: bool | None = None,
    sound: bytes | None = None,
    tags: Tags | None = None,
) -> Path:
    """Write frames to a file or a folder, one at a time (a GIF holds them all, for its palette).

    A target appears whole or not at all: what is written has another name until it is complete.

    Args:
        path: `.mp4`, `.mov` or `.mkv` (H.264; above 8 bits H.265), `.webm` (VP9; above 8 bits AV1), `.gif`, or a folder
            for lossless `00000.png`, ...: an existing folder, a path without a suffix, or one that ends in a slash.
            Missing folders above it are made.
        frames: a `Video`, a tensor (N, 3, H, W), or an iterable of tensors or arrays (3, H, W), all of one size: uint8,
            or float in [0, 1], of which a folder's PNG files have 16 bits. Odd sides are made even for movies by
            repeating the last row or column.
        fps: frames per second; the `Video`'s own by default, else 25.
        timestamps: seconds at which frames are shown, for a variable rate; the `Video`'s own by default, unless `fps`
            is given. A folder holds no timing.
        pixel_aspect: width of a pixel over its height, for players; the `Video`'s own by default, else 1. WebM,
            GIF and a folder cannot say it, which is logged.
        colour: of the frames, and how a movie stores them: 4:2:0 with this matrix and range, of 8 bits, or of 10 where
            `colour.bits` are more. The `Video`'s own by default, else that of HD video (BT.709). GIF and PNG cannot say
            it, which is logged for wide colours. No values are converted from one colour to another.
        quality: the constant rate factor of a movie, lower is better: 0 to 51 for H.264 and H.265 (default 14), 0
            to 63 for VP9 and AV1 (default 18). GIF and PNG have none.
        overwrite: by default a file is replaced and a folder that is not empty is refused. `False` refuses whatever
            exists, `True` also replaces a folder, if it holds nothing but numbered PNG files.
        sound: as `enerv_zoo.video.Video.sound` gives it; the `Video`'s own by default, if its timing is not changed. It
            is copied; re-encoded where the format takes no such codec; left out of GIFs and folders, which is logged.
        tags: title, time of recording and chapters of a movie; the `Video`'s own by default, chapters if its timing is
            not changed.

    Returns:
        The path.

    Raises:
        VideoError: an unknown suffix, no frames, frames of another form, an option out of range, or a target that
            cannot be replaced or written. What the iterable raises is passed on. The target is then as it was.
    """
    if hasattr(frames, "decode_float"):
        raise VideoError("a fitted video is written by enerv_zoo.render, at its rate, in its colours, with its sound")
    folder = _means_folder(path)
    target = Path(path)
    suffix = "" if folder else target.suffix.lower()
    _check_quality(suffix, quality)
    if isinstance(frames, Video):
        own_tags = frames.info.tags
        if timestamps is None and fps is None:
            timestamps = frames.info.timestamps
            sound = frames.sound if sound is None and suffix in MOVIES else sound
        elif own_tags is not None:
            own_tags = replace(own_tags, chapters=())
        fps = frames.info.fps if fps is None else fps
        pixel_aspect = frames.info.pixel_aspect if pixel_aspect is None else pixel_aspect
        colour = frames.info.colour if colour is None else colour
        tags = own_tags if tags is None else tags
        frames = frames.frames
    colour = HD if colour is None else colour
    if sound is not None and suffix not in MOVIES:
        logger.info("%s holds no sound; an mp4, mkv, mov or webm file does", printable(str(target)))
    clock = _clock(fps, timestamps)
    _check_target(target, folder, overwrite)
    images = _images(frames)
    aspect = _known_aspect(target, suffix in _SAY_ASPECT, pixel_aspect)
    if colour.is_wide and suffix not in MOVIES:
        logger.warning(
            "%s cannot say that its colours are %s/%s, so they are shown as those of BT.709; a movie can, "
            "and tone_map (--tone-map) converts them",
            *(target, colour.primaries, colour.transfer),
        )
    with replacing(target, VideoError) as temporary:
        if folder:
            _write_folder(temporary, images)
        elif suffix == ".gif":
            encode_gif(temporary, images, clock)
        else:
            movies = MOVIES if colour.bits == 8 else DEEP_MOVIES
            encode_movie(temporary, movies[suffix], images, clock, quality, aspect, colour, sound, tags)
    return target


def write_image(path: str | Path, frame: Frame) -> Path:
    """Write one frame, (3, H, W), as a PNG file: uint8 with 8 bits, float in [0, 1] with 16.

    It appears whole or not at all, and replaces an existing one.

    Returns:
        The path.

    Raises:
        VideoError: a suffix other than `.png`, a frame of another form, or a target that cannot be written.
    """
    target = usable_path(path, VideoError)
    if target.suffix.lower() != ".png":
        raise VideoError(f"{target}: an image is written as PNG; give a name that ends in .png")
    if target.is_dir():
        raise VideoError(f"{target}: is a folder; give the name of a file")
    data = encode_png(_image(frame, 0))
    with replacing(target, VideoError) as temporary:
        temporary.write_bytes(data)
    return target


def check_movie(path: str | Path, fps: float) -> None:
    """Refuse a path or a rate that no movie can have, before there are frames.

    Raises:
        VideoError: the path names a folder, or a file of another kind; or the rate is out of range.
    """
    if _means_folder(path):
        raise VideoError(f"{path}: a movie is a file; give a name such as fit.mp4")
    _clock(fps, None)


def check_frames_target(path: str | Path, overwrite: bool | None) -> None:
    """Refuse what `write_video` would refuse to replace, before there are frames.

    Raises:
        VideoError: it would.
    """
    _check_target(usable_path(path, VideoError), _means_folder(path), overwrite)


def _means_folder(path: str | Path) -> bool:
    """Return whether a path names a folder of images; refuses suffixes that nothing is written for."""
    target = usable_path(path, VideoError)
    if target.name.lower() in (*MOVIES, ".gif"):
        raise VideoError(
            f"{target}: is a suffix without a name (is there a space before it?); "
            f"give a name such as video{target.name}"
        )
    if str(path).endswith(("/", "\\")) or target.is_dir() or not target.suffix:
        return True
    if target.suffix.lower() not in (*MOVIES, ".gif"):
        legal = ", ".join((*MOVIES, ".gif"))
        raise VideoError(
            f"{target}: nothing is written for the suffix {target.suffix!r}; expected one of {legal}, or a folder for "
            "PNG files (no suffix, or a slash at the end)"
        )
    return False


def _check_quality(suffix: str, quality: float | None) -> None:
    worst = MOVIES[suffix].worst if suffix in MOVIES else 63
    if quality is not None and not 0 <= quality <= worst:
        raise VideoError(f"quality {quality!r} is out of range; expected 0 (best) to {worst}, or None")


def _known_aspect(target: Path, keeps: bool, aspect: Fraction | None) -> Fraction:
    """The pixel aspect to write; what `target` cannot say is logged."""
    try:
        aspect = SQUARE if aspect is None else as_pixel_aspect(aspect)
    except ValueError as error:
        raise VideoError(str(error)) from None
    if aspect != SQUARE and not keeps:
        logger.warning(
            "%s cannot say that pixels have an aspect of %d:%d, so players show them as square; an mp4, mkv or mov "
            "file can",
            *(target, aspect.numerator, aspect.denominator),
        )
    return aspect


def _clock(fps: float | None, timestamps: Sequence[float] | None) -> Clock:
    seconds = None if timestamps is None else tuple(float(moment) for moment in timestamps)
    if seconds is not None and not all(a < b for a, b in itertools.pairwise((-math.inf, *seconds, math.inf))):
        raise VideoError("timestamps must be finite seconds, each larger than the one before")
    if fps is None and seconds is not None and len(seconds) > 1:
        fps = (len(seconds) - 1) / (seconds[-1] - seconds[0])
    fps = DEFAULT_FPS if fps is None else fps
    if not (math.isfinite(fps) and 1e-3 <= fps <= 1e5):
        raise VideoError(f"fps {fps!r} is out of range; expected frames per second in 0.001 to 100000")
    # Rates such as 30000/1001 are exact in files, and are recovered here from their nearest float.
    return Clock(Fraction(fps).limit_denominator(1001), seconds)


def _check_target(target: Path, folder: bool, overwrite: bool | None) -> None:
    if not target.exists():
        return
    if not folder:
        if overwrite is False:
            raise VideoError(f"{target}: exists; choose another name, or allow overwriting")
        return
    if not target.is_dir():
        raise VideoError(f"{target}: is a file where a folder of PNG files would be written; choose another name")
    names = [entry.name for entry in target.iterdir()]
    if names and not overwrite:
        raise VideoError(f"{target}: the folder is not empty; choose another one, or allow overwriting")
    foreign = next((name for name in names if not _FRAME_FILE.fullmatch(name)), None)
    if foreign is not None:
        raise VideoError(
            f"{target}: the folder holds {foreign!r}, which is no numbered PNG, and is not replaced; choose another one"
        )


def _images(frames: torch.Tensor | Iterable[Frame]) -> Iterator[np.ndarray]:
    """Frames as (H, W, 3) arrays of one size. The first is read at once, so that an empty video leaves no trace."""
    try:
        iterator = iter(frames)
    except TypeError:
        raise VideoError(f"a {type(frames).__name__} holds no frames; expected a Video or frames (3, H, W)") from None
    first = next(iterator, None)
    if first is None:
        raise VideoError("there are no frames to write; give at least one")
    image = _image(first, 0)

    def rest() -> Iterator[np.ndarray]:
        yield image
        for index, frame in enumerate(iterator, start=1):
            other = _image(frame, index)
            if other.shape != image.shape:
                raise VideoError(
                    f"frame {index} is {size_text(*other.shape[:2])} (WIDTHxHEIGHT), the first one "
                    f"{size_text(*image.shape[:2])}; give frames of one size"
                )
            yield other

    return rest()


def _image(frame: object, index: int) -> np.ndarray:
    expected = "expected uint8, or float in [0, 1], of shape (3, H, W)"
    if not isinstance(frame, np.ndarray | torch.Tensor):
        raise VideoError(f"frame {index} is a {type(frame).__name__}; {expected}, as a tensor or an array")
    array = frame.detach().cpu() if isinstance(frame, torch.Tensor) else frame
    is_known = str(array.dtype).removeprefix("torch.") in ("uint8", "float16", "float32", "float64")
    if not is_known or array.ndim != 3 or array.shape[0] != 3 or 0 in array.shape:
        raise VideoError(f"frame {index} is {array.dtype} of shape {tuple(array.shape)}; {expected}")
    if "float" in str(array.dtype) and not (array.min() >= 0 and array.max() <= 1):  # so for NaN, too
        raise VideoError(f"frame {index} holds values outside [0, 1], or NaN; {expected}")
    return np.ascontiguousarray(np.asarray(array).transpose(1, 2, 0))


def _write_folder(folder: Path, images: Iterator[np.ndarray]) -> None:
    folder.mkdir()
    for index, image in enumerate(images):
        (folder / f"{index:05d}.png").write_bytes(encode_png(image))
