"""A manifest: which networks are fitted to which videos, and how. Videos x models x sizes x recipes, as jobs."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from enerv_zoo.batch.jobs import FitJob, job_of
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.compatibility import FORMAT, format_of, note_sizes, turned, turned_sizes
from enerv_zoo.config import Spec, from_dict, parse_yaml, read_mapping
from enerv_zoo.errors import ConfigError, EnervZooError, did_you_mean
from enerv_zoo.fitting.cuts import parse_segments
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.recipes import bundled_files
from enerv_zoo.storage.description import check_license

_NAME = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
MAX_NAME = 96
"""Characters of a name, as the Hub has it."""


@dataclass(frozen=True)
class Group:
    """One entry of a manifest's `fits`: every video with every model in every size by every recipe.

    Attributes:
        videos: what `enerv_zoo.fit` takes: files, folders, samples, addresses.
        models: families; by default the recipe's.
        sizes: budgets of stored numbers such as `"1.5M"`; by default the recipe's.
        recipes: each a name, a file, or what would be in the file; by default E-NeRV's published one.
        fit: fields of `FitConfig` that overrule the recipe.
        frames, resize, crop, square_pixels, stream, yuv: which part of the videos, and which pixels; these overrule
            the recipe.
        segments: fit long videos in segments, cut as `fit_segments` cuts them.
        name: of each fit and its repository, in place of the manifest's.
        license: of the weights, in place of the manifest's.
        format: in place of the manifest's.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    videos: Annotated[tuple[str, ...], Field(min_length=1)]
    models: tuple[str, ...] = ()
    sizes: tuple[str | int | float, ...] = ()
    recipes: tuple[str | Spec, ...] = ()
    fit: Spec = field(default_factory=dict)
    frames: str | None = None
    resize: str | int | tuple[int, int] | None = None
    crop: str | tuple[int, int] | None = None
    square_pixels: bool | None = None
    stream: int | None = None
    yuv: str | None = None
    segments: str | int | None = None
    name: str | None = None
    license: str | None = None
    format: Literal[1, 2] | None = None


@dataclass(frozen=True)
class Manifest:
    """What `enerv-zoo fleet` and `enerv-zoo publish` take.

    Attributes:
        fits: groups, as mappings.
        description: one line for people.
        owner: user or organisation on the Hub.
        name: of each fit and its repository, from `{video}`, `{model}`, `{size}`, `{recipe}`, `{frames}`, `{resize}`;
            by default video, model and size, as far as they are given, and the recipe where there are several.
        license: of the weights, by its identifier on the Hub such as `cc-by-3.0`.
        private: whether new repositories are; by default as the owner has it.
        format: 2, where sizes are WIDTHxHEIGHT; files without it are of format 1, where they are HEIGHTxWIDTH.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    fits: Annotated[tuple[Spec, ...], Field(min_length=1)]
    description: str = ""
    owner: str | None = None
    name: str | None = None
    license: str | None = None
    private: bool | None = None
    format: Literal[1, 2] = 2


@dataclass(frozen=True)
class Job:
    """One entry of a manifest's product of videos, models, sizes and recipes.

    Attributes:
        fit: fully decided, of the whole video or in segments; its name is that of the repository, too.
        license: of the weights.
    """

    fit: FitJob | SegmentsJob
    license: str | None

    @property
    def name(self) -> str:
        """Of the folder and the repository."""
        return self.fit.name


def read_manifest(manifest: str | Path) -> Manifest:
    """A manifest from a YAML file, from a table (`.csv`, `.parquet`) with a row for each fit, or a bundled one by name.

    The columns of a table are `video`, `model`, `size` and `recipe`, and `frames`, `resize`, `crop`, `square_pixels`,
    `stream`, `yuv`, `segments`, `name`, `license` and `format`, as in a manifest's entry; any other is a field of
    `FitConfig`. All but `video` may be empty.

    Raises:
        ConfigError: no such file or name, or options that mean nothing.
    """
    path = Path(manifest)
    if not path.is_file():
        bundled = bundled_files("zoo")
        if str(manifest) not in bundled:
            raise ConfigError(
                f"no manifest {str(manifest)!r}: neither a file nor a bundled one."
                f"{did_you_mean(str(manifest), bundled)} Bundled: {', '.join(bundled)}"
            )
        path = bundled[str(manifest)]
    if path.suffix in READERS:
        read = Manifest(tuple(_entry(row) for row in _rows(path)), format=1)
    else:
        data = read_mapping(path)
        read = from_dict(Manifest, {**data, "format": format_of(data, str(path))}, str(path))
    for spec in read.fits:
        if format_of({"format": read.format, **spec}, str(path)) == 1:
            note_sizes(spec, str(path))
    return read


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, without their empty cells."""
    try:
        rows = READERS[path.suffix](path)
    except (OSError, ValueError, ImportError, csv.Error) as error:  # a UnicodeDecodeError is a ValueError
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from error
    filled = [{key: value for key, value in row.items() if key and value not in (None, "")} for row in rows]
    missing = [number for number, row in enumerate(filled, 1) if "video" not in row]
    if missing or not filled:
        where = f"row {missing[0]} has none" if missing else "it has no rows"
        raise ConfigError(f"{path}: a manifest's table needs a column 'video' that says what to fit; {where}")
    return filled


