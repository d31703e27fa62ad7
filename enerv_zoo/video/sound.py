"""Sound beside frames: the compressed stream of a file, copied without decoding it, cut to frames, and muxed back.

It is kept as an MP4 file of that one stream: its clock counts samples, so a copy has the samples of the source, and
browsers play it. Codecs that MP4 has no name for are kept as a QuickTime file, which readers of MP4 read.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.format import Flags
from av.packet import Packet

from enerv_zoo.errors import VideoError
from enerv_zoo.video.source import Span
from enerv_zoo.video.timing import is_another_clock

logger = logging.getLogger(__name__)

MEDIA_TYPE = "audio/mp4"
_COPIES = {"fflags": "+bitexact", "strict": "experimental"}
_ENCODERS = {"matroska": None, "webm": ("libopus", 48_000)}
"""Formats without edit lists; their encoders and rates where they take no AAC."""
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Layouts by numbers of channels, for files that only say how many, as FFmpeg's defaults are."""
_OPUS_LAYOUTS = {**_LAYOUTS, 3: "3.0", 4: "quad"}
"""Those that Opus has, by numbers of channels: it takes no others."""
_PLAYED_BY_BROWSERS = ("aac", "flac", "mp3", "opus")


WHOLE = Span()


class _Piece(NamedTuple):
    """A packet, and when it is heard: counted in samples, of `rate` per second."""

    packet: Packet
    begin: int
    length: int
    rate: int

    def write(self, output: OutputContainer, stream: Any) -> None:
        packet = self.packet
        packet.pts = packet.dts = self.begin
        packet.duration, packet.time_base, packet.stream = self.length, Fraction(1, self.rate), stream
        output.mux(packet)


def copy_sound(source: Path | bytes, span: Span = WHOLE) -> bytes | None:
    """Copy the sound of a file, or of a copy; of several streams, the default one.

    Args:
        source: a media file, or the bytes of a copy.
        span: what to copy.

    Returns:
        The bytes of a copy, or `None` where there is no sound in the span, or none that is copied, which is logged.

    Raises:
        VideoError: the sound is damaged.
    """
    with _opened(source) as (container, stream):
        pieces = iter(()) if stream is None else _cut(_pieces(container, stream), span)
        first = next(pieces, None)
        if stream is None or first is None:
            return None
        kind = next((kind for kind in ("mp4", "mov") if _takes(kind, stream)), None)
        if kind is None:
            logger.warning("the sound is left out: %s is not copied; convert it first, as to AAC", stream.codec.name)
            return None
        target = io.BytesIO()
        try:
            with av.open(target, "w", format=kind, options=_COPIES) as output:
                own = _copied(output, stream)
                for piece in chain([first], pieces):
                    piece.write(output, own)
        except FFmpegError as error:
            raise VideoError(f"the sound cannot be copied: {error}") from error
        return target.getvalue()


def for_browsers(data: bytes) -> bytes:
    """Return a copied sound as browsers play it: as it is, or re-encoded, which is logged.

    Raises:
        VideoError: the sound is damaged.
    """
    with _opened(data) as (_, stream):
        if stream is not None and stream.codec.canonical_name in _PLAYED_BY_BROWSERS:
            return data
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as output, sound_track(data, output, _PLAYED_BY_BROWSERS) as write_until:
        write_until(math.inf)
    return target.getvalue()


@contextmanager
def sound_track(
    data: bytes | None, output: OutputContainer, codecs: Container[str] | None = None
) -> Iterator[Callable[[float], None]]:
    """Add a sound to a file: copied, or re-encoded where the format lacks its codec, which is logged.

    Args:
        data: a copied sound; `None` adds nothing.
        output: the file, which has its other streams and no packet yet.
        codecs: those that may be copied, by FFmpeg's names; by default all that the format takes.

    Yields:
        What writes the packets that begin before a time in seconds.

    Raises:
        VideoError: the sound is damaged.
    """
    if data is None:
        yield lambda seconds: None
        return
    with _opened(data) as (container, stream):
        if stream is None:
            raise VideoError("the sound is damaged: the file holds none")
        kind, codec = output.format.name, stream.codec.canonical_name
        if (codecs is None or codec in codecs) and _takes(kind, stream):
            own: Any = _copied(output, stream)
            pieces = _pieces(container, stream)
            pieces = _from_zero(pieces, stream) if kind in _ENCODERS else pieces
        else:
            encoder, rate = _ENCODERS.get(kind) or ("aac", _nearest_rate("aac", stream.rate))
            takes = f"a {kind} file takes" if codecs is None else "browsers take"
            logger.info("the sound is re-encoded, as %s no %s", takes, codec)
            layout = _OPUS_LAYOUTS.get(stream.channels) if encoder == "libopus" else _layout(stream)
            own = output.add_stream(encoder, rate=rate, layout=layout or stream.layout.name)
            pieces = _encoded(container, stream, own, rate)
        waiting: list[_Piece] = []

        def write_until(seconds: float) -> None:
            while (piece := waiting.pop() if waiting else next(pieces, None)) is not None:
                if piece.begin >= seconds * piece.rate:
                    waiting.append(piece)
                    return
                piece.write(output, own)

        yield write_until


