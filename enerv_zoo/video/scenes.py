"""One pass over a video before it is fitted in segments: its length, the times of its frames, its changes of scene.

Scenes are found by PySceneDetect's adaptive detector, which gets the frames that a fit gets, numbered as a fit numbers
them. No frame is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import VideoError
from enerv_zoo.video.files import VideoFile
from enerv_zoo.video.folders import different_sizes
from enerv_zoo.video.reading import find_source, open_video
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.sizes import ResizeOption, Size, as_size, parse_resize
from enerv_zoo.video.source import Moment, Source, Video
from enerv_zoo.video.timing import timing
from enerv_zoo.video.transforms import Transform

LOOKED_AT = 256
"""Pixels of the longer side of frames in which scenes are looked for."""


@dataclass(frozen=True)
class Survey:
    """What one pass finds.

    Attributes:
        info: of the selected frames, cropped and resized.
        cuts: numbers of the frames with which a new scene begins, ascending; empty where they were not looked for.
    """

    info: VideoInfo
    cuts: tuple[int, ...]


def survey(
    source: Any,
    *,
    frames: str | slice | None = None,
    resize: ResizeOption | None = None,
    crop: str | Size | None = None,
    square_pixels: bool = False,
    stream: int | None = None,
    yuv: str | None = None,
    scenes: bool = True,
) -> Survey:
    """Look over a video once, keeping nothing but numbers.

    Args:
        source, frames, resize, crop, square_pixels, stream, yuv: as `enerv_zoo.open_video` takes them.
        scenes: look for changes of scene, which decodes every frame; else a file's packets say what is needed.

    Raises:
        VideoError: the source cannot be read, or PySceneDetect is not installed and scenes are wanted.
    """
    detector = SceneDetector() if scenes else None
    selection = Selection.of(frames)
    transform = Transform(None if crop is None else as_size(crop), None if resize is None else parse_resize(resize))
    if not isinstance(source, str | Path):
        video = open_video(
            source, frames=frames, resize=resize, crop=crop, square_pixels=square_pixels, stream=stream, yuv=yuv
        )
        return Survey(video.info, _cuts_of(video, detector))
    reader, attribution = find_source(source, square_pixels, stream, yuv)
    moments = _from_packets(reader, selection) if detector is None else None
    first: np.ndarray | None = None
    if moments is None:
        moments = []
        for frame, moment in reader.frames(selection):
            if first is None:
                first = frame
                transform(frame)  # refuses what cannot be done before the rest is read
            elif frame.shape != first.shape:
                sizes = transform(first).shape, transform(frame).shape
                if sizes[0] != sizes[1]:
                    raise different_sizes(reader, selection, len(moments), *sizes)
            moments.append(moment)
            if detector is not None:
                detector.add(frame)
    else:
        first = next(frame for frame, _ in reader.frames(Selection(selection.start, selection.start + 1)))
    assert first is not None, "sources refuse to yield nothing"
    transform.note(first.shape[:2])
    height, width = transform(first).shape[:2]
    aspect = transform.pixel_aspect(first.shape[:2], reader.pixel_aspect)
    fps, timestamps = timing(moments, reader.rate, selection.step, reader.tick)
    info = VideoInfo(len(moments), height, width, fps, timestamps, reader.name, attribution, aspect)
    return Survey(info, () if detector is None else tuple(detector.cuts))


def _from_packets(reader: Source, selection: Selection) -> list[Moment] | None:
    index = reader.index() if isinstance(reader, VideoFile) else None
    if index is None:
        return None
    selection.check(len(index), reader.name)
    moments = map(reader.steady_clock(), (index.moments * reader.tick).tolist())
    return list(moments)[selection.start : selection.stop : selection.step]


def _cuts_of(video: Video, detector: SceneDetector | None) -> tuple[int, ...]:
    if detector is None:
        return ()
    for frame in video.frames:
        detector.add(frame.permute(1, 2, 0).numpy())
    return tuple(detector.cuts)


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
        scale = LOOKED_AT / max(height, width)
        if scale < 1:
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            frame = self._cv2.resize(frame, size, interpolation=self._cv2.INTER_AREA)
        blue_first = np.ascontiguousarray(frame[..., ::-1])
        # The rate only turns numbers into times and back.
        found = self._detector.process_frame(self._timecode(self._count, fps=25.0), blue_first)
        self.cuts += [timecode.frame_num for timecode in found]
        self._count += 1
