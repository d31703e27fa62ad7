"""Frames to bytes: movies, GIFs and PNGs. Callers choose the path and replace the target."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.codec import CodecContext
from av.error import FFmpegError
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from enerv_zoo.config import HD, MATRICES, PRIMARIES, SQUARE, TRANSFERS, Colour, Tags, size_text
from enerv_zoo.errors import VideoError
from enerv_zoo.machine import scheduling_kept
from enerv_zoo.video.colours import FULL_RANGE, LIMITED_RANGE, pixel_format, to_bytes, to_yuv
from enerv_zoo.video.sound import sound_track
from enerv_zoo.video.tags import write_tags

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Movie:
    """A movie format: container, encoder, range and default of the encoder's constant rate factor."""

    container: str
    encoder: str
    quality: int
    worst: int
    tick: Fraction
    """Unit of timestamps, in seconds, for a variable frame rate."""
    encoder_options: dict[str, str]
    container_options: dict[str, str]
    tag: str | None = None
    """Of the codec in the container, where players know only one of several."""
    pixels: str | None = None
    """FFmpeg's name of the pixel format; by default 4:2:0 of 8 or 10 bits, as the colour has it."""


_VP9 = {"deadline": "good", "cpu-used": "4", "row-mt": "1"}
MOVIES = {
    ".mp4": Movie("mp4", "libx264", 14, 51, Fraction(1, 90_000), {}, {"movflags": "+faststart"}),
    ".mov": Movie("mov", "libx264", 14, 51, Fraction(1, 90_000), {}, {"movflags": "+faststart"}),
    ".mkv": Movie("matroska", "libx264", 14, 51, Fraction(1, 1000), {}, {}),
    ".webm": Movie("webm", "libvpx-vp9", 18, 63, Fraction(1, 1000), _VP9, {}),
}
_X265 = {"x265-params": "log-level=error"}
DEEP_MOVIES = {
    ".mp4": Movie("mp4", "libx265", 14, 51, Fraction(1, 90_000), _X265, {"movflags": "+faststart"}, "hvc1"),
    ".mov": Movie("mov", "libx265", 14, 51, Fraction(1, 90_000), _X265, {"movflags": "+faststart"}, "hvc1"),
    ".mkv": Movie("matroska", "libx265", 14, 51, Fraction(1, 1000), _X265, {}),
    ".webm": Movie("webm", "libsvtav1", 18, 63, Fraction(1, 1000), {"preset": "8"}, {}),
}
"""Movies of 10 bits, which libvpx often cannot write. SVT-AV1 prints its settings unless the environment says
`SVT_LOG=1`, as the command line's does."""
GIF_TICK = Fraction(1, 100)


@dataclass(frozen=True)
class Clock:
    """Times at which frames are shown: at a constant rate, or at given seconds."""

    rate: Fraction
    seconds: tuple[float, ...] | None = None

    def pts(self, index: int, tick: Fraction) -> int:
        """The moment of frame `index`, in ticks from the first."""
        if self.seconds is None:
            return round(index / self.rate / tick)
        if index >= len(self.seconds):
            raise VideoError(f"{len(self.seconds)} timestamps for more frames than that; give one for each frame")
        return round((self.seconds[index] - self.seconds[0]) / float(tick))

    def check_end(self, frames: int) -> None:
        """Refuse timestamps that are left over after `frames` frames."""
        if self.seconds is not None and len(self.seconds) != frames:
            raise VideoError(f"{len(self.seconds)} timestamps for {frames} frames; give one for each frame")


def encode_movie(
    path: Path,
    movie: Movie,
    images: Iterable[np.ndarray],
    clock: Clock,
    quality: float | None,
    pixel_aspect: Fraction = SQUARE,
    colour: Colour = HD,
    sound: bytes | None = None,
    tags: Tags | None = None,
) -> None:
    """Write images (H, W, 3), uint8 or float in [0, 1], as the movie's pixels, with the tags of their colour.

    A copied sound is written beside them.

    Raises:
        VideoError: the encoder has no such option, or the sound is damaged.
        OSError: it refuses the frames or the value of an option, or the file cannot be written.
    """
    tick = 1 / clock.rate if clock.seconds is None else movie.tick
    options = movie.container_options
    if movie.container in ("mp4", "mov") and clock.rate > 1000:  # else frames beyond a whole ms count as left out
        options = {**options, "movie_timescale": "100000"}
    with _opened(path, movie.container, options) as container, ExitStack() as stack:
        stream: VideoStream | None = None
        if tags is not None:
            write_tags(container, tags)
        timed = _timed(images, clock, tick)
        first = list(itertools.islice(timed, 3))
        for image, pts in itertools.chain(first, timed):
            if stream is None:
                crf = movie.quality if quality is None else quality
                options = {"crf": f"{crf:g}", **movie.encoder_options}
                options |= _without_faults(movie.encoder, options, image.shape[1], len(first))
                stream = container.add_stream(movie.encoder, rate=clock.rate, options=options)
                _describe(stream, image.shape[0], image.shape[1], pixel_aspect, tick, colour)
                stream.pix_fmt = movie.pixels or pixel_format(colour)
                if movie.tag is not None:
                    stream.codec_context.codec_tag = movie.tag
                write_sound = stack.enter_context(sound_track(sound, container))
            frame = to_yuv(_even(image), colour, movie.pixels)
            frame.pts, frame.time_base = pts, tick
            with nullcontext() if stream.codec_context.is_open else scheduling_kept():
                packets = stream.encode(frame)
            for packet in packets:
                write_sound(float((packet.dts or 0) * (packet.time_base or 0)))
                container.mux(packet)
        assert stream is not None, "callers refuse to write nothing"
        container.mux(stream.encode(None))
        write_sound(math.inf)
        if unused := sorted(options.keys() & stream.codec_context.options.keys()):  # FFmpeg takes out what it knows
            raise VideoError(f"{movie.encoder} has no option {unused[0]!r}; see its documentation for those it has")


