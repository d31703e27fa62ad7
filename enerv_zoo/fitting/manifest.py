"""A manifest: which networks are to be fitted to which videos, under which names. Videos x models x sizes, as jobs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from enerv_zoo.config import Spec, from_dict, read_mapping
from enerv_zoo.errors import ConfigError, EnervZooError, did_you_mean
from enerv_zoo.fitting.jobs import FitJob, job_of
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.hub.description import check_license
from enerv_zoo.recipes import shipped_files

_NAME = re.compile(r"[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*")
MAX_NAME = 96
"""Characters of a name, as the Hub has it."""


@dataclass(frozen=True)
class Group:
    """One entry of a manifest's `fits`: every video with every model in every size.

    Attributes:
        videos: what `enerv_zoo.fit` takes: files, folders, samples.
        models: families; by default the recipe's.
        sizes: budgets of stored numbers such as `"1.5M"`; by default the recipe's.
        recipe: a name, a file, or what would be in the file.
        fit: fields of `FitConfig` that overrule the recipe.
        frames, resize, crop: which part of the videos; these overrule the recipe.
        name: of each fit and its repository, in place of the manifest's.
        license: of the weights, in place of the manifest's.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    videos: Annotated[tuple[str, ...], Field(min_length=1)]
    models: tuple[str, ...] = ()
    sizes: tuple[str | int | float, ...] = ()
    recipe: str | Spec | None = None
    fit: Spec = field(default_factory=dict)
    frames: str | None = None
    resize: str | None = None
    crop: str | None = None
    name: str | None = None
    license: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What `enerv-zoo publish` takes.

    Attributes:
        fits: groups, as mappings.
        description: one line for people.
        owner: user or organisation on the Hub.
        name: of each fit and its repository, from `{video}`, `{model}`, `{size}`, `{recipe}`, `{frames}`, `{resize}`.
        license: of the weights, by its identifier on the Hub such as `cc-by-3.0`.
        private: whether new repositories are; by default as the owner has it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    fits: Annotated[tuple[Spec, ...], Field(min_length=1)]
    description: str = ""
    owner: str | None = None
    name: str = "{video}-{model}-{size}"
    license: str | None = None
    private: bool | None = None


@dataclass(frozen=True)
class Job:
    """One entry of a manifest's product of videos, models and sizes.

    Attributes:
        fit: fully decided; its name is that of the repository, too.
        license: of the weights.
    """

    fit: FitJob
    license: str | None

    @property
    def name(self) -> str:
        """Of the folder and the repository."""
        return self.fit.name


def read_manifest(manifest: str | Path) -> Manifest:
    """A manifest from a YAML file, or by the name of a shipped one.

    Raises:
        ConfigError: no such file or name, or options that mean nothing.
    """
    path = Path(manifest)
    if not path.is_file():
        shipped = shipped_files("zoo")
        if str(manifest) not in shipped:
            raise ConfigError(
                f"no manifest {str(manifest)!r}: neither a file nor a shipped one."
                f"{did_you_mean(str(manifest), shipped)} Shipped: {', '.join(shipped)}"
            )
        path = shipped[str(manifest)]
    return from_dict(Manifest, read_mapping(path), str(path))


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
    template = group.name or manifest.name
    license = check_license(group.license or manifest.license)
    selection: dict[str, Any] = {"frames": group.frames, "resize": group.resize, "crop": group.crop}
    for video, model, size in itertools.product(group.videos, group.models or (None,), group.sizes or (None,)):
        plan = plan_fit(video, model, size=size, recipe=group.recipe, device="cpu", **selection, **group.fit)
        fit = job_of(Path(video).stem, video, plan)
        fields = {
            "video": Path(video).stem,
            "model": plan.model["name"],
            "size": plan.model.get("size"),
            "recipe": group.recipe if isinstance(group.recipe, str) else None,
            "frames": plan.video.get("frames"),
            "resize": plan.video.get("resize"),
        }
        yield Job(replace(fit, name=check_name(_filled(template, fields))), license)


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
