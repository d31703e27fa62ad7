"""Parts as plain data: a name, or a name with options."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from typing import Any

from pydantic import PlainValidator

Spec = dict[str, Any]
"""A part: its `name` and its options."""

PartSpec = str | dict[str, Any]
"""A part by its name, or as a spec of its name and options."""

LossSpec = str | dict[str, Any]
"""A loss as plain data: a name, a spec of a name and options, or the weights of terms; see `enerv_zoo.losses`."""

MetricSpec = str | dict[str, Any]
"""A metric as plain data: a name, or a spec of a name and options; see `enerv_zoo.metrics`."""

MAX_SPEC = 1 << 16
"""Characters of a loss, or of another part of a recipe, as JSON; what is longer comes from no one who wrote it."""


def _as_json(kind: str, value: Any) -> Any:
    """Return a value as JSON has it, if that can hold it and is not too long."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"the {kind} holds more than finite numbers and texts: {reprlib.repr(value)}") from None
    if len(text) > MAX_SPEC:
        raise ValueError(f"the {kind} takes {len(text)} characters, expected {MAX_SPEC} at most")
    return json.loads(text)


def check_part(kind: str, example: str) -> PlainValidator:
    """Return a validator of the form of a part; name and options are checked where it is built."""

    def check(value: Any) -> PartSpec:
        plain = _as_json(kind, value)
        if not (isinstance(plain, str) or (isinstance(plain, dict) and isinstance(plain.get("name"), str))):
            raise ValueError(f"the {kind} is a name, or a name with options ({example}), got {reprlib.repr(value)}")
        return plain

    return PlainValidator(check)


def as_spec(part: PartSpec) -> Spec:
    """Return a part, a name or a spec, as a new spec."""
    return {"name": part} if isinstance(part, str) else dict(part)


def check_loss(loss: Any) -> LossSpec:
    """Return a loss as JSON has it, if it has the form of one; names and options are checked where it is built."""
    plain = _as_json("loss", loss)
    if not isinstance(loss, str) and not (isinstance(loss, dict) and loss and _names_or_weighs(loss)):
        raise ValueError(
            "a loss is a name (Fusion6), a name with options ({name: charbonnier, eps: 1e-3}) or weights of terms "
            f"({{L1: 0.7, SSIM: 0.3}}), got {reprlib.repr(loss)}"
        )
    return plain


def _names_or_weighs(loss: Mapping[Any, Any]) -> bool:
    if not all(isinstance(key, str) for key in loss):
        return False
    weights = (term.get("weight") if isinstance(term, dict) else term for term in loss.values())
    return isinstance(loss.get("name"), str) or all(
        isinstance(weight, int | float) and not isinstance(weight, bool) for weight in weights
    )
