"""Clips with sound for tests, and what is heard of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from enerv_zoo.config import Tags
from enerv_zoo.video.tags import write_tags

RATE = 48_000


def write_clip(path: Path, encoder: str = "aac", tags: Tags | None = None, frames: int = 12, fps: int = 10) -> Path:
    """Write a small clip with a rising tone of the same length.

    Args:
        path: of the file, whose suffix says the format.
        encoder: of the sound.
        tags: of the file.
        frames: how many, of 32x48 pixels, portrait.
        fps: frames per second.
    """
    with av.open(str(path), "w") as container:
        if tags is not None:
            write_tags(container, tags)
        picture: Any = container.add_stream("mpeg4", rate=fps)
        picture.width, picture.height, picture.pix_fmt = 32, 48, "yuv420p"
        sound: Any = container.add_stream(encoder, rate=RATE, layout="mono")
        sound.bit_rate = 64_000
        for number in range(frames):
            image = np.full((48, 32, 3), 20 * number % 250, np.uint8)
            image[number % 48] = 255
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(picture.encode(None))
        seconds = np.arange(RATE * frames // fps) / RATE
        tone = 0.5 * np.sin(2 * np.pi * (300 + 200 * seconds) * seconds)
        frame = av.AudioFrame.from_ndarray((32767 * tone).astype(np.int16)[None], format="s16", layout="mono")
        frame.rate = RATE
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def heard(path: Path) -> tuple[str, np.ndarray]:
    """Return the codec of a file's sound, and its samples from the first frame on, mono, in [-1, 1]."""
    container: Any
    with av.open(str(path)) as container:
        pictures = (
            [frame.pts * frame.time_base for frame in container.decode(video=0)] if container.streams.video else []
        )
        container.seek(0)
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", RATE)
        decoded = [each for frame in container.decode(stream) for each in resampler.resample(frame)]
        start = decoded[0].pts * decoded[0].time_base - min(pictures, default=0)
        samples = np.concatenate([frame.to_ndarray()[0] for frame in decoded])
        shift = round(float(start) * RATE)
        samples = samples[-shift:] if shift < 0 else np.concatenate([np.zeros(shift, np.float32), samples])
        return stream.codec.canonical_name, samples