def _read_csv(path: Path) -> list[dict[str, Any]]:
    """Cells as YAML has them where they are numbers or lists; what names something stays a text."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, strict=True)
        _check_columns(table.fieldnames or ())
        rows = list(table)
    longer = [number for number, row in enumerate(rows, 1) if None in row]
    if longer:
        raise ValueError(f"row {longer[0]} has more cells than the header has columns; quote what holds a comma")
    plain = {*LISTED.values(), *_TEXTS}
    return [
        {key: value if key in plain or not value else parse_yaml(value) for key, value in row.items()} for row in rows
    ]


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow; pip install 'enerv-zoo[cluster]'") from error
    _check_columns(parquet.read_schema(path).names)
    return parquet.read_table(path).to_pylist()


def _check_columns(names: Sequence[str]) -> None:
    """Refuse a column that is there twice: in a row, the last one would silently count."""
    for name, count in Counter(names).items():
        if name and count > 1:
            raise ValueError(f"the column {name!r} is given {count} times; keep one")


READERS = {".csv": _read_csv, ".parquet": _read_parquet}
LISTED = {"videos": "video", "models": "model", "sizes": "size", "recipes": "recipe"}
"""What is a list in an entry has one value in a row."""
_TEXTS = ("frames", "resize", "crop", "yuv", "segments", "name", "license")


def _entry(row: dict[str, Any]) -> Spec:
    """A row of a table as an entry of `fits`."""
    listed = {many: [row[one]] for many, one in LISTED.items() if one in row}
    texts = {key: str(row[key]) for key in _TEXTS if key in row}
    others: Spec = {key: row[key] for key in ("square_pixels", "stream", "format") if key in row}
    fit = {key: value for key, value in row.items() if key not in (*LISTED.values(), *_TEXTS, *others)}
    return {**listed, **texts, **others, "fit": fit}


def manifest_jobs(manifest: Manifest) -> list[Job]:
    """Every fit of a manifest, in its order.

    Raises:
        ConfigError: an option that means nothing, a family, recipe or size that there is not, or a name that stands for
            two fits or is none.
    """
    jobs: dict[str, Job] = {}
    for number, spec in enumerate(manifest.fits, 1):
        where = f"manifest, entry {number} of 'fits'"
        group = from_dict(Group, spec, where)
        try:
            for job in _group_jobs(manifest, group):
                if job.name in jobs:
                    raise ConfigError(f"two fits would be called {job.name!r}; give the entry a name of its own")
                jobs[job.name] = job
        except EnervZooError as error:
            raise ConfigError(f"{where}: {error}") from error
    return list(jobs.values())


def _group_jobs(manifest: Manifest, group: Group) -> Iterator[Job]:
    license = check_license(group.license or manifest.license)
    version = group.format or manifest.format
    selection: dict[str, Any] = {"frames": group.frames, "resize": group.resize, "crop": group.crop}
    selection = selection if version == FORMAT else turned_sizes(selection)
    selection |= {"square_pixels": group.square_pixels, "stream": group.stream, "yuv": group.yuv}
    product = itertools.product(group.videos, group.models or (None,), group.sizes or (None,), group.recipes or (None,))
    for video, model, size, recipe in product:
        if isinstance(recipe, dict):
            recipe = {"format": version, **recipe}
        plan = plan_fit(video, model, size=size, recipe=recipe, device="cpu", **selection, **group.fit)
        resized = plan.video.get("resize")
        fields = {
            "video": Path(video).stem,
            "model": plan.model["name"],
            "size": plan.model.get("size"),
            "recipe": Path(recipe).stem if isinstance(recipe, str) else None,
            "frames": plan.video.get("frames"),
            # Of old manifests as it was written, so that their folders and repositories keep their names.
            "resize": resized if version == FORMAT else turned(resized),
        }
        used = ("video", "model", "size", *(["recipe"] if len(group.recipes) > 1 else []))
        template = (
            group.name or manifest.name or "-".join(f"{{{field}}}" for field in used if fields[field] is not None)
        )
        name = check_name(_filled(template, fields))
        fit: FitJob | SegmentsJob = job_of(name, video, plan)
        if group.segments is not None:
            parse_segments(group.segments)
            fit = SegmentsJob(name, video, plan, str(group.segments))
        yield Job(fit, license)


def _filled(template: str, fields: Mapping[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        field = found[1]
        if field not in fields:
            raise ConfigError(
                f"the name {template!r} holds {{{field}}}.{did_you_mean(field, fields)} Known: {', '.join(fields)}"
            )
        if fields[field] is None:
            raise ConfigError(f"the name {template!r} needs a {field}, and this entry has none; give it another name")
        return re.sub(r"[^A-Za-z0-9_.]+", "-", str(fields[field])).strip("-.").lower()

    return re.sub(r"\{(\w*)\}", value, template)


def check_name(name: str) -> str:
    """A name that a folder and a repository can have.

    Raises:
        ConfigError: it is none.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise ConfigError(
            f"{name!r:.120} is no name; expected up to {MAX_NAME} letters, digits and _, with single . and - between"
        )
    return name
