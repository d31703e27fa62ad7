"""Real files, made by PyAV in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from enerv_zoo.video import Video, open_video

Encode = Callable[..., Path]


def moving(count: int, height: int = 64, width: int = 96) -> np.ndarray:
    """(N, H, W, 3): a smooth, moving picture in which no two frames and no two corners are alike."""
    n, y, x = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), indexing="ij")
    red = 40 + 160 * x / width + 3 * (n % 15)
    green = 30 + 180 * y / height
    blue = 128 + 90 * np.sin((x + y + 4 * n) / 9)
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def pixels(path: Path, **options: object) -> np.ndarray:
    """(N, H, W, 3): the frames of a file, as `open_video` reads them."""
    return open_video(path, **options).frames.permute(0, 2, 3, 1).numpy()  # type: ignore[arg-type]


def turned(path: Path) -> Path:
    """The same file, shown a quarter turn clockwise."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    values = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    data[place : place + 36] = np.array(values, ">i4").tobytes()
    other = path.with_stem(path.stem + "-turned")
    other.write_bytes(data)
    return other


@pytest.fixture(scope="session")
def bunny() -> Video:
    return open_video("bunny")


@pytest.fixture
def encode(tmp_path: Path) -> Encode:
    """Write images (N, H, W, 3) to a file with an encoder of one's choosing."""

    def write(
        name: str,
        images: np.ndarray,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        rate: Fraction | int = 25,
        pts: Sequence[int] | None = None,
        tick: Fraction | None = None,
        aspect: Fraction | None = None,
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=container_options or {}) as container:
            stream: Any = container.add_stream(codec, rate=rate, options=options or {})
            stream.height, stream.width = images.shape[1:3]
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = tick or 1 / Fraction(rate)
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format=pix_fmt)
                frame.pts = index if pts is None else pts[index]
                frame.time_base = tick or 1 / Fraction(rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def still(tmp_path: Path) -> Encode:
    """Write one image (H, W, 3) to a file with an encoder and a pixel format of one's choosing."""

    def write(name: str, image: np.ndarray | av.VideoFrame, codec: str = "png", pix_fmt: str = "rgb24") -> Path:
        frame = image if isinstance(image, av.VideoFrame) else av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = frame if frame.format.name == pix_fmt else frame.reformat(format=pix_fmt)
        context: Any = av.CodecContext.create(codec, "w")
        context.height, context.width, context.pix_fmt = frame.height, frame.width, pix_fmt
        context.time_base = Fraction(1, 25)
        frame.pts = 0
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))
        return path

    return write


@pytest.fixture
def cut() -> Callable[[Path, float], Path]:
    """Keep the first part of a file."""

    def truncate(path: Path, part: float) -> Path:
        data = path.read_bytes()
        short = path.with_name("cut_" + path.name)
        short.write_bytes(data[: int(len(data) * part)])
        return short

    return truncate
