"""`Run`: an opened fit, whatever it lies in: a folder, a compressed file, or a video in segments in either."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, Unpack

from enerv_zoo.config import VideoInfo
from enerv_zoo.display import Row, rounded, table, video_rows
from enerv_zoo.errors import ConfigError, EnervZooError
from enerv_zoo.keywords import SelectionOptions
from enerv_zoo.metrics.columns import names_in
from enerv_zoo.network import Network
from enerv_zoo.nvz import Sizes, open_nvz
from enerv_zoo.storage.compressed import SUFFIX, VIDEO, FileNetwork
from enerv_zoo.storage.description import CONFIG, Description, FitRecord, N
from enerv_zoo.storage.folder import WEIGHTS, FolderNetwork
from enerv_zoo.storage.originals import as_fitted, check_source, is_recorded, open_recorded
from enerv_zoo.storage.segments import (
    Segment,
    SegmentsDescription,
    is_segmented,
    read_segments,
    segment_folder,
    segments_from_json,
)
from enerv_zoo.storage.sound import SECTION, SOUND, read_sound
from enerv_zoo.video import Video, open_video
from enerv_zoo.video.origin import Origin
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import ReadSound


class StoredNetwork(Protocol):
    """One network of a run, of which each file is read once, when it is needed."""

    @property
    def is_fitted(self) -> bool:
        """Return whether the segment is there: of a video that is being fitted, some are not."""

    @property
    def bytes(self) -> int | None:
        """Bytes that it takes; `None` where nobody knows."""

    @property
    def description(self) -> Description:
        """Contents of its config."""

    @property
    def fit(self) -> FitRecord | None:
        """Record of its fit, with its scores."""

    @property
    def record(self) -> dict[str, Any]:
        """Contents of `fit.json` in the present format."""

    @property
    def origin(self) -> Origin:
        """Video that was fitted, as far as it is known."""

    def on_meta(self) -> Network:
        """Return the network without its weights."""

    def check(self) -> Network:
        """Return the network without its weights, once they are known to be its own."""

    def read(self, build: type[N]) -> N:
        """Read the network."""


@dataclass(frozen=True, repr=False)
class Run:
    """An opened fit: one network, or the networks of a video in segments. One segment is the normal case.

    Nothing that it holds is trusted: configs are validated, and nothing is allocated before config and weights agree.

    Attributes:
        path: of the folder or the file.
        stored: the networks as they are stored, one per segment.
        whole: the description of a video in segments; `None` of a network that is the whole video.
        sizes: bytes of a compressed file's parts; `None` of a folder.
        listed_sound: bytes of a repository's sound, where it was not downloaded.
    """

    path: Path
    stored: tuple[StoredNetwork, ...]
    whole: SegmentsDescription | None = None
    sizes: Sizes | None = None
    listed_sound: int | None = None

    # ------------------------------------------------------------------ what it is

    @cached_property
    def _root(self) -> StoredNetwork:
        """Stored network with the record of the whole."""
        return self.stored[0] if self.whole is None or self.sizes is not None else FolderNetwork(self.path)

    @cached_property
    def _fitted(self) -> tuple[StoredNetwork, ...]:
        return tuple(stored for stored in self.stored if stored.is_fitted)

    @property
    def fitted(self) -> int:
        """Number of its networks that are there."""
        return len(self._fitted)

    @cached_property
    def info(self) -> VideoInfo:
        """The whole video."""
        return self.stored[0].description.video if self.whole is None else self.whole.video

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The frames of each network, in order."""
        return (Segment(0, self.info.frames),) if self.whole is None else self.whole.segments

    @property
    def description(self) -> Description:
        """Contents of `config.json`; of a video in segments, of the whole, with the composition of the first network.

        Raises:
            EnervZooError: no fit is there, or its config is damaged or of a newer format.
        """
        first = next(iter(self._fitted), self.stored[0]).description
        return first if self.whole is None else Description(first.model, self.info, self.fit, first.license)

    @cached_property
    def record(self) -> dict[str, Any]:
        """Record of the whole in `fit.json`, in the present format; empty where nobody knows.

        Raises:
            ConfigError: it is damaged.
        """
        record = self._root.record
        if self.whole is None or self.sizes is None or len(self.stored) == 1:
            return record
        first, last = (
            Selection.of(stored.record["video"].get("frames")) for stored in (self.stored[0], self.stored[-1])
        )
        step = "" if first.step == 1 else f":{first.step}"
        frames = f"{first.start}:{'' if last.stop is None else last.stop}{step}"
        return {**record, "video": {**record["video"], "frames": frames}}

    @cached_property
    def fit(self) -> FitRecord | None:
        """Record of its fit, with its scores; of a video in segments, means over frames where nothing else is known.

        Raises:
            ConfigError: a record is damaged.
        """
        root = self._root.fit
        if self.whole is None or (self.sizes is None and root is not None and root.metrics):
            return root
        fits = [(stored.fit or FitRecord(), stored.description.video.frames) for stored in self._fitted]
        names = names_in(fits[0][0].metrics) if fits else []
        metrics: dict[str, Any] = {
            name: _mean([(fit.metrics.get(name), frames) for fit, frames in fits]) for name in names
        }
        if self.sizes is None and root is not None:
            return replace(root, metrics=metrics)
        first = fits[0][0] if fits else FitRecord()
        recipe = first.recipe and replace(first.recipe, video=self.record.get("video", {}))
        return FitRecord(recipe, metrics, first.source)

    @property
    def origin(self) -> Origin:
        """Video that was fitted, as far as it is known."""
        return self._root.origin

    @property
    def bytes(self) -> int | None:
        """Bytes of the networks: of the file without its sections, or of the weights in folders.

        They are `None` where nobody knows.
        """
        if self.sizes is not None:
            return self.sizes.networks
        sizes = [stored.bytes for stored in self._fitted if stored.bytes is not None]
        return sum(sizes) if sizes else None

    @property
    def sound(self) -> builtins.bytes | None:
        """Sound of the video, as an MP4 file of its compressed stream; `None` where there is none.

        Raises:
            ConfigError: the file that holds it is damaged.
        """
        return None if self.read_sound is None else self.read_sound()

    @property
    def sound_bytes(self) -> int:
        """Bytes of the sound, which are not among those of the networks; 0 where there is none."""
        if self.sizes is not None:
            return self.sizes.sections.get(SECTION, 0)
        file = self.path / SOUND
        return file.stat().st_size if file.is_file() else self.listed_sound or 0

    @cached_property
    def meta_networks(self) -> tuple[Network, ...]:
        """The networks that are there, without their weights.

        Raises:
            ConfigError: a config asks for what is not loaded, or a network is not of its segment's frames.
        """
        return self._checked([stored.on_meta() if stored.is_fitted else None for stored in self.stored])

    @property
    def stored_numbers(self) -> int:
        """Parameters and statistics that a decoder needs, of all networks that are there."""
        return sum(network.stored_numbers for network in self.meta_networks)

    def only(self) -> StoredNetwork:
        """Return the one network that is the whole video.

        Raises:
            ConfigError: the run is a video in segments.
        """
        if len(self.stored) != 1:
            raise ConfigError(f"{self.path}: holds a video in segments; enerv_zoo.load reads it")
        return self.stored[0]

    def _rows(self) -> list[Row]:
        """Return rows for a summary, without looking at weights; fewer of a damaged run."""
        rows: list[Row] = []
        with suppress(EnervZooError):
            rows += video_rows(self.info)
            rows += [("segments", len(self.segments))] if self.whole is not None else []
            rows += [("bytes", self.bytes)] if self.bytes is not None else []
            rows += [("bytes of sound", self.sound_bytes)] if self.sound_bytes else []
            rows.insert(0, ("model", self.description.model.family))
            rows += [(name, self.fit.metrics[name]) for name in names_in(self.fit.metrics)] if self.fit else []
        return rows

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}{''.join(f', {name} {rounded(value)}' for name, value in self._rows())})"

    def _repr_html_(self) -> str:
        return table(self.path.name, self._rows())

    # ------------------------------------------------------------------ what it gives

    def check_complete(self) -> None:
        """Refuse a video in segments of which some are not fitted.

        Raises:
            ConfigError: says which.
        """
        count, fitted = len(self.stored), [stored.is_fitted for stored in self.stored]
        if self.whole is not None and not all(fitted):
            raise ConfigError(
                f"{self.path}: {sum(fitted)} of {count} segments are fitted, number {fitted.index(False)} is not; "
                "repeat its command to go on (fit needs --resume)"
            )

    def check(self) -> None:
        """Check everything that can be checked without allocating it: configs, weights' names and sizes, segments.

        Raises:
            EnervZooError: something is missing, damaged, does not match or asks for too much.
        """
        self.check_complete()
        self._checked([stored.check() for stored in self.stored])

    def network(self, number: int = 0, build: type[N] = Network) -> N:  # type: ignore[assignment]
        """Read a network.

        Args:
            number: of its segment.
            build: the class of the network.

        Raises:
            EnervZooError: it is not there, is damaged or asks for too much.
        """
        network = self.stored[number].read(build)
        if self.whole is None:
            network.read_sound = self.read_sound
        return network

    @property
    def read_sound(self) -> ReadSound | None:
        """Reader of the sound, which holds no file open; `None` where there is no sound."""
        first = self.stored[0]
        place = first.file if isinstance(first, FileNetwork) else self.path
        return partial(read_sound, place) if self.sound_bytes else None

    def originals(self, source: Any = None, **cut: Unpack[SelectionOptions]) -> Callable[[int], Video]:
        """Return what opens the original of a network, by the number of its segment.

        Args:
            source: what to open; by default what was fitted, of which is looked, once, whether it has changed since.
                Another source is cut at the same frames; an opened video of the fit's own extent is taken as it is.
            cut: overrules how the original was cut for the fit; of a video in segments, `frames` cannot be.

        Raises:
            VideoError: the video that was fitted is not there any more.
        """
        check_source(self.record, self.path, source)
        extent = (self.info.frames, self.info.height, self.info.width)
        is_cut = not cut and isinstance(source, Video)
        is_cut = is_cut and (source.info.frames, source.info.height, source.info.width) == extent
        is_own = not is_cut and is_recorded(self.record, source)

        def original(number: int = 0) -> Video:
            if is_cut:
                segment = self.segments[number]
                part = open_video(source, frames=slice(segment.first, segment.stop))
                return as_fitted(part, self.stored[number].record, segment.frames)
            own = cut.copy()
            if self.whole is not None:
                segment = self.segments[number]
                own["frames"] = None if is_own else f"{segment.first}:{segment.stop}"
            record = self.stored[number].record
            opened = open_recorded(record, self.path, source, is_own, **own)
            return opened if cut else as_fitted(opened, record, self.segments[number].frames)

        return original

    def original(self, source: Any = None, **cut: Unpack[SelectionOptions]) -> Video:
        """Open the whole video that was fitted, cut and resized as it was then; or another one likewise.

        Args:
            source: what to open; by default what was fitted. The recorded frame range, stream and format apply to that
                alone.
            cut: overrules how the original was cut for the fit.

        Raises:
            FitError: no source was given and none is recorded.
            VideoError: it is not there any more, or cannot be read.
        """
        check_source(self.record, self.path, source)
        return open_recorded(self.record, self.path, source, **cut)

    def __reduce__(self) -> tuple[Callable[[Path], Run], tuple[Path]]:
        """Another process opens its own."""
        return open_run, (self.path,)

    # ------------------------------------------------------------------ what it checks

    def _checked(self, networks: list[Network | None]) -> tuple[Network, ...]:
        built = [(number, network) for number, network in enumerate(networks) if network is not None]
        for number, network in built if self.whole is not None else ():
            self.segments[number].check(number, network.info, self.info)
        return tuple(network for _, network in built)


