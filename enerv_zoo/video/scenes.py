"""One pass over a video before it is fitted in segments: its length, the times of its frames, its changes of scene.

Scenes are found by PySceneDetect's adaptive detector, which gets the frames that a fit gets, numbered as a fit numbers
them. No frame is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.video.colours import to_bytes
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.reading import Readable, prepare
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sizes import ResizeOption, Size
from enerv_zoo.video.source import Moment, ReadOptions, ReadSound, Source

LONGER_SIDE = 256
"""Pixels of the longer side of frames in which scenes are looked for."""


@dataclass(frozen=True)
class Survey:
    """Result of one pass.

    Attributes:
        info: of the selected frames, cropped and resized.
        cuts: numbers of the frames with which a new scene begins, ascending; empty where they were not looked for.
        read_sound: reads the sound of the selected frames; `None` where there is none.
    """

    info: VideoInfo
    cuts: tuple[int, ...]
    read_sound: ReadSound | None


def survey(
    source: Readable,
    *,
    frames: str | slice | None = None,
    resize: ResizeOption | None = None,
    crop: str | Size | None = None,
    scenes: bool = True,
    **options: Any,
) -> Survey:
    """Look over a video once, keeping no frame.

    Args:
        source, frames, resize, crop: as `enerv_zoo.open_video` takes them.
        scenes: look for changes of scene, which decodes every frame; else a file's packets say what is needed.
        options: fields of `ReadOptions`.

    Raises:
        VideoError: the source cannot be read, or PySceneDetect is not installed and scenes are wanted.
    """
    detector = SceneDetector() if scenes else None
    reading = prepare(source, frames, resize, crop, ReadOptions(**options))
    moments = None if scenes else _from_packets(reading.source, reading.selection)
    if moments is not None:
        start = reading.selection.start
        first = next(replace(reading, selection=Selection(start, start + 1)).frames())[0]
        info = reading.info(first.shape[:2], moments, first.dtype.kind == "f")
        return Survey(info, (), reading.sound(moments))
    moments, stored, is_float = [], None, False
    for frame, moment in reading.frames():
        if stored is None:
            stored, is_float = frame.shape[:2], frame.dtype.kind == "f"
        moments.append(moment)
        if detector is not None:
            detector.add(to_bytes(frame))
    assert stored is not None, "sources refuse to yield nothing"
    cuts = () if detector is None else tuple(detector.cuts)
    return Survey(reading.info(stored, moments, is_float), cuts, reading.sound(moments))


def _from_packets(source: Source, selection: Selection) -> list[Moment] | None:
    if not isinstance(source, VideoFile) or (index := source.index()) is None:
        return None
    selection.check(len(index), source.name)
    moments = map(source.steady_clock(), (index.moments * source.tick).tolist())
    return list(moments)[selection.start : selection.stop : selection.step]


class SceneDetector:
    """Finds changes of scene in frames that come one at a time.

    Attributes:
        cuts: numbers of the frames with which a new scene begins, as far as frames have come.

    Raises:
        VideoError: PySceneDetect is not installed.
    """

    def __init__(self) -> None:
        try:
            import cv2
            from scenedetect import AdaptiveDetector, FrameTimecode
        except ImportError as error:
            raise VideoError(
                "scenes are found by PySceneDetect, which is not installed; pip install 'enerv-zoo[scenes]', "
                "or cut by length, such as fit --segments 10s"
            ) from error
        self._cv2, self._timecode = cv2, FrameTimecode
        self._detector = AdaptiveDetector(min_scene_len=1)
        self._count = 0
        self.cuts: list[int] = []

    def add(self, frame: np.ndarray) -> None:
        """Look at the next frame, (H, W, 3) uint8 RGB."""
        height, width = frame.shape[:2]
        scale = LONGER_SIDE / max(height, width)
        if scale < 1:
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            frame = self._cv2.resize(frame, size, interpolation=self._cv2.INTER_AREA)
        blue_first = np.ascontiguousarray(frame[..., ::-1])
        # The rate only turns numbers into times and back.
        cuts = self._detector.process_frame(self._timecode(self._count, fps=25.0), blue_first)
        self.cuts += [timecode.frame_num for timecode in cuts]
        self._count += 1
