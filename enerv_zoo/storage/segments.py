"""A long video's folder: `segments.json`, and a fit's folder for every segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from enerv_zoo import __version__
from enerv_zoo.config import Count, VideoInfo, from_dict, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import remove, write_json
from enerv_zoo.network import Network
from enerv_zoo.storage.description import FORMAT, check_format, read_json
from enerv_zoo.storage.folder import save
from enerv_zoo.storage.sound import write_sound

SEGMENTS = "segments.json"
MAX_SEGMENTS = 100_000


@dataclass(frozen=True)
class Segment:
    """A range of frames that one network decodes.

    Attributes:
        first: its first frame.
        frames: how many.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    first: Annotated[int, Field(ge=0, le=1 << 31)]
    frames: Count

    @property
    def stop(self) -> int:
        """Index of the frame after its last."""
        return self.first + self.frames

    def check(self, number: int, network: VideoInfo, whole: VideoInfo) -> None:
        """Refuse a network that decodes something else than this segment of a video.

        Args:
            number: of the segment.
            network: the video of its network.
            whole: the whole video.

        Raises:
            ConfigError: the numbers of frames or their sizes differ.
        """
        size = (self.frames, whole.height, whole.width)
        if (network.frames, network.height, network.width) != size:
            raise ConfigError(
                f"segment {number} decodes to {network.frames} frames of {network.size_text}; expected {self.frames} "
                f"of {whole.size_text}"
            )


def check_cover(segments: Sequence[Segment], info: VideoInfo) -> None:
    """Refuse segments that are not a video's frames, each once and in order.

    Raises:
        ConfigError: says where.
    """
    stop = 0
    for number, segment in enumerate(segments):
        if segment.first != stop or segment.frames < 1:
            raise ConfigError(f"segment {number} begins at frame {segment.first}; expected frame {stop}")
        stop = segment.stop
    if stop != info.frames:
        raise ConfigError(f"{len(segments)} segments of {stop} frames in all; the video has {info.frames}")


@dataclass(frozen=True)
class SegmentsDescription:
    """Contents of `segments.json`.

    Attributes:
        video: the whole video.
        segments: its parts, in order; the network of number i is in the folder `segment_folder(i)`.
        scenes: frames with which a new scene begins, or `None` where nobody looked for them.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")  # a later version may say more

    video: VideoInfo
    segments: Annotated[tuple[Segment, ...], Field(min_length=1, max_length=MAX_SEGMENTS, fail_fast=True)]
    scenes: Annotated[tuple[int, ...], Field(fail_fast=True)] | None = None

    def goes_on(self, number: int) -> bool:
        """Return whether a segment is known to go on with the scene of the one before."""
        return number > 0 and self.scenes is not None and self.segments[number].first not in self.scenes


def segment_folder(folder: Path, number: int) -> Path:
    """Return the folder of a segment's network. The name follows from the number; no file can ask for another one."""
    return folder / f"segment-{number:05d}"


def segment_folders(folder: Path) -> list[Path]:
    """Return the folders of segments that are there, in order."""
    parts = (path for path in folder.glob("segment-*") if path.name.removeprefix("segment-").isdecimal())
    return sorted(parts)


def is_segmented(path: str | Path) -> bool:
    """Return whether a folder holds a video in segments, fitted to the end or not."""
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
    """Return the contents of `segments.json`, and of a compressed file of segments, as plain data."""
    return {"format": FORMAT, "library": f"enerv-zoo {__version__}", **to_dict(description)}


def read_segments(path: str | Path) -> SegmentsDescription:
    """Read `segments.json`.

    Raises:
        ConfigError: it is damaged, of a newer format, or its segments are not the video's frames, each once.
    """
    file = Path(path) / SEGMENTS
    return segments_from_json(read_json(file), str(file))


def segments_from_json(data: Mapping[str, Any], where: str) -> SegmentsDescription:
    """Read a description from plain data, the inverse of `segments_to_json`; errors are those of `read_segments`."""
    check_format(data, where)
    facts = {key: data[key] for key in ("video", "segments", "scenes") if key in data}
    description = from_dict(SegmentsDescription, facts, where)
    try:
        check_cover(description.segments, description.video)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return description


def save_segments(
    description: SegmentsDescription, networks: Iterable[Network], path: str | Path, sound: bytes | None
) -> Path:
    """Write a video in segments to a folder, one network at a time, and its sound; the description goes last.

    Raises:
        EnervZooError: the folder cannot be written.
    """
    folder = Path(path)
    for number, network in enumerate(networks):
        save(network, segment_folder(folder, number))
    write_sound(sound, folder)
    write_segments(description, folder)
    return folder
