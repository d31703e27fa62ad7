"""Curves of rate and quality compared by one number (Bjontegaard, VCEG-M33)."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Literal, get_args

from enerv_zoo.errors import EnervZooError

Method = Literal["cubic", "pchip", "akima"]
Curve = Sequence[tuple[float, float]]
"""Points of (rate, quality), in any order; the higher the quality, the better."""


def bd_rate(anchor: Curve, test: Curve, method: Method = "akima") -> float:
    """Return the rate that `test` needs more than `anchor` at equal quality, in %; negative is better.

    Args:
        anchor, test: at least four points each, of positive rates and finite qualities.
        method: how points are joined: VCEG-M33's cubic fit, or a piecewise one.

    Raises:
        EnervZooError: too few or unusable points, a curve that does not rise, no common range of quality, or
            the package `bjontegaard` is missing.
    """
    first, second = _checked(anchor, "anchor"), _checked(test, "test")
    _check_overlap([q for _, q in first], [q for _, q in second], "quality")
    return _call("bd_rate", first, second, method)


def bd_quality(anchor: Curve, test: Curve, method: Method = "akima") -> float:
    """Return the quality that `test` has more than `anchor` at equal rate, such as dB of PSNR; see `bd_rate`."""
    first, second = _checked(anchor, "anchor"), _checked(test, "test")
    _check_overlap([r for r, _ in first], [r for r, _ in second], "rate")
    return _call("bd_psnr", first, second, method)


def _checked(curve: Curve, name: str) -> list[tuple[float, float]]:
    points = sorted((float(rate), float(quality)) for rate, quality in curve)
    if len(points) < 4:
        raise EnervZooError(f"the {name} curve has {len(points)} points, Bjontegaard's comparison needs at least 4")
    if not all(rate > 0 and math.isfinite(rate) and math.isfinite(quality) for rate, quality in points):
        raise EnervZooError(f"the {name} curve needs positive rates and finite qualities, got {points}")
    if any(b[0] <= a[0] or b[1] <= a[1] for a, b in itertools.pairwise(points)):
        raise EnervZooError(f"the {name} curve does not rise with its rate, so it cannot be compared; got {points}")
    return points


def _check_overlap(first: list[float], second: list[float], axis: str) -> None:
    if max(min(first), min(second)) >= min(max(first), max(second)):
        raise EnervZooError(
            f"the curves share no {axis}: {min(first):.4g} to {max(first):.4g} and {min(second):.4g} to "
            f"{max(second):.4g}; add points so that they overlap"
        )


def _call(name: str, anchor: Curve, test: Curve, method: Method) -> float:
    if method not in get_args(Method):
        raise EnervZooError(f"points are joined by {', '.join(get_args(Method))}, got {method!r}")
    try:
        import bjontegaard
    except ImportError as error:
        raise EnervZooError("comparing curves needs the package bjontegaard; install enerv-zoo[plots]") from error
    (rates, qualities), (other_rates, other_qualities) = zip(*anchor, strict=True), zip(*test, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a narrow overlap, which the caller sees in the curves
        measured = getattr(bjontegaard, name)(
            rates, qualities, other_rates, other_qualities, method=method, require_matching_points=False
        )
    return float(measured)
