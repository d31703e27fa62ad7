"""A fit, fully decided before anything is read or written: what `fit.json` records and `--resume` compares."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from enerv_zoo import __version__
from enerv_zoo.compatibility import FORMAT, SIZES, format_of, turned, upgrade
from enerv_zoo.config import OPEN, SELECTION, Colour, FitConfig, Recipe, from_dict, to_dict
from enerv_zoo.config.fit import is_adam
from enerv_zoo.errors import ConfigError, FitError, did_you_mean
from enerv_zoo.files import python_numbers
from enerv_zoo.keywords import FitOptions
from enerv_zoo.losses import Loss, check_loss
from enerv_zoo.machine import choose_device
from enerv_zoo.metrics import check_metrics
from enerv_zoo.network import Network
from enerv_zoo.optimizers import check_recipe
from enerv_zoo.parsing import read_mapping
from enerv_zoo.recipes import read_recipe
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.originals import source_name
from enerv_zoo.storage.record import COMPANIONS, FIRST_WEIGHTS, RECORD
from enerv_zoo.video.identity import digest
from enerv_zoo.video.origin import Origin
from enerv_zoo.video.selection import Selection
from enerv_zoo.video.source import ReadOptions
from enerv_zoo.zoo import Model, about, choose_model

logger = logging.getLogger(__name__)

BUDGET_LR = 2e-3
"""The rate, for one frame a step, of a fit under a time budget whose recipe names none: published rates are made for
hundreds of epochs. The same 40 s reach 27.9 dB with it, and 25.4 dB with the published 5e-4 (0.5 M, 256x144)."""

_ABSENT = object()


@dataclass(frozen=True)
class FitPlan:
    """Network, video and recipe of a fit.

    Attributes:
        source: name or absolute path of the video; `None` for arrays.
        model: the family's `name`, its `size` and keywords; or a composition (`enerv_zoo.zoo.choose_model`).
        fit: the recipe.
        video: fields of `VideoSelection`.
        device: as `enerv_zoo.machine.choose_device` returns it.
        loss: a callable of the user's own, (prediction, target) -> scalar, that `fit.loss` names; else `None`.
        contents: of the source: `sha256` and `bytes`; `None` where nobody has looked.
        mask: weights of pixels, as `fit` takes them; `None` where all are seen.
        reference: frames that are scored against, as `fit` takes them; `None` for those that are fitted.
        init_from: a fit whose weights to begin with, as `fit` takes it; `None` for fresh ones.
        timed_epochs: about so many have time, by the measurement that chose the sizes; `None` where nothing was chosen.
    """

    source: str | None
    model: dict[str, Any]
    fit: FitConfig
    video: dict[str, Any]
    device: str
    loss: Loss | None = None
    contents: dict[str, Any] | None = None
    mask: Any = None
    reference: Any = None
    init_from: Any = None
    timed_epochs: int | None = field(default=None, compare=False)

    def for_colour(self, colour: Colour) -> FitPlan:
        """Return this plan for frames of a colour: it says so where it leaves open whether HDR keeps its depth."""
        decided = "full_depth" in self.video or not colour.is_hdr
        return self if decided else replace(self, video={**self.video, "full_depth": True})

    @property
    def decisions(self) -> dict[str, Any]:
        """The fields that may be decided as the fit begins, and can be sent to other processes: a loss may not be."""
        return {"model": self.model, "fit": self.fit, "video": self.video}

    @property
    def origin(self) -> Origin:
        """The source, as far as it is known."""
        return Origin.of_record({"source": self.source, "source_contents": self.contents})

    def record(self) -> dict[str, Any]:
        """Return the contents of `fit.json`."""
        return {
            "format": FORMAT,
            "source": self.source,
            **({} if self.contents is None else {"source_contents": self.contents}),
            **{
                name: {"source": source_name(value), **(read_contents(value) or {})}
                for name in COMPANIONS
                if (value := getattr(self, name)) is not None
            },
            **({} if self.init_from is None else {FIRST_WEIGHTS: _weights_contents(self.init_from)}),
            "video": self.video,
            "model": self.model,
            "fit": to_dict(self.fit),
            "library": f"enerv-zoo {__version__}",
        }


def read_contents(source: Any) -> dict[str, Any] | None:
    """Return the hash and the size of a source's contents, as records hold them; `None` for arrays.

    Raises:
        VideoError: as `enerv_zoo.open_video` does for what cannot be found or read.
    """
    origin = Origin.read(source)
    return None if origin.digest is None else {"sha256": origin.digest, "bytes": origin.bytes}


def _weights_contents(weights: Any) -> dict[str, Any]:
    """Return the name of a fit, as records hold it, and the hash of its weights where their file is on this machine."""
    source = source_name(weights)
    if source is None:
        return {"source": None}
    file = Path(source) / WEIGHTS if Path(source).is_dir() else Path(source)
    return {"source": source, **({"sha256": digest(file)} if file.is_file() else {})}


def plan_fit(
    source: Any,
    model: Model | Network | None = None,
    *,
    size: str | float | None = None,
    model_options: dict[str, Any] | None = None,
    recipe: str | Path | dict[str, Any] | Recipe | None = None,
    device: str = "auto",
    mask: Any = None,
    reference: Any = None,
    **options: Unpack[FitOptions],
) -> FitPlan:
    """Merge what was given with the recipe and the defaults, and check it, before anything is read or written.

    The arguments and errors are those of `fit`.
    """
    fields: dict[str, Any] = dict(options)
    selection = {name: fields.pop(name, None) for name in SELECTION}
    base = read_recipe(recipe) if recipe is not None else Recipe()
    named, base = base, _for_family(base, choose_model(model, base.model)["name"])
    if base is not named and size is not None:  # it may fix widths, which leaves coarse steps
        size = about(size)
    if fields.get("bpp") is not None:  # the size follows from the rate
        base = replace(base, model={key: value for key, value in base.model.items() if key != "size"})
    choice = choose_model(model, base.model, size, model_options)
    merged = {**base.fit, **fields, **_length(fields)}
    if merged.get("time_budget") is not None:
        merged.pop("epochs", None)  # they are not used
        merged.setdefault("batch_size", None)
        merged.setdefault("lr", BUDGET_LR)
    if not is_adam(merged.get("optimizer", "adam")):
        merged.setdefault("betas", None)
    own_loss = merged.get("loss") if callable(merged.get("loss")) else None
    if own_loss is not None:
        merged["loss"] = _name_of(own_loss)
    chosen = from_dict(FitConfig, merged, "fit")
    for phase in chosen.split():
        if own_loss is None or phase.loss != chosen.loss:
            check_loss(phase.loss)
        check_recipe(phase)
    check_metrics(chosen.metrics)
    if chosen.bpp is not None and not {"size", "config"} & choice.keys():
        choice = {**choice, "size": OPEN}
    unknown = sorted(base.video.keys() - selection.keys())
    if unknown:
        raise ConfigError(
            f"recipe: the video has no option {unknown[0]!r}.{did_you_mean(unknown[0], selection)} "
            f"Its options: {', '.join(selection)}"
        )
    video = python_numbers({**base.video, **{key: value for key, value in selection.items() if value is not None}})
    if isinstance(frames := video.get("frames"), slice):  # as records hold it
        video["frames"] = str(Selection.of(frames))
    for name in ("square_pixels", "deinterlace", "full_depth", "tone_map"):
        if not isinstance(video.get(name, False), bool):
            raise ConfigError(f"{name} is true or false, got {video[name]!r:.80}")
    ReadOptions(stream=video.get("stream"), matrix=video.get("matrix"))  # refuses what is none
    return FitPlan(source_name(source), choice, chosen, video, choose_device(device), own_loss, None, mask, reference)


def _for_family(recipe: Recipe, family: str, *before: str) -> Recipe:
    """Return the recipe that another one names for a family, or that one in turn; time, frames and about the size stay.

    Raises:
        ConfigError: one of the recipes that named it (`before`) is named.
    """
    names = {"any": recipe.others} if isinstance(recipe.others, str) else recipe.others or {}
    name = names.get(family, names.get("any"))
    if name is None or family == recipe.model.get("name"):
        return recipe
    if name in before:
        raise ConfigError(f"the 'others' of the recipes {', '.join(before)} lead back to {name} for {family}; mend one")
    other = _for_family(read_recipe(name), family, *before, name)
    model = {"size": about(recipe.model["size"])} if "size" in recipe.model else {}
    fit = {key: recipe.fit[key] for key in ("time_budget",) if recipe.fit.get(key) is not None}
    return replace(other, model={**other.model, **model}, fit={**other.fit, **fit}, video=recipe.video)


def is_open(plan: FitPlan) -> bool:
    """Return whether the plan leaves the size of frames or of the network open."""
    return OPEN in (plan.model.get("size"), plan.video.get("resize"))


def depends_on_speed(plan: FitPlan) -> bool:
    """Return whether what a plan leaves open depends on how fast the machine is: all but a size that suits a rate."""
    return plan.video.get("resize") == OPEN or (plan.fit.bpp is None and is_open(plan))


def default_recipe(recipe: Any, model: Any, model_options: Mapping[str, Any] | None, begun: Path | None = None) -> Any:
    """Return the recipe of one fit: the one that is given, or `auto` where nothing names a network.

    Args:
        recipe, model, model_options: as `fit` takes them.
        begun: the folder of a fit to go on with; one that was begun before `auto` was the default goes on as it is.
    """
    if recipe is not None or model is not None or model_options:
        return recipe
    if begun is not None and (begun / RECORD).is_file():
        before = read_mapping(begun / RECORD).get("model")
        if not isinstance(before, Mapping) or before.get("name") != read_recipe(OPEN).model["name"]:
            return None
    return OPEN


def _name_of(loss: Loss) -> str:
    """Return the name under which a record lists a callable of the user's own.

    Raises:
        ConfigError: it is a class.
    """
    if isinstance(loss, type):
        raise ConfigError(f"the loss is the class {loss.__name__}; give an object of it: loss={loss.__name__}()")
    function = getattr(loss, "func", loss)  # of a functools.partial
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _length(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's fields with the length of the fit replaced: epochs replace its time budget.

    Raises:
        ConfigError: both are given.
    """
    epochs, seconds = options.get("epochs"), options.get("time_budget")
    if epochs is not None and seconds is not None:
        raise ConfigError(
            f"a fit takes epochs or a time budget, got epochs={epochs} and time_budget={seconds}; give one of them"
        )
    return {} if epochs is None else {"time_budget": None}


