"""Codecs that are programs of their own, such as VTM, HM or one's own codec, as anchors."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from torch import Tensor

from enerv_zoo.config import DEFAULT_FPS, MATRICES, Colour, VideoInfo
from enerv_zoo.errors import ConfigError, VideoError
from enerv_zoo.evaluation.ffmpeg import check_format, odd_sides, stored_colour
from enerv_zoo.files import usable_path
from enerv_zoo.registry import anchors
from enerv_zoo.video import Video
from enerv_zoo.video.colours import FULL_RANGE, LIMITED_RANGE, to_float, to_yuv
from enerv_zoo.video.raw import RawFormat

Command = str | Sequence[str]
"""A command as a shell has it, or its words."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_OF_FRAMES = ("input", "output", "width", "height", "fps", "frames", "format", "folder")
_LOG_LINES = 3
"""Of a program that fails, so many of its last lines are shown."""


class Bitstream(bytes):
    """Encoded frames, with their description, which the reader of raw frames needs.

    Attributes:
        info: of the frames.
        colour: of the raw video.
    """

    info: VideoInfo
    colour: Colour


@anchors.register("command")
class CommandAnchor:
    """A codec that is two programs: one writes a bitstream, whose bytes count, and one the decoded frames.

    Frames go in and out as raw video, one after the other, without a head. Programs run without a shell in a new empty
    folder, and see nothing but their words: `{input}` and `{output}` are files, `{qp}` is a step of the ladder (of the
    encoder alone), `{width}`, `{height}`, `{fps}`, `{frames}` and `{format}` describe the raw video, and `{folder}` is
    the folder of the YAML file.

    Args:
        encode: command that reads raw video from `{input}` and writes a bitstream to `{output}`.
        decode: command that reads that from `{input}` and writes raw video to `{output}`.
        ladder: values of `{qp}`, from good to small.
        format: FFmpeg's name of the pixels of raw video. Y'CbCr is BT.709 in limited range, unless the frames have more
            than 8 bits and another colour.
        timeout: seconds after which a program is ended.
        unit: name of a step of the ladder.
        folder: value of `{folder}`.

    Raises:
        ConfigError: a command lacks a placeholder that it needs, or has an unknown one.
    """

    def __init__(
        self,
        *,
        encode: Command,
        decode: Command,
        ladder: Sequence[float],
        format: str = "yuv420p",
        timeout: float = 3600,
        unit: str = "qp",
        folder: str = ".",
    ) -> None:
        check_format(format)
        if not ladder or not timeout > 0:
            raise ConfigError("ladder has values of {qp}, such as [22, 27, 32, 37], and timeout is above 0 seconds")
        self.commands = {
            "encode": _words("encode", encode, (*_OF_FRAMES, "qp"), ("input", "output", "qp")),
            "decode": _words("decode", decode, _OF_FRAMES, ("input", "output")),
        }
        self.ladder, self.unit, self.format, self.timeout = tuple(ladder), unit, format, timeout
        self.folder = str(usable_path(folder).resolve())

    @property
    def settings(self) -> dict[str, str]:
        """The commands without folders of this machine, and eight digits of the hash of the whole ones."""
        whole = json.dumps([self.commands, self.folder])
        commands = {name: shlex.join(map(_name_alone, words)) for name, words in self.commands.items()}
        return {**commands, "format": self.format, "id": hashlib.sha256(whole.encode()).hexdigest()[:8]}

    @property
    def programs(self) -> str:
        """A hash of what the files among the commands' words hold: a program that was built anew is another codec."""
        words = {word.replace("{folder}", self.folder) for words in self.commands.values() for word in words}
        contents = []
        for word in sorted(words):
            with suppress(OSError):  # it cannot be read
                if (path := Path(shutil.which(word) or word)).is_file():  # and no device, such as /dev/null
                    contents.append(hashlib.sha256(path.read_bytes()).hexdigest())
        return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]

    def missing(self) -> str | None:
        for words in self.commands.values():
            program = words[0].replace("{folder}", self.folder)
            if shutil.which(program) is None:
                return f"there is no program {program}; install it, or name it with its path ({{folder}}/{program})"
        return None

    def unsupported(self, info: VideoInfo) -> str | None:
        return odd_sides(info)

    def encode(self, frames: Video, quality: float) -> bytes:
        colour = stored_colour(frames)
        with tempfile.TemporaryDirectory() as name:
            source, target = Path(name) / "frames.yuv", Path(name) / "stream.bin"
            with source.open("wb") as file:
                for frame in frames.frames:
                    file.write(_packed(to_yuv(frame.permute(1, 2, 0).numpy(), colour, self.format)))
            self._run("encode", source, target, frames.info, qp=f"{quality:.12g}")
            stream = Bitstream(target.read_bytes())
        stream.info, stream.colour = frames.info, colour
        return stream

    def decode(self, data: bytes) -> Iterator[Tensor]:
        if not isinstance(data, Bitstream):
            raise VideoError("the size of these frames is not known; give what encode returned")
        raw = RawFormat(data.info.width, data.info.height, self.format)
        with tempfile.TemporaryDirectory() as name:
            source, target = Path(name) / "stream.bin", Path(name) / "frames.yuv"
            source.write_bytes(data)
            self._run("decode", source, target, data.info)
            size, expected = target.stat().st_size, data.info.frames * raw.frame_bytes
            if size != expected:
                raise VideoError(
                    f"{self.commands['decode'][0]} wrote {size:,} bytes, expected {expected:,}: {data.info.frames} "
                    f"frames of {data.info.size_text} as {self.format}, one after the other"
                )
            reader = _raw_codec("r", raw)
            with target.open("rb") as file:
                for _ in range(data.info.frames):
                    (frame,) = reader.decode(av.Packet(file.read(raw.frame_bytes)))
                    yield torch.from_numpy(_as_rgb(frame, data.colour)).permute(2, 0, 1)

    def stream_bytes(self, data: bytes) -> int:
        return len(data)

    def _run(self, name: str, source: Path, target: Path, info: VideoInfo, **values: str) -> None:
        """Run a command until it has written `target`.

        Raises:
            VideoError: it cannot be started, fails, takes too long or writes nothing.
        """
        values |= {
            "input": str(source), "output": str(target), "width": str(info.width), "height": str(info.height),
            "fps": f"{info.fps or DEFAULT_FPS:g}", "frames": str(info.frames), "format": self.format,
            "folder": self.folder,
        }  # fmt: skip
        words = [_PLACEHOLDER.sub(lambda match: values[match[1]], word) for word in self.commands[name]]
        log = source.with_name("log")
        with log.open("wb") as output:
            status = _status(words, output.fileno(), source.parent, self.timeout)
        if status == 0 and target.is_file():
            return
        lines = " / ".join(log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:])
        reason = "took longer than its timeout" if status is None else f"ended with {status}"
        if status == 0:
            reason = "wrote no {output}"
        raise VideoError(f"{name} {reason}: {shlex.join(words)}{f' ({lines[-300:]})' if lines else ''}")


