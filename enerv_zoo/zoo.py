"""Lists of families and parts, and networks from them: `list_models`, `list_components`, `create_model`, budgets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enerv_zoo.compatibility import read_model
from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import OPEN, Spec, VideoInfo, from_dict, to_dict
from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.files import python_numbers
from enerv_zoo.parsing import read_mapping
from enerv_zoo.registry import COMPONENTS, models

if TYPE_CHECKING:
    from enerv_zoo.network import Network
    from enerv_zoo.neural_video import NeuralVideo

TOLERANCE = 0.02
"""Largest difference of the stored parameters from their budget, as a fraction of it."""

NEAR = 0.1
"""The same of a size that is written with a tilde, as `"~0.5M"`."""

LARGEST = 1e4
"""Largest factor on the default widths: a budget of 10^11 does not take more."""

STEPS = 24
"""Largest number of steps of one width alone to meet a budget."""


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the families that match a shell-style wildcard, sorted: `list_models("enerv*")`.

    Args:
        pattern: a wildcard as in a shell; all families by default.
    """
    return models.names(pattern)


def list_components(kind: str, pattern: str = "*") -> list[str]:
    """Return the names of the parts of a kind (`"block"`, `"loss"`, ...) that match a wildcard, sorted.

    Args:
        kind: a registry's kind, such as `"block"`, `"loss"`, `"metric"` or `"anchor"`.
        pattern: a wildcard as in a shell; all parts by default.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in COMPONENTS:
        kinds = ", ".join(COMPONENTS)
        raise ConfigError(f"no kind of part is called {kind!r}.{did_you_mean(kind, COMPONENTS)} There are: {kinds}")
    return COMPONENTS[kind].names(pattern)


def parse_parameter_count(size: str | float) -> int:
    """Return a budget of stored parameters: `"1.5M"`, `"350K"`, `"~0.5M"`, `1_500_000`.

    Raises:
        ConfigError: it is no positive number.
    """
    match = re.fullmatch(r"\s*~?([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([kmg]?)\s*", str(size), re.IGNORECASE)
    number = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match[2].lower()] if match else 0
    if not 1 <= number <= 1e11:
        raise ConfigError(f"a size is a number of stored parameters such as '1.5M' or '350K', got {size!r}")
    return round(number)


def tolerance(size: str | float) -> float:
    """Return how far the stored parameters may be from a size, as a fraction of it."""
    return NEAR if str(size).lstrip().startswith("~") else TOLERANCE


def about(size: str | float) -> str:
    """Return a size with a tilde; one that is left open stays so.

    Raises:
        ConfigError: it is no positive number.
    """
    if size == OPEN:
        return OPEN
    parse_parameter_count(size)  # refuses it as it was given
    return str(size).strip() if tolerance(size) == NEAR else f"~{str(size).strip()}"


def model_config(name: str, info: VideoInfo, *, size: str | float | None = None, **options: Any) -> ModelConfig:
    """Return the composition that a family makes for a video.

    Args:
        name: of the family.
        info: the video.
        size: budget of stored parameters; the family's widths are scaled to within 2 % of it, or of `"~0.5M"`, to
            the nearest within 10 %. Widths given as options stay as they are.
        options: the family's keywords.

    Raises:
        ConfigError: unknown family or option, or a budget that the family cannot meet.
    """
    options = models.check_options(name, options)
    if size is None:
        return _config(name, info, options)
    budget = _Budget(name, info, parse_parameter_count(size), options)
    return budget.config(**budget.solve(tolerance(size)))


def _config(name: str, info: VideoInfo, options: Spec) -> ModelConfig:
    try:
        return from_dict(ModelConfig, dict(vars(models.get(name)(info, **options))))
    except ConfigError:
        raise
    except Exception as error:  # whatever a family's code makes of such options
        reason = str(error) or type(error).__name__
        raise ConfigError(f"model {name!r} cannot be made with {options!r}: {reason}") from error


def nearest_size(choice: Spec, info: VideoInfo) -> str | int | None:
    """Return the size of a choice (`choose_model`), or the nearest one that its family has for a video.

    Returns:
        The size as it is, or a number of stored parameters; `None` where no width is left to scale.

    Raises:
        ConfigError: unknown family or option.
    """
    options = dict(choice)
    name, size = options.pop("name"), options.pop("size")
    budget = _Budget(name, info, parse_parameter_count(size), models.check_options(name, options))
    if not budget.widths:
        return None
    nearest = budget.nearest()
    return size if budget.miss(nearest) <= tolerance(size) else budget.count(nearest)


Model = str | Path | Mapping[str, Any] | ModelConfig
"""A choice of a network: a family, a YAML or JSON file, plain data, or a composition."""


def choose_model(
    model: Model | Network | None, default: Spec, size: str | float | None = None, options: Spec | None = None
) -> Spec:
    """Return the choice of a network as plain data, as recipes and `fit.json` hold it.

    Args:
        model: a family's name; a `ModelConfig`, its plain data, a YAML or JSON file of them, or a network whose
            composition it is; or plain data as they are returned. `None` leaves the default.
        default: the choice of a recipe; of another family than `model`, its size alone counts.
        size: budget of stored parameters.
        options: the family's keywords.

    Returns:
        `{"name": family, "size": ..., <keyword>: ...}`, or `{"name": family, "config": {...}}` for a composition.

    Raises:
        ConfigError: it is none of these, or size or options are given for a composition, which leaves nothing open.
    """
    choice = _as_choice(model, default)
    changes = python_numbers({**(options or {}), **({} if size is None else {"size": size})})
    if "config" in choice and changes:
        raise ConfigError(f"a composition leaves nothing open; {next(iter(changes))!r} is an option of families")
    return {**choice, **changes}


def _as_choice(model: Any, default: Spec) -> Spec:
    if model is None:
        return dict(default)
    if isinstance(model, str) and Path(model).suffix not in (".yaml", ".yml", ".json"):
        same = model == default.get("name") and "config" not in default
        return dict(default) if same else {"name": model, **({"size": default["size"]} if "size" in default else {})}
    if isinstance(model, (str, Path)):
        data: Any = read_mapping(model)
    elif isinstance(model, Mapping):
        data = dict(model)
    else:
        data = getattr(model, "config", model)
    if isinstance(data, dict) and "join" not in data and isinstance(data.get("name"), str):
        return data
    config = data if isinstance(data, ModelConfig) else read_model(data, str(model) if isinstance(model, str) else "")
    return {"name": config.family, "config": to_dict(config)}


def check_choice(choice: Spec) -> None:
    """Refuse a choice (`choose_model`) that can mean no network, whatever the video.

    Raises:
        ConfigError: a family, a size, an option or a composition that there is not.
    """
    options = dict(choice)
    name, size = options.pop("name", None), options.pop("size", None)
    if "config" in options:
        read_model(options["config"], f"model {name!r}")
        return
    if not isinstance(name, str):
        raise ConfigError(f"a model needs a name: got {choice!r:.80}, expected {{'name': 'enerv', options}}")
    models.check_options(name, options)
    if size not in (None, OPEN):
        parse_parameter_count(size)


def chosen_config(choice: Spec, info: VideoInfo) -> ModelConfig:
    """Return the composition that a choice (`choose_model`) means for a video.

    Raises:
        ConfigError: as `model_config` does, or a composition that is none.
    """
    check_choice(choice)
    options = dict(choice)
    name = options.pop("name")
    return read_model(options["config"]) if "config" in options else model_config(name, info, **options)


def create_model(
    name: str,
    *,
    frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    info: VideoInfo | None = None,
    size: str | float | None = None,
    seed: int = 0,
    **options: Any,
) -> NeuralVideo:
    """Make an unfitted network: `create_model("enerv", frames=132, height=720, width=1280, size="3M")`.

    Args:
        name: of the family; see `list_models()`.
        frames, height, width: of the video; or `info`, which says more. Beside `info` they are the family's keywords,
            of which PCA-NeRV has `width`.
        size: budget of stored parameters (within 2 %).
        options: the family's keywords (`fc_dim=196`, ...), which have the authors' names.
        seed: of the initial weights.

    Raises:
        ConfigError: unknown family or option, a budget that cannot be met, parts that do not fit together.
    """
    from enerv_zoo.neural_video import NeuralVideo

    named = {"frames": frames, "height": height, "width": width}
    sizes = {key: value for key, value in named.items() if value is not None}
    if info is None:
        info = from_dict(VideoInfo, sizes)
    else:
        options |= sizes
    return NeuralVideo.seeded(model_config(name, info, size=size, **options), info, seed)


def _stepped(width: Any, step: int) -> Any:
    if isinstance(width, list):
        return [*width[:-1], _stepped(width[-1], step)] if width else width
    return max(width + step, 1)


class _Budget:
    """Scales a family's widths until the stored parameters meet a budget."""

    def __init__(self, name: str, info: VideoInfo, budget: int, options: dict[str, Any]) -> None:
        self.name, self.info, self.budget = name, info, budget
        for_budget = getattr(models.get(name), "for_budget", None)
        chosen = {} if for_budget is None else for_budget(info, budget, options)
        first = {key: p.default for key, p in models.options(name).items()} | chosen
        widths = getattr(models.get(name), "widths", ())
        self.widths = {key: first[key] for key in widths if key not in options}
        self.options = {**options, **{key: value for key, value in chosen.items() if key not in widths}}
        self.counts: dict[str, int] = {}

    def config(self, **widths: Any) -> ModelConfig:
        """Return the composition of the family with some widths."""
        return _config(self.name, self.info, {**self.options, **widths})

    def solve(self, tolerance: float) -> dict[str, Any]:
        """Return widths whose network meets the budget.

        Raises:
            ConfigError: there are none, or no width is left to scale.
        """
        if not self.widths:
            widths = ", ".join(getattr(models.get(self.name), "widths", ()))
            raise ConfigError(f"model {self.name!r} has no width left to scale; drop the size or one of {widths}")
        best = self.nearest()
        if self.miss(best) <= tolerance:
            return best
        raise ConfigError(
            f"model {self.name!r} for {self.info.size_text} cannot have {self.budget:,} stored parameters; "
            f"the nearest is {self.count(best):,}. Choose that size ({self.count(best)}), or set the widths yourself"
        )

    def nearest(self) -> dict[str, Any]:
        """Return the widths whose network comes nearest to the budget.

        All are scaled alike, then one or the other is moved by steps. Where that is too coarse (a channel of a grid can
        be a tenth of the budget), the most important ones stay below the budget and the others are scaled up to it.
        """
        fixed: dict[str, Any] = {}
        best: dict[str, Any] | None = None
        for key in self.widths:
            below, above = self.bracketed(fixed)
            for widths in (self.refined(below, 1), self.refined(above, -1)):
                if best is None or self.miss(widths) < self.miss(best):
                    best = widths
                if self.miss(best) <= TOLERANCE:
                    return best
            fixed[key] = below[key]
        assert best is not None
        return best

    def bracketed(self, fixed: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return widths just below and just above the budget; those that are not fixed are scaled alike."""

        def widths(factor: float) -> dict[str, Any]:
            return {**self.scaled(factor), **fixed}

        low, high = 1e-3, 1.0
        while self.count(widths(high)) < self.budget and high < LARGEST:
            low, high = high, high * 2
        for _ in range(30):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self.count(widths(middle)) < self.budget else (low, middle)
        return widths(low), widths(high)

    def miss(self, widths: dict[str, Any]) -> float:
        """Return the distance of widths from the budget, as a fraction of it."""
        return abs(self.count(widths) - self.budget) / self.budget

    def refined(self, widths: dict[str, Any], step: int) -> dict[str, Any]:
        """Come nearer to the budget by steps of one width alone, where a step of all of them is too coarse.

        A floor that is raised does nothing until it passes the narrowest stage, so steps without effect are taken.
        """
        best = widths
        for key in self.widths:
            moved = best
            for _ in range(STEPS):
                if self.miss(best) <= TOLERANCE / 4:
                    return best
                moved = {**moved, key: _stepped(moved[key], step)}
                if step * (self.count(moved) - self.budget) > TOLERANCE * self.budget:
                    break
                if self.miss(moved) < self.miss(best):
                    best = moved
        return best

    def scaled(self, factor: float) -> dict[str, Any]:
        def scale(width: Any) -> Any:
            return [scale(w) for w in width] if isinstance(width, (tuple, list)) else max(round(width * factor), 1)

        return {key: scale(width) for key, width in self.widths.items()}

    def count(self, widths: dict[str, Any]) -> int:
        """Count the stored parameters on shapes alone, once per widths."""
        key = repr(widths)
        if key not in self.counts:
            parts = tuple(registry.registered() for registry in COMPONENTS.values())
            config = self.config(**widths)
            self.counts[key] = _stored_numbers(_Composed(repr((config, self.info)), parts, config, self.info))
        return self.counts[key]


@dataclass(frozen=True)
class _Composed:
    """A composition for a video: the same as another one if they read alike and the same parts are registered."""

    text: str
    parts: tuple[Any, ...]
    config: ModelConfig = field(compare=False)
    info: VideoInfo = field(compare=False)


@lru_cache(maxsize=1024)
def _stored_numbers(composed: _Composed) -> int:
    from enerv_zoo.meta import MetaParameters
    from enerv_zoo.network import Network

    with MetaParameters():
        return Network(composed.config, composed.info).stored_numbers