def check_record(folder: Path, plan: FitPlan, has_ended: bool = False) -> FitPlan:
    """Refuse to take a folder's fit for one that was decided otherwise.

    Args:
        folder: the fit's.
        plan: what was asked for.
        has_ended: whether the fit has ended: the plan may then have more epochs or phases.

    Returns:
        The plan, with the batch that was chosen then where it leaves that open, and the frames of then where the record
        is of format 1. More epochs are a phase of their own.

    Raises:
        FitError: says what differs.
    """
    before = read_mapping(folder / RECORD)
    plan = as_begun(plan, before, str(folder))
    undecided = ("batch_size", "lr") if plan.fit.batch_size is None else ()
    unused = ("epochs",) if plan.fit.time_budget is not None else ()
    recorded = {key: before["fit"][key] for key in (*undecided, *unused) if key in before.get("fit", {})}
    if recorded:
        plan = replace(plan, fit=from_dict(FitConfig, {**to_dict(plan.fit), **recorded}))
    if (longer := _continued(plan.fit, before.get("fit", {}), has_ended)) is not None:
        plan = replace(plan, fit=longer)
        before = {**before, "fit": to_dict(longer)}
    if (other := difference(before, plan.record())) is not None:
        raise FitError(
            f"{folder}: holds a fit with another {other}. "
            "Repeat the command as it was, choose another --out, or delete the folder"
        )
    return plan


