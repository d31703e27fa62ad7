"""Manifests: videos x models x sizes x recipes x seeds, as jobs."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from enerv_zoo.batch.jobs import FitJob, job_of
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.batch.tables import READERS, TEXTS, read_rows
from enerv_zoo.compatibility import FORMAT, format_of, note_sizes, turned, turned_sizes
from enerv_zoo.config import SELECTION, FitConfig, Spec, VideoSelection, from_dict
from enerv_zoo.errors import ConfigError, EnervZooError, did_you_mean
from enerv_zoo.files import usable_path
from enerv_zoo.fitting.cuts import parse_segments
from enerv_zoo.fitting.plan import FitPlan, plan_fit
from enerv_zoo.parsing import read_mapping
from enerv_zoo.recipes import bundled_files
from enerv_zoo.storage.description import check_license

_NAME = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
MAX_NAME = 96
"""Characters of a name, as the Hub has it."""
MAX_FITS = 1_000_000
"""Fits of one manifest. A product of longer lists is a mistake, and would fill the memory."""
LISTED = {"videos": "video", "models": "model", "sizes": "size", "recipes": "recipe", "seeds": "seed"}
"""Lists of an entry, and how one value of each may be given."""
_COLUMNS = {*LISTED.values(), *TEXTS, *SELECTION, "format"}
"""Columns of a table that are fields of an entry."""


@dataclass(frozen=True, kw_only=True)
class Group(VideoSelection):
    """One entry of a manifest's `fits`: every video with every model in every size by every recipe with every seed.

    The fields of `VideoSelection` say which part of the videos is taken, and overrule the recipe. An entry may give one
    value of a list by its singular: `recipe: quick` is `recipes: [quick]`.

    Attributes:
        videos: what `enerv_zoo.fit` takes: files, folders, samples, addresses.
        models: families; by default the recipe's.
        sizes: budgets of stored parameters such as `"1.5M"`; by default the recipe's.
        recipes: each a name, a file, or what would be in the file, which may have a `name`; by default E-NeRV's
            published one.
        seeds: one fit for each; by default the recipe's.
        fit: fields of `FitConfig` that overrule the recipe.
        mask, reference: of each video, as `enerv_zoo.fit` takes them; `{video}` in their names is that of the video.
        segments: fit long videos in segments, cut as `fit_segments` cuts them.
        name: of each fit and its repository, in place of the manifest's.
        license: of the weights, in place of the manifest's.
        format: in place of the manifest's.
    """

    videos: Annotated[tuple[str, ...], Field(min_length=1)]
    models: tuple[str, ...] = ()
    sizes: tuple[str | int | float, ...] = ()
    recipes: tuple[str | Spec, ...] = ()
    seeds: tuple[int, ...] = ()
    fit: Spec = field(default_factory=dict)
    mask: str | None = None
    reference: str | None = None
    segments: str | int | None = None
    name: str | None = None
    license: str | None = None
    format: Literal[1, 2] | None = None


@dataclass(frozen=True)
class Manifest:
    """The fits that `enerv-zoo batch` does.

    Attributes:
        fits: groups, as mappings.
        description: one line for people.
        owner: user or organisation on the Hub.
        name: of each fit and its repository, from `{video}`, `{model}`, `{size}`, `{recipe}`, `{seed}`, `{frames}`,
            `{resize}`; by default video, model and size, as far as they are given, and recipe and seed where there are
            several.
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
    """One entry of a manifest's product of videos, models, sizes, recipes and seeds.

    Attributes:
        fit: fully decided, of the whole video or in segments; its name is that of the repository, too.
        license: of the weights.
    """

    fit: FitJob | SegmentsJob
    license: str | None

    @property
    def name(self) -> str:
        """Name of the folder and the repository."""
        return self.fit.name


def read_manifest(manifest: str | Path) -> Manifest:
    """Read a manifest from a YAML file, from a table (`.csv`, `.parquet`) with a row per fit, or a bundled one by name.

    The columns of a table are `video`, `model`, `size`, `recipe` and `seed`, and `frames`, `resize`, `crop`,
    `square_pixels`, `stream`, `yuv`, `deinterlace`, `full_depth`, `matrix`, `tone_map`, `mask`, `reference`,
    `segments`, `name`, `license` and `format`, as in a manifest's entry; any other is a field of `FitConfig`. All but
    `video` may be empty.

    Raises:
        ConfigError: no such file or name, or options that mean nothing.
    """
    path = usable_path(manifest)
    if not path.is_file():
        bundled = bundled_files("zoo")
        if str(manifest) not in bundled:
            raise ConfigError(
                f"no manifest {str(manifest)!r}: neither a file nor a bundled one."
                f"{did_you_mean(str(manifest), bundled)} Bundled: {', '.join(bundled)}"
            )
        path = bundled[str(manifest)]
    if path.suffix in READERS:
        read = Manifest(tuple(_entry(row) for row in read_rows(path)), format=1)
    else:
        try:
            data = read_mapping(path)
        except ConfigError as error:
            kinds = "a manifest is YAML that has 'fits', or a .csv or .parquet table with a column 'video'"
            raise ConfigError(f"{error}; {kinds}") from error
        read = from_dict(Manifest, {**data, "format": format_of(data, str(path))}, str(path))
    for spec in read.fits:
        if format_of({"format": read.format, **spec}, str(path)) == 1:
            note_sizes(spec, str(path))
    return read


