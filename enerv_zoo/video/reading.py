"""Open videos: a source, a selection and a transform become a `Video`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from enerv_zoo.config import DEFAULT_FPS, HD, VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.files import usable_path
from enerv_zoo.progress import stage
from enerv_zoo.shell import printable
from enerv_zoo.video.arrays import ArraySource, VideoSource
from enerv_zoo.video.colours import to_bytes
from enerv_zoo.video.folders import ImageFolder, different_sizes
from enerv_zoo.video.opening import open_file
from enerv_zoo.video.paths import without_file_scheme
from enerv_zoo.video.remote import is_address, local_copy
from enerv_zoo.video.samples import sample
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sizes import ResizeOption, Size, as_size, parse_resize
from enerv_zoo.video.source import DEFAULT, Moment, ReadOptions, ReadSound, Source, Span, Video
from enerv_zoo.video.storage import FrameStore
from enerv_zoo.video.timing import timing
from enerv_zoo.video.tones import to_sdr
from enerv_zoo.video.transforms import Transform

logger = logging.getLogger(__name__)

MAX_SD_SIDE = 576
"""Pixels of the shorter side up to which players take a video of unknown matrix for one of BT.601."""

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
    deinterlace: bool | None = None,
    full_depth: bool | None = None,
    matrix: str | None = None,
    tone_map: bool | None = None,
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
        deinterlace: make whole frames of interlaced ones, whose odd and even rows are of two moments, by FFmpeg's
            bwdif. `False` takes them as they are, as `None` does, which logs it.
        full_depth: keep colours of more than 8 bits, as float16 in [0, 1], which take twice the memory. `False` rounds
            them to 8 bits. `None` keeps those of HDR (PQ or HLG), rounds others, and logs it.
        matrix: colour matrix of a video file, such as `"bt709"`, where it does not say it, or says it wrong. Without
            one, it is read as BT.601, as FFmpeg does, which is logged for frames of HD.
        tone_map: convert HDR (PQ or HLG) and wide colours (such as BT.2020) to SDR, the R'G'B' of BT.709; see
            `enerv_zoo.video.tones.to_sdr`. 8 bits, unless `full_depth` is true. By default, frames are as they are
            coded.
        place: where its frames are kept: `"host"` (memory), `"disk"` (a file in `ENERV_ZOO_CACHE`, else in the user's
            cache folder, mapped into memory and gone with its last use), or `"auto"`: memory as long as they take at
            most half of what is available.

    Returns:
        The frames, (N, 3, H, W) uint8 (or float16, see `full_depth`), upright. With every k-th frame selected,
        `info.fps` is the source's divided by k. `info.timestamps` is given for a variable frame rate, in seconds from
        the first kept frame. A `resize` that squeezes the picture changes `info.pixel_aspect`, so that it keeps its
        shape on the screen. Frames of a `Video` that are not changed are shared with it; all others are copies.
        `sound` is that of the frames.

    Raises:
        VideoError: the source cannot be read, is damaged or empty, or an option does not fit it.
    """
    options = ReadOptions(square_pixels, stream, yuv, deinterlace, full_depth, matrix, tone_map)
    reading = prepare(source, frames, resize, crop, options)
    if isinstance(reading.source, VideoSource) and not (
        crop or resize or reading.source.resamples or reading.source.rounds or reading.maps_tones
    ):
        return _part(reading.source, reading.selection)
    count = reading.source.count
    expected = None if count is None else len(reading.selection.indices(count))
    store = FrameStore(expected, place)
    moments: list[Moment] = []
    stored: Size | None = None
    advance = stage("reading", expected)
    for frame, moment in reading.frames():
        stored = stored or frame.shape[:2]
        store.add(reading.transform(frame))
        moments.append(moment)
        advance(1)
    assert stored is not None, "sources refuse to yield nothing"
    _note_colours(reading, stored)
    pixels = store.frames()
    info = reading.info(stored, moments, pixels.is_floating_point())
    return Video(pixels, info, store.on_disk, reading.sound(moments))


def _note_colours(reading: Reading, stored: Size) -> None:
    source, options = reading.source, reading.options
    if options.tone_map:
        text = f"colours of {source.colour} are converted to SDR" if reading.maps_tones else "is SDR already"
        logger.info("%s: %s", printable(source.name), text, extra={"once": True})
    elif source.colour.bits > HD.bits and options.full_depth is None and not isinstance(source, VideoSource):
        text = "colours of %d bits are rounded to 8; --full-depth (full_depth=True) keeps them in twice the memory"
        text = "HDR of %d bits is kept, in twice the memory of 8" if source.colour.is_hdr else text
        text = f"%s: {text}, --8-bit (full_depth=False) rounds it"
        logger.info(text, printable(source.name), source.colour.bits, extra={"once": True})
    is_own = source.attribution is None  # a sample is as it is, and nothing to look at
    if source.leaves_matrix_open and is_own and min(stored) > MAX_SD_SIDE:
        logger.info(
            "%s: does not say its colour matrix, and is read as BT.601, as FFmpeg does; --matrix bt709 "
            "(matrix='bt709') reads it as players of HD do, --matrix smpte170m as FFmpeg",
            printable(source.name),
            extra={"once": True},
        )


