"""Fits of a curve of rate and quality: one for all files of a family, one for each rate, or a ladder of rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enerv_zoo.batch.comparison import plan_comparison
from enerv_zoo.config import OPEN, CompressConfig, from_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import python_numbers
from enerv_zoo.fitting.choice import at_rate, look
from enerv_zoo.fitting.plan import FitPlan, plan_fit
from enerv_zoo.nvz.quantisation import check_bits

FITS = "fits"
BITS = (8, 7, 6, 5, 4)

Target = tuple[str, float]
"""An option of `enerv_zoo.compress` that says how large a file is, and its value."""


@dataclass(frozen=True)
class RateFits:
    """Fits of one comparison, and the sizes of file that each of them is written in.

    Attributes:
        name: of the comparison's folder in that of the measurement; `"fits"`, or with the rate, `"fits/0.1bpp"`.
        models: the families, or options of each, as `enerv_zoo.compare` takes them.
        options: of all of them, as `enerv_zoo.compare` takes them.
        plans: of each fit, by its name.
        targets: of each fit's files.
        after: the comparison whose fits these begin with; `None` for fresh weights.
    """

    name: str
    models: Sequence[str] | Mapping[str, Mapping[str, Any]]
    options: dict[str, Any]
    plans: dict[str, FitPlan]
    targets: list[Target]
    after: str | None = None


def plan_rates(
    source: Any,
    models: Sequence[str],
    *,
    sizes: Sequence[str | float] | None = None,
    bits: Sequence[int] | None = None,
    bpp: Sequence[float] = (),
    fit_rates: bool = False,
    ladder: float | None = None,
    **options: Any,
) -> list[RateFits]:
    """Return the fits of `rate_distortion` in the order in which they are done; arguments are those of that.

    Raises:
        ConfigError: no file is asked for, or one of a size that is out of range; no model, or an unknown one.
    """
    targets, shared = _targets(bits, bpp), {"size": None if sizes is None else list(sizes), **options}
    if fit_rates and (bits is not None or not bpp):
        raise ConfigError("fit_rates fits a network for each rate; give bpp, such as 0.1,0.2, and no bits")
    if ladder is not None:
        _check_ladder(ladder, fit_rates, len(bpp))
    if "size" in options:
        raise ConfigError("rate_distortion takes several sizes; give sizes, such as ['0.35M', '1M']")
    if not models:
        plan_fit(source, **{key: value for key, value in options.items() if key not in ("frames_in", "seeds")})
        return []
    if not fit_rates:
        return [RateFits(FITS, models, shared, plan_comparison(source, models, **shared), targets)]
    fits: list[RateFits] = []
    entries: Sequence[str] | Mapping[str, Mapping[str, Any]] = models
    after: str | None = None
    for rate in bpp if ladder is None else sorted(bpp, reverse=True):
        own, name = {**shared, "bpp": rate}, f"{FITS}/{rate:.12g}bpp"
        plans = plan_comparison(source, entries, **own)
        fits.append(RateFits(name, entries, own, plans, [("bpp", rate)], after))
        if ladder is not None:
            if after is None:  # the highest rate, whose networks those of all others are
                entries = {plan.model["name"]: _lower_rung(source, plan, ladder) for plan in plans.values()}
            after = name
    return fits


def _check_ladder(share: float, fit_rates: bool, rates: int) -> None:
    if not fit_rates:
        raise ConfigError("a ladder is of networks fitted to a rate; add fit_rates")
    if rates < 2:
        raise ConfigError(f"a ladder has two rates or more, such as bpp 0.1,0.2; got {rates}")
    if not 0 < share <= 1:
        raise ConfigError(f"lower rates of a ladder take a part of the epochs above 0, up to 1; got {share:g}")


def _lower_rung(source: Any, highest: FitPlan, share: float) -> dict[str, Any]:
    """Return the options of a fit that goes on from another one: a part of its epochs or time, and its network.

    Raises:
        ConfigError: the fit has phases, or as `at_rate` does.
    """
    fit = highest.fit
    if fit.phases:
        raise ConfigError("the fits of a ladder have one phase each; take a recipe without phases")
    size = {}
    if highest.model.get("size") == OPEN:
        size = {"size": at_rate(highest, look(source, highest, frames=1).info).model.get("size")}
    if fit.time_budget is not None:
        return {**size, "time_budget": share * fit.time_budget}
    return {**size, "epochs": max(round(share * fit.epochs), 1)}


def _targets(bits: Sequence[int] | None, bpp: Sequence[float]) -> list[Target]:
    """Return the option of `enerv_zoo.compress` that gives each file its size.

    Raises:
        ConfigError: there is none, or one is out of range.
    """
    widths = python_numbers(list((() if bpp else BITS) if bits is None else bits))
    for width in widths:
        check_bits(width)
    for rate in bpp:
        from_dict(CompressConfig, {"bpp": rate}, "rd")
    if not widths and not bpp:
        raise ConfigError("name the bits of the weights to measure, such as 8,6,5,4, or the bits per pixel")
    return [*(("bits", width) for width in widths), *(("bpp", rate) for rate in bpp)]