def _name_alone(word: str) -> str:
    return Path(word).name if Path(word).is_absolute() else word


def _words(name: str, command: Command, allowed: Sequence[str], needed: Sequence[str]) -> list[str]:
    """Return the words of a command.

    Raises:
        ConfigError: it lacks a placeholder that it needs, or has an unknown one.
    """
    try:
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    except ValueError as error:
        raise ConfigError(f"{name} is no command ({error}): {command!r:.100}") from None
    used = set(_PLACEHOLDER.findall(" ".join(words)))
    for placeholder in used - set(allowed):
        raise ConfigError(f"{name} has {{{placeholder}}}, expected {', '.join(f'{{{each}}}' for each in allowed)}")
    for placeholder in needed:
        if placeholder not in used:
            raise ConfigError(f"{name} needs {{{placeholder}}} among its words, got {command!r:.100}")
    return words


def _status(words: Sequence[str], log: int, folder: Path, timeout: float) -> int | None:
    """Run a program and all that it starts; return its exit status, or `None` where it took too long.

    Raises:
        VideoError: it cannot be started.
    """
    try:
        process = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        raise VideoError(f"{words[0]} cannot be started ({error.strerror})") from error
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.wait()


def _raw_codec(mode: Literal["r", "w"], raw: RawFormat) -> VideoCodecContext:
    codec: VideoCodecContext = CodecContext.create("rawvideo", mode)
    codec.width, codec.height, codec.pix_fmt = raw.width, raw.height, raw.pix_fmt
    return codec


def _packed(frame: VideoFrame) -> bytes:
    """Return a frame as raw video has it."""
    codec = _raw_codec("w", RawFormat(frame.width, frame.height, frame.format.name))
    codec.time_base, frame.pts = Fraction(1, 25), 0
    return b"".join(map(bytes, [*codec.encode(frame), *codec.encode(None)]))


def _as_rgb(frame: VideoFrame, colour: Colour) -> np.ndarray:
    if not frame.format.is_rgb:
        frame.colorspace = MATRICES[colour.matrix]
        frame.color_range = FULL_RANGE if colour.full_range else LIMITED_RANGE
    return to_float(frame)