def _without_faults(encoder: str, options: Mapping[str, str], width: int, frames: int) -> dict[str, str]:
    """Return the options of an encoder that keep it from its faults in movies of some widths, or of few frames.

    - x265: `cutree` writes beyond its memory in narrow ones; B frames of two have no times.
    - x264: with AVX-512, its macroblock tree reads beyond its memory where 8 macroblocks do not divide a row. It then
      writes another file of the same frames each time.
    """
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    faults = {
        "libx265": {"cutree=0": width < 64, "bframes=0": frames < 3},
        "libx264": {"asm=AVX2": has_avx512 and math.ceil(width / 16) % 8 > 0},
    }
    name = f"{encoder.removeprefix('lib')}-params"
    texts = [options.get(name), *(text for text, is_so in faults.get(encoder, {}).items() if is_so)]
    return {name: ":".join(filter(None, texts))} if any(texts) else {}


def _describe(
    stream: VideoStream, height: int, width: int, pixel_aspect: Fraction, tick: Fraction, colour: Colour
) -> None:
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.bit_rate = 0  # VP9 holds to the constant rate factor only without one
    codec = stream.codec_context
    codec.colorspace, codec.color_primaries = MATRICES[colour.matrix], PRIMARIES[colour.primaries]
    codec.color_trc = TRANSFERS[colour.transfer]
    codec.color_range = FULL_RANGE if colour.full_range else LIMITED_RANGE
    if pixel_aspect != SQUARE:  # or else square pixels are stated, and files would differ from older ones
        codec.sample_aspect_ratio = pixel_aspect
    stream.time_base = codec.time_base = tick
    if (stream.height, stream.width) != (height, width):
        _log.warning(
            "%s is written as %s (WIDTHxHEIGHT): sizes must be even, so the last row or column repeats",
            *(size_text(height, width), size_text(stream.height, stream.width)),
        )


def _even(image: np.ndarray) -> np.ndarray:
    """Repeat the last row or column of an image whose sides are not even."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else image


def encode_gif(path: Path, images: Iterable[np.ndarray], clock: Clock) -> None:
    """Write images (H, W, 3), uint8 or float in [0, 1], as a GIF that loops for ever, with one palette for all frames.

    All frames are held in memory: the palette is known only after the last.
    """
    with _opened(path, "gif", {"loop": "0"}) as container:
        graph: Graph | None = None
        for image, pts in _timed(images, clock, GIF_TICK):
            if graph is None:
                graph = _palette_graph(*image.shape[:2])
                stream = container.add_stream("gif", rate=clock.rate)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "pal8"
                stream.time_base = stream.codec_context.time_base = GIF_TICK
            frame = VideoFrame.from_ndarray(to_bytes(image), format="rgb24")
            frame.pts, frame.time_base = pts, GIF_TICK
            graph.vpush(frame)
        assert graph is not None, "callers refuse to write nothing"
        graph.vpush(None)
        for frame in _pulled(graph):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def encode_png(image: np.ndarray) -> bytes:
    """An image (H, W, 3) as a PNG file: uint8 of 8 bits, float in [0, 1] of 16."""
    form = "rgb24" if image.dtype == np.uint8 else "rgb48be"
    if form == "rgb48be":
        image = (image.astype(np.float32) * 65535).round().astype(np.uint16)
    codec = CodecContext.create("png", "w")
    codec.height, codec.width = image.shape[:2]
    codec.pix_fmt, codec.time_base = form, Fraction(1, 25)
    frame = VideoFrame.from_ndarray(image, format=form)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


@contextmanager
def _opened(path: Path, container: str, options: dict[str, str]) -> Iterator[Any]:
    try:
        with av.open(f"file:{path}", "w", format=container, options=options) as opened:
            yield opened
    except FFmpegError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error  # as any file's writer says it


def _timed(images: Iterable[np.ndarray], clock: Clock, tick: Fraction) -> Iterator[tuple[np.ndarray, int]]:
    last: int | None = None
    count = 0
    for count, image in enumerate(images, start=1):
        pts = clock.pts(count - 1, tick)
        if last is not None and pts <= last:
            raise VideoError(
                f"frame {count - 1} is not shown after frame {count - 2}: moments must increase by at least "
                f"{float(tick):g} s in this format; check the timestamps, or lower the rate"
            )
        last = pts
        yield image, pts
    clock.check_end(count)


def _palette_graph(height: int, width: int) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=VideoFormat("rgb24"), time_base=GIF_TICK)
    add: Callable[..., Any] = graph.add
    split, palette, use = add("split"), add("palettegen", "reserve_transparent=0"), add("paletteuse")
    sink = add("buffersink")
    for start, end, out, into in (
        (source, split, 0, 0), (split, use, 0, 0), (split, palette, 1, 0), (palette, use, 0, 1), (use, sink, 0, 0)
    ):  # fmt: skip
        start.link_to(end, out, into)
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