def _part(source: VideoSource, selection: Selection) -> Video:
    """Return frames of a video that are not changed, and shared with it."""
    moments, video = source.moments(selection), source.video
    info = Reading(source, selection, Transform()).info((video.info.height, video.info.width), moments)
    sound = Reading(source, selection, Transform()).sound(moments)
    seen = video.seen and video.seen.part(selection.indices(len(video)))
    return Video(video.frames[selection.start : selection.stop : selection.step], info, video.on_disk, sound, seen)


@dataclass(frozen=True)
class Reading:
    """Frames of a source, each of them to be transformed."""

    source: Source
    selection: Selection
    transform: Transform
    options: ReadOptions = DEFAULT

    @property
    def maps_tones(self) -> bool:
        """Return whether frames are converted to SDR; of a folder, as its first image is read."""
        return bool(self.options.tone_map) and self.source.colour.is_wide

    def frames(self) -> Iterator[tuple[np.ndarray, Moment]]:
        """Yield the selected frames, (H, W, 3) uint8 or float, before they are transformed, and their moments.

        Raises:
            VideoError: the source cannot be read, a frame cannot be transformed, or has another size afterwards.
        """
        first: Size | None = None
        for number, (frame, moment) in enumerate(self.source.frames(self.selection)):
            size = self.transform.size(*frame.shape[:2])
            if first is None:
                first = size
                self.transform.note(frame.shape[:2])
            if size != first:
                raise different_sizes(self.source, self.selection, number, first, size)
            if self.maps_tones:
                frame = to_sdr(torch.from_numpy(frame), self.source.colour).numpy()
                frame = frame if self.options.full_depth else to_bytes(frame)
            yield frame, moment

    def info(self, stored: Size, moments: Sequence[Moment], is_float: bool = False) -> VideoInfo:
        """Describe the frames.

        Args:
            stored: (height, width) of the first one, before it is transformed.
            moments: when each is shown.
            is_float: whether frames are floats, which have more than 8 bits whatever the source says.
        """
        source = self.source
        fps, timestamps = timing(moments, source.rate, self.selection.step, source.tick)
        aspect = self.transform.pixel_aspect(stored, source.pixel_aspect)
        size = self.transform.size(*stored)
        colour = HD if self.maps_tones else source.colour
        if is_float and colour.bits == HD.bits:
            colour = replace(colour, bits=16)
        span = self.span(moments)
        tags = source.tags and source.tags.within(span.zero, span.stop - span.zero)
        name, attribution = source.name, source.attribution
        return VideoInfo(len(moments), *size, fps, timestamps, name, attribution, aspect, colour, tags)

    def sound(self, moments: Sequence[Moment]) -> ReadSound | None:
        """Return what reads the sound of the frames, by when each is shown; `None` where there is none."""
        read = self.source.sound_reader()
        return None if read is None else partial(read, self.span(moments))

    def span(self, moments: Sequence[Moment]) -> Span:
        """Return the source's time that frames take: all of it but for what the selection leaves out."""
        rate, selection = self.source.rate or DEFAULT_FPS, self.selection
        zero, last = moments[0], moments[-1]
        zero = selection.start / rate if zero is None else zero
        last = zero + (len(moments) - 1) * selection.step / rate if last is None else last
        start = zero if selection.start else -math.inf
        return Span(zero, start, math.inf if selection.stop is None else last + selection.step / rate)


def prepare(
    source: Readable,
    frames: str | slice | None = None,
    resize: ResizeOption | None = None,
    crop: str | Size | None = None,
    options: ReadOptions = DEFAULT,
) -> Reading:
    """Check all that `open_video` takes, and find the source.

    Raises:
        VideoError: the source cannot be read, or an option does not fit it.
    """
    selection = Selection.of(frames)
    transform = Transform(None if crop is None else as_size(crop), None if resize is None else parse_resize(resize))
    return Reading(find_source(source, options), selection, transform, options)


def check_there(source: Readable) -> None:
    """Refuse a path at which nothing is, without looking at what is there; of an address, nothing is asked.

    Raises:
        VideoError: there is neither a file, nor a folder, nor a sample.
    """
    if not isinstance(source, str | Path) or is_address(path := without_file_scheme(source)):
        return
    if not str(path) or not usable_path(path, VideoError, expand=True).exists():
        sample(path)


def find_source(source: Readable, options: ReadOptions = DEFAULT) -> Source:
    """Return the source that a path, an address, a sample's name or frames in memory mean.

    Args:
        source: as `open_video` takes it.
        options: how to read it.

    Raises:
        VideoError: there is no such file, folder or sample, or it cannot be read.
    """
    if isinstance(source, Video | np.ndarray | torch.Tensor):
        options.refuse_choice("a video in memory", "stream", "yuv", "matrix")
        if isinstance(source, Video):
            return VideoSource(source, options.square_pixels, options.full_depth is False)
        return ArraySource(source, bool(options.full_depth))
    if not isinstance(source, str | Path):
        raise VideoError(
            f"a {type(source).__name__} is no video; expected a path, a sample name, a Video, an array or a tensor"
        )
    source = without_file_scheme(source)
    if is_address(source):
        return open_file(local_copy(str(source)), None, options)
    path = usable_path(source, VideoError, expand=True)
    if str(source) and path.is_dir():  # "" does not mean the current folder
        options.refuse_choice(str(path), "stream", "yuv", "matrix")
        return ImageFolder(path, options)
    if str(source) and path.exists():
        return open_file(path, None, options)
    bundled = sample(source)
    opened = open_file(bundled.path, str(source), options)
    opened.attribution = bundled.attribution
    return opened
