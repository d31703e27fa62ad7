"""What makes a function a family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from enerv_zoo.registry import models

Function = TypeVar("Function", bound=Callable[..., Any])


def family(name: str, widths: Sequence[str]) -> Callable[[Function], Function]:
    """Decorator that registers a family and says which options a size budget scales.

    Args:
        name: of the family.
        widths: its integer options (or lists of integers) that scale together, the most important first: in that order
            they are also moved one by one, where a step of all of them is too coarse.
    """

    def decorate(function: Function) -> Function:
        function.widths = tuple(widths)  # type: ignore[attr-defined]
        return models.register(name)(function)

    return decorate
