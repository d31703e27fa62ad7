"""Choice of a file's video stream."""

from __future__ import annotations

from pathlib import Path

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from enerv_zoo.errors import VideoError

_NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails
"""The cover of a song, and pictures to look for a place by."""
_PICTURES = ("avif", "avis", "mif1", "msf1", "heic", "heix", "heim", "heis", "hevc", "hevx")
"""Brands of AVIF and HEIF files, which hold stills, sequences, or both."""


def choose_stream(container: InputContainer, path: Path, number: int | None = None) -> VideoStream:
    """Return one of a file's video streams.

    Args:
        container: the opened file.
        path: of the file, for messages.
        number: of the stream among the file's video streams, from 0, as FFmpeg's `v:N` counts them. By default the one
            that is marked as default, as FFmpeg's tools choose; among several, one of more than a picture, then the
            largest, then the first.

    Raises:
        VideoError: there is no such stream, or only parts of a picture.
    """
    streams = list(container.streams.video)
    if number is not None:
        if number >= len(streams):
            raise VideoError(f"{path}: has no video stream {number}; it has {_listed(streams)}")
        return _decodable(streams[number : number + 1], path)[0]
    videos = [stream for stream in streams if not stream.disposition & _NO_VIDEO]
    if not videos:
        raise VideoError(f"{path}: the file has no video stream; give a video or an image")
    stream = max(_decodable(videos, path), key=_rank)
    tiles = sum(bool(stream.disposition & Disposition.dependent) for stream in videos)
    if tiles and stream.frames <= 1 and container.metadata.get("major_brand") in _PICTURES:
        raise VideoError(
            f"{path}: the picture is made of {tiles} tiles, which FFmpeg does not join here; save it as PNG or JPEG"
        )
    return stream


def _decodable(streams: list[VideoStream], path: Path) -> list[VideoStream]:
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise VideoError(f"{path}: its codec is unknown here, or it is damaged; convert it, such as to H.264 in mp4")
    return decodable


def is_picture(container: InputContainer, stream: VideoStream) -> bool:
    """Return whether a stream of an AVIF or HEIF file is a still."""
    return container.metadata.get("major_brand") in _PICTURES and stream.frames <= 1


def _rank(stream: VideoStream) -> tuple[bool, bool, int]:
    area = (stream.codec_context.width or 0) * (stream.codec_context.height or 0)
    return bool(stream.disposition & Disposition.default), stream.frames != 1, area


def _listed(streams: list[VideoStream]) -> str:
    texts = []
    for number, stream in enumerate(streams):
        context, codec = stream.codec_context, "of an unknown codec"
        if context is not None:
            codec = f"{context.width}x{context.height} {stream.codec.canonical_name}"
        mark = ", default" if stream.disposition & Disposition.default else ""
        texts.append(f"{number} ({codec}{mark})")
    return ", ".join(texts) or "none"