def _entry(row: Mapping[str, Any]) -> Spec:
    """Return a row of a table as an entry of `fits`: columns that an entry has not are fields of the recipe's `fit`."""
    own = {key: str(value) if key in TEXTS else value for key, value in row.items() if key in _COLUMNS}
    return {**own, "fit": {key: value for key, value in row.items() if key not in own}}


def manifest_jobs(manifest: Manifest) -> list[Job]:
    """Return every fit of a manifest, in its order.

    Raises:
        ConfigError: an option that means nothing, a family, recipe or size that there is not, more than `MAX_FITS`, or
            a name that stands for two fits or is none.
    """
    jobs: dict[str, Job] = {}
    for number, spec in enumerate(manifest.fits, 1):
        where = f"manifest, entry {number} of 'fits'"
        try:
            group = from_dict(Group, _with_lists(spec))
            lists = (group.videos, group.models, group.sizes, group.recipes, group.seeds)
            count = math.prod(len(values) or 1 for values in lists)
            if len(jobs) + count > MAX_FITS:
                raise ConfigError(f"a manifest has up to {MAX_FITS:,} fits, this entry alone adds {count:,}; split it")
            for job in _group_jobs(manifest, group):
                if job.name in jobs:
                    raise ConfigError(
                        f"two fits would be called {job.name!r}; give the entry, or its inline recipes, a name"
                    )
                jobs[job.name] = job
        except EnervZooError as error:
            raise ConfigError(f"{where}: {error}") from error
    return list(jobs.values())


def _with_lists(spec: Spec) -> Spec:
    """Return an entry whose single values are lists of one."""
    listed = dict(spec)
    for many, one in LISTED.items():
        if one in listed:
            if many in listed:
                raise ConfigError(f"it gives {one!r} and {many!r}; keep one of them")
            listed[many] = [listed.pop(one)]
    return listed


def _group_jobs(manifest: Manifest, group: Group) -> Iterator[Job]:
    license = check_license(group.license or manifest.license)
    version = group.format or manifest.format
    selection: dict[str, Any] = {key: getattr(group, key) for key in SELECTION}
    selection = selection if version == FORMAT else turned_sizes(selection)
    companions = {"mask": group.mask, "reference": group.reference}
    if group.seeds and "seed" in group.fit:
        raise ConfigError("it gives 'seeds' and a 'seed' in 'fit'; keep one of them")
    legal = [field.name for field in dataclasses.fields(FitConfig)]
    own = {*(field.name for field in dataclasses.fields(Group)), *LISTED.values()}
    for option in group.fit:
        if option not in legal:
            where = " It stands beside 'fit'." if option in own else did_you_mean(option, legal)
            raise ConfigError(f"fit has no option {option!r}.{where} Its options: {', '.join(legal)}")
    if group.segments is not None:
        parse_segments(group.segments)
    for video, model, size, recipe, seed in itertools.product(
        group.videos, group.models or (None,), group.sizes or (None,), group.recipes or (None,), group.seeds or (None,)
    ):
        label = Path(recipe).stem if isinstance(recipe, str) else None
        if isinstance(recipe, dict):
            recipe = {"format": version, **recipe}
            label = recipe.pop("name", None)
        seeded = group.fit if seed is None else {**group.fit, "seed": seed}
        beside: dict[str, Any] = {
            key: own and own.replace("{video}", Path(video).stem) for key, own in companions.items()
        }
        plan = plan_fit(video, model, size=size, recipe=recipe, device="cpu", **beside, **selection, **seeded)
        fields = _fields(video, plan, label, seed, version)
        parts = {"{video}": video, "{model}": plan.model["name"], "{size}": fields["size"]}
        parts |= {"{recipe}": label if len(group.recipes) > 1 else None}
        parts |= {"seed{seed}": seed if len(group.seeds) > 1 else None}
        by_default = "-".join(part for part, value in parts.items() if value is not None)
        name = check_name(_filled(group.name or manifest.name or by_default, fields))
        if group.segments is None:
            yield Job(job_of(name, video, plan), license)
        else:
            yield Job(SegmentsJob(name, video, plan, str(group.segments)), license)


def _fields(video: str, plan: FitPlan, recipe: Any, seed: int | None, version: int) -> dict[str, Any]:
    """Return the fields of a name."""
    resize = plan.video.get("resize")
    return {
        "video": Path(video).stem,
        "model": plan.model["name"],
        "size": plan.model.get("size"),
        "recipe": recipe,
        "seed": seed,
        "frames": plan.video.get("frames"),
        # Of old manifests as it was written, so that their folders and repositories keep their names.
        "resize": resize if version == FORMAT else turned(resize),
    }


def _filled(template: str, fields: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        field = match[1]
        if field not in fields:
            raise ConfigError(
                f"the name {template!r} holds {{{field}}}.{did_you_mean(field, fields)} Known: {', '.join(fields)}"
            )
        if fields[field] is None:
            raise ConfigError(f"the name {template!r} needs a {field}, and this entry has none; give it another name")
        return re.sub(r"[^A-Za-z0-9_.]+", "-", str(fields[field])).strip("-.").lower()

    return re.sub(r"\{(\w*)\}", value, template)


def check_name(name: str) -> str:
    """Return a name that a folder and a repository can have.

    Raises:
        ConfigError: it is none.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise ConfigError(
            f"{name!r:.120} is no name; expected up to {MAX_NAME} letters, digits and _, with single . and - between"
        )
    return name