@contextmanager
def _opened(source: Path | bytes) -> Iterator[tuple[InputContainer, AudioStream | None]]:
    """Open a file. Of bytes, nothing but MP4 is read: other formats may name further files to open."""
    try:
        if isinstance(source, bytes):
            container: Any = av.open(io.BytesIO(source), format="mov", metadata_errors="replace")
        else:
            container = av.open(f"file:{source}", metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise VideoError(f"the sound is damaged: {error}") from error
    with container:
        stream = container.streams.best("audio")
        if stream is not None and stream.codec_context is None:
            logger.warning("a sound is left out: FFmpeg does not know its codec; convert it first, as to AAC")
            stream = next((each for each in container.streams.audio if each.codec_context is not None), None)
        yield container, stream if stream and stream.rate else None


def _nearest_rate(encoder: str, rate: int) -> int:
    """Return the rate that an encoder has nearest to one."""
    return min(av.Codec(encoder, "w").audio_rates or [rate], key=lambda each: abs(each - rate))


def _takes(kind: str, stream: AudioStream) -> bool:
    """Return whether a format takes the codec of a sound."""
    try:
        with av.open(io.BytesIO(), "w", format=kind, options=_COPIES) as output:
            _copied(output, stream)
            output.start_encoding()
    except (FFmpegError, ValueError):
        return False
    return True


def _layout(stream: AudioStream) -> str:
    """Return the layout of a sound's channels; the usual one where its file only says how many there are."""
    named = stream.layout.name
    return _LAYOUTS.get(stream.channels, named) if named.endswith("channels") else named


def _copied(output: OutputContainer, stream: AudioStream) -> Any:
    """Add a copy of a sound's stream to a file; MP4 has to know what each channel is."""
    own: Any = output.add_stream_from_template(stream)
    if own.layout.name != (layout := _layout(stream)):
        own.layout = layout
    return own


def _pieces(container: InputContainer, stream: AudioStream) -> Iterator[_Piece]:
    """Yield packets whose times count samples, also where the file rounds them to milliseconds."""
    rate, size, expected = stream.rate, stream.codec_context.frame_size, -math.inf
    may_jump = bool(container.format.flags & Flags.ts_discont.value)  # type: ignore[operator]
    offset = 0.0  # of a recording that follows another one in the file, with a clock of its own
    try:
        for packet in container.demux(stream):
            if packet.pts is None or packet.time_base is None or not packet.size:
                continue
            tick = packet.time_base * rate
            place = float(packet.pts * tick) + offset
            if may_jump and math.isfinite(expected) and is_another_clock((place - expected) / rate):
                offset += expected - place
                place = expected
            begin = round(expected if abs(place - expected) <= 2 * tick else place)
            length = size if size and tick > 1 else round((packet.duration or 0) * tick)
            if begin + length > expected:  # others are repeated
                expected = begin + length
                yield _Piece(packet, begin, length, rate)
    except FFmpegError as error:
        raise VideoError(f"the sound is damaged: {error}") from error


def _cut(pieces: Iterator[_Piece], span: Span) -> Iterator[_Piece]:
    """Yield the packets of a span, on its clock; the last one ends with it."""
    before: _Piece | None = None
    for piece in pieces:
        zero, start, stop = (bound * piece.rate for bound in (span.zero, span.start, span.stop))
        if piece.begin >= stop:
            return
        length = piece.length if stop == math.inf else min(piece.length, max(round(stop) - piece.begin, 1))
        own = piece._replace(begin=piece.begin - round(zero), length=length)
        if piece.begin + piece.length <= start:
            before = own
            continue
        if before is not None:
            yield before
            before = None
        yield own


def _from_zero(pieces: Iterator[_Piece], stream: AudioStream) -> Iterator[_Piece]:
    """Yield packets for a format that skips nothing before second 0, but for what its codec says itself (Opus)."""
    head = stream.codec_context.extradata or b""
    first = -int.from_bytes(head[10:12], "little") if stream.codec.canonical_name == "opus" else 0
    for piece in pieces:
        if piece.begin + piece.length > first:
            yield piece._replace(begin=max(piece.begin, first))


def _encoded(container: InputContainer, stream: AudioStream, own: Any, rate: int) -> Iterator[_Piece]:
    try:
        for frame in chain(_decoded(container, stream), [None]):
            for packet in own.encode(frame):
                yield _Piece(packet, round(packet.pts * packet.time_base * rate), packet.duration, rate)
    except FFmpegError as error:
        raise VideoError(f"the sound cannot be encoded: {error}") from error


def _decoded(container: InputContainer, stream: AudioStream) -> Iterator[Any]:
    """Yield the frames of a sound; what is damaged is left out, as players do, which is logged."""
    damaged = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except FFmpegError:
            damaged += 1
            continue
        yield from frames
    if damaged:
        logger.warning("the sound is damaged: packets of it are left out (%d)", damaged)