def open_run(path: str | Path, sizes: Mapping[str, int | None] | None = None) -> Run:
    """Open a fit on this machine; of a file, the head is read and checked, of a folder `segments.json` alone.

    Args:
        path: a folder that a fit wrote or that was pulled, or a `.nvz` file.
        sizes: bytes of files that were not downloaded, by their paths in the folder.

    Raises:
        EnervZooError: the file is missing or damaged, or its networks are not those of its segments.
    """
    path = Path(path)
    if (path / VIDEO).is_file() and not (path / CONFIG).exists() and not is_segmented(path):
        path = path / VIDEO
    if not path.is_dir() and (path.suffix == SUFFIX or path.is_file()):
        return _open_file(path)
    whole = read_segments(path) if is_segmented(path) else None
    names = [Path()] if whole is None else [segment_folder(Path(), number) for number in range(len(whole.segments))]
    listed = sizes or {}
    networks = tuple(FolderNetwork(path / name, listed.get((name / WEIGHTS).as_posix())) for name in names)
    return Run(path, networks, whole, listed_sound=listed.get(SOUND))


def _open_file(path: Path) -> Run:
    file, where = open_nvz(path), str(path)
    whole = None if file.whole is None else segments_from_json(file.whole, where)
    if whole is None and len(file) != 1:
        raise ConfigError(f"{where}: holds {len(file)} networks and does not say of which segments; it is damaged")
    if whole is not None and len(whole.segments) != len(file):
        raise ConfigError(f"{where}: has {len(file)} networks for {len(whole.segments)} segments; it is damaged")
    return Run(path, tuple(FileNetwork(file, number, path) for number in range(len(file))), whole, file.sizes)


def _mean(scores: list[tuple[Any, int]]) -> float | None:
    """Return the mean over all frames of a score that networks have, or `None` where one has none."""
    if not scores or not all(isinstance(value, (int, float)) for value, _ in scores):
        return None
    return sum(float(value) * frames for value, frames in scores) / sum(frames for _, frames in scores)