def _continued(planned: FitConfig, record: Mapping[str, Any], has_ended: bool) -> FitConfig | None:
    """Return how a recorded fit goes on to what is planned; `None` where that is the same fit, or another one."""
    fit = from_dict(FitConfig, record, "fit")
    if planned == fit or planned.time_budget is not None:
        return None
    if planned.phases in ((), fit.phases) and replace(planned, epochs=fit.epochs, phases=fit.phases) == fit:
        more = planned.total_epochs - fit.total_epochs
        if more == 0:
            return fit
        return replace(fit, phases=(*fit.phases, {"epochs": more})) if more > 0 and has_ended else None
    begun = fit.split()
    return planned if has_ended and planned.split()[: len(begun)] == begun else None


def as_begun(plan: FitPlan, before: Mapping[str, Any], where: str) -> FitPlan:
    """A plan to go on with a fit: what it leaves open is as it was when the fit was begun, and what a record of format
    1 means otherwise.

    Its pixels were made square, and the command that is repeated may have its sizes in the old order, or name a preset
    whose size has changed since.

    Args:
        plan: that was made now.
        before: the record, as it was read.
        where: it is.
    """
    old = before.get("video") or {}
    if not isinstance(old, Mapping):
        return plan
    model = _settled(plan.model, before.get("model") or {}, "size")
    depth = {key: old[key] for key in ("full_depth",) if key in old and key not in plan.video}
    plan = replace(plan, model=model, video={**_settled(plan.video, old, "resize"), **depth})
    if format_of(before, where) == FORMAT:
        return plan
    video = {"square_pixels": True, **plan.video}
    for key in SIZES:
        size = video.get(key)
        preset = key == "resize" and isinstance(size, str) and size.lower().endswith("mp")
        if key in old and size != turned(old[key]) and (size == old[key] or preset):
            video[key] = turned(old[key])
            logger.info("%s: %s is %s (WIDTHxHEIGHT), as the fit was begun", where, key, video[key])
    return replace(plan, video=video)


