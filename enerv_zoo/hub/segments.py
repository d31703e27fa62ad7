"""A long video's folder: `segments.json`, and a fit's folder for every segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from enerv_zoo import __version__
from enerv_zoo.config import VideoInfo, from_dict, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import remove, write_json
from enerv_zoo.hub.description import FORMAT, read_json
from enerv_zoo.hub.folder import WEIGHTS, check_folder, read_folder, read_origin, save
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.segmented import Segment, SegmentedVideo

SEGMENTS = "segments.json"
MAX_SEGMENTS = 100_000


@dataclass(frozen=True)
class SegmentsDescription:
    """What `segments.json` says.

    Attributes:
        video: the whole video.
        segments: its parts, in order; the network of number i is in the folder `segment_folder(i)`.
        scenes: frames with which a new scene begins, or `None` where nobody looked for them.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")  # a later version may say more

    video: VideoInfo
    segments: Annotated[tuple[Segment, ...], Field(min_length=1, max_length=MAX_SEGMENTS)]
    scenes: tuple[int, ...] | None = None

    def goes_on(self, number: int) -> bool:
        """Whether a segment is known to go on with the scene of the one before."""
        return number > 0 and self.scenes is not None and self.segments[number].first not in self.scenes


def segment_folder(folder: Path, number: int) -> Path:
    """Where the network of a segment is. The name follows from the number; no file can ask for another one."""
    return folder / f"segment-{number:05d}"


def segment_folders(folder: Path) -> list[Path]:
    """The folders of segments that are there, in order."""
    parts = (path for path in folder.glob("segment-*") if path.name.removeprefix("segment-").isdecimal())
    return sorted(parts)


def is_segmented(path: str | Path) -> bool:
    """Whether a folder holds a video in segments, fitted to the end or not."""
    return (Path(path) / SEGMENTS).is_file()


def remove_segments(path: Path) -> None:
    """Delete a video in segments from a folder: its description first, so that it is whole or gone.

    Raises:
        OSError: the folder cannot be written.
    """
    if not is_segmented(path):
        return
    remove(path / SEGMENTS)
    for part in segment_folders(path):
        remove(part)


def write_segments(description: SegmentsDescription, folder: Path) -> None:
    """Write `segments.json`.

    Raises:
        EnervZooError: the folder cannot be written.
    """
    write_json(folder / SEGMENTS, segments_to_json(description))


def segments_to_json(description: SegmentsDescription) -> dict[str, Any]:
    """What `segments.json` says, as plain data; a compressed file of several networks says the same of them."""
    return {"format": FORMAT, "library": f"enerv-zoo {__version__}", **to_dict(description)}


def read_segments(path: str | Path) -> SegmentsDescription:
    """Read `segments.json`.

    Raises:
        ConfigError: it is damaged, of a newer format, or its segments are not the video's frames, each once.
    """
    file = Path(path) / SEGMENTS
    return segments_from_json(read_json(file), str(file))


def segments_from_json(data: Mapping[str, Any], where: str) -> SegmentsDescription:
    """The inverse of `segments_to_json`; errors are those of `read_segments`."""
    version = data.get("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ConfigError(f"{where}: format {version!r:.40} is not read by this version (1 to {FORMAT} are); upgrade")
    known = {key: data[key] for key in ("video", "segments", "scenes") if key in data}
    return from_dict(SegmentsDescription, known, where)


@dataclass(frozen=True)
class _FromFolders:
    """Loads the network of a segment; picklable, so that a video can be sent to workers."""

    folder: Path

    def __call__(self, number: int) -> NeuralVideo:
        return read_folder(segment_folder(self.folder, number))


def read_segmented(path: str | Path, device: str = "cpu") -> SegmentedVideo:
    """A video in segments from its folder; networks are read, and checked as `load` checks them, when they are needed.

    Raises:
        ConfigError: the description is damaged, or segments are missing.
    """
    folder = Path(path).resolve()
    description = read_segments(folder)
    count = len(description.segments)
    missing = [n for n in range(count) if not (segment_folder(folder, n) / WEIGHTS).is_file()]
    if missing:
        raise ConfigError(
            f"{path}: {count - len(missing)} of {count} segments are fitted, number {missing[0]} is not; "
            "repeat its command to go on (fit needs --resume)"
        )
    video = SegmentedVideo(description.video, description.segments, _FromFolders(folder))
    video.origin = read_origin(folder)
    return video.to(device)


def save_segments(video: SegmentedVideo, path: str | Path) -> Path:
    """Write a video in segments to a folder, one network at a time; the description goes last.

    Raises:
        EnervZooError: the folder cannot be written.
    """
    folder = Path(path)
    for number, network in enumerate(video.networks()):
        save(network, segment_folder(folder, number))
    write_segments(SegmentsDescription(video.info, video.segments), folder)
    return folder


def check_segments(path: str | Path) -> SegmentsDescription:
    """What a folder's `segments.json` says, once every segment's config and weights are known to agree with it.

    Raises:
        ConfigError: they do not.
    """
    video, folder = read_segmented(path), Path(path)
    for number, segment in enumerate(video.segments):
        info = check_folder(segment_folder(folder, number)).video
        if (info.frames, info.height, info.width) != (segment.frames, video.info.height, video.info.width):
            raise ConfigError(f"{segment_folder(folder, number)}: draws other frames than {SEGMENTS} says")
    return SegmentsDescription(video.info, video.segments)
