"""Decorator that registers families."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from enerv_zoo.config import VideoInfo
from enerv_zoo.registry import models

Function = TypeVar("Function", bound=Callable[..., Any])


ForBudget = Callable[[VideoInfo, int, Mapping[str, Any]], dict[str, Any]]
"""(video, budget of stored parameters, options that are given) -> options that the budget asks for. Those of them that
are widths are what scaling begins with, in place of the defaults."""


def family(name: str, widths: Sequence[str], for_budget: ForBudget | None = None) -> Callable[[Function], Function]:
    """Decorator that registers a family and says which options a size budget scales.

    Args:
        name: of the family.
        widths: its integer options (or lists of integers) that scale together, the most important first: in that order
            they are also moved one by one, where a step of all of them is too coarse.
        for_budget: chooses other options under a budget, and widths to begin with, before widths are scaled.
    """

    def decorate(function: Function) -> Function:
        function.widths = tuple(widths)  # type: ignore[attr-defined]
        function.for_budget = for_budget  # type: ignore[attr-defined]
        return models.register(name)(function)

    return decorate