def _settled(now: dict[str, Any], before: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return options, of which one that is open has the value of a record, or none as there."""
    if now.get(key) != OPEN:
        return now
    others = {name: value for name, value in now.items() if name != key}
    return {**others, key: before[key]} if key in before else others


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first thing that two records of fits do not agree on, and how; `None` where they say the same.

    Args:
        before: as it was read; a record of format 1 is compared in the present format.
        now: what a plan, or a job in segments, would record.
    """
    before = upgrade(before, fitted=True)
    companions = {key: now.get(key) for key in COMPANIONS if key in before}
    for key, value in json.loads(json.dumps({**now, **companions})).items():
        if key in ("library", FIRST_WEIGHTS):
            continue  # any version goes on with a fit, and needs the weights that it began with no more
        if key in COMPANIONS and (before.get(key) or {}).get("sha256") == (value or {}).get("sha256"):
            continue  # by whatever name
        if key == "source_contents" and before.get(key) is None:
            continue  # records have it since 0.1.0
        if key == "source_contents" and before[key] != value:
            return "video: the contents of its source have changed since"
        if before.get(key) != value:
            return f"{'recipe' if key == 'fit' else key}: {', '.join(_changes(before.get(key), value))}"
    return None


def _changes(before: Any, now: Any, name: str = "it") -> list[str]:
    """Return the differences: of mappings only those, under the names of their keys."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        was, is_now = ("not given" if value is _ABSENT else repr(value) for value in (before, now))
        return [f"{name} was {was}, now it is {is_now}"]
    changes = []
    for key in {**before, **now}:
        pair = (before.get(key, _ABSENT), now.get(key, _ABSENT))
        if pair[0] != pair[1]:
            changes += _changes(*pair, key if name == "it" else f"{name}.{key}")
    return changes
