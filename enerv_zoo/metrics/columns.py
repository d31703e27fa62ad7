"""Scores in tables, files and pages: which of plain data are scores, what they are called, which one is better.

Files hold a metric's score under its name, and why it is missing under `<name>_missing`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from enerv_zoo.errors import ConfigError
from enerv_zoo.metrics.contract import Better, Scope
from enerv_zoo.registry import metrics
from enerv_zoo.tables import Field

MISSING = "_missing"
PLACE = "_at"
"""End of the name under which files have where in a frame a score is from, `[x, y]`."""
SEEN, HIDDEN, FITTED, UNSEEN = "_seen", "_hidden", "_fitted", "_unseen"
PARTS = {SEEN: "seen pixels", HIDDEN: "hidden pixels", FITTED: "fitted frames", UNSEEN: "unseen frames"}
"""Endings of the names of scores of a part alone, and what they are called."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Column:
    """A metric in tables, files and pages.

    Attributes:
        name: of the metric, and of the column in files.
        unit, better, scope: as the metric declares them; the defaults are for one that is not installed here.
    """

    name: str
    unit: str = ""
    better: Better = "higher"
    scope: Scope = "frame"

    @property
    def label(self) -> str:
        """The name for people, such as `"MS-SSIM"`."""
        name, part = split_name(self.name)
        return f"{Column(name).label}, {PARTS[part]}" if part else name.replace("_", "-").upper()

    @property
    def heading(self) -> str:
        """The label with the unit, such as `"PSNR (dB)"`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def digits(self) -> int:
        """Decimals that are shown: 2 of a quantity with a unit, 4 of a plain number."""
        return 2 if self.unit else 4

    @property
    def field(self) -> Field:
        """The column as a table has it."""
        return Field(self.name, self.heading, self.number)

    def number(self, value: float | None) -> str:
        """Return a score without its unit; n/a where there is none."""
        return "n/a" if value is None else f"{value:,.{self.digits}f}"

    def text(self, value: float | None) -> str:
        """Return a score with its unit; n/a where there is none."""
        return "n/a" if value is None else f"{self.number(value)} {self.unit}".rstrip()

    def change(self, value: float | None) -> str:
        """Return a difference of two scores, with its sign and unit; n/a where there is none."""
        return "n/a" if value is None else f"{value:+,.{self.digits}f} {self.unit}".rstrip()

    def gain(self, value: float) -> float:
        """Return the score, or minus the score where lower is better: the higher, the better."""
        return value if self.better == "higher" else -value

    def rank(self, value: float | None) -> float:
        """Return a key that sorts scores from the best to the worst, and missing ones behind all."""
        return math.inf if value is None else -self.gain(value)


def column(name: str) -> Column:
    """Return the column of a metric, as it declares itself; one that is not installed is shown as a plain number.

    Raises:
        ConfigError: the metric declares something else than the contract has.
    """
    base, of_part = split_name(name)
    if of_part:
        return replace(column(base), name=name)
    if base not in metrics.names():
        return Column(name)
    part: Any = metrics.get(name)
    declared: dict[str, Any] = {key: getattr(part, key, None) for key in ("unit", "better", "scope")}
    for key, legal in (("better", get_args(Better)), ("scope", get_args(Scope))):
        if declared[key] not in legal:
            raise ConfigError(f"metric {name!r}: `{key}` is {declared[key]!r:.40}, expected {' or '.join(legal)}")
    if not isinstance(declared["unit"], str):
        raise ConfigError(f"metric {name!r}: `unit` is {declared['unit']!r:.40}, expected a text such as 'dB' or ''")
    return Column(name, **declared)


def columns(data: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of rows of plain data, in the order of their first mention; the first one leads."""
    return [column(name) for name in dict.fromkeys(name for row in data for name in names_in(row))]


def names_in(data: Mapping[str, Any]) -> list[str]:
    """Return names of metrics in data such as `metrics.json`: those installed, and those with a `<name>_missing`."""
    names = set(installed_in(data))
    return [name for name in data if name in names or (is_name(name) and name + MISSING in data)]


def installed_in(data: Mapping[str, Any]) -> list[str]:
    """Return the names of metrics in plain data that are installed here: of untrusted data, no others are shown."""
    names = set(metrics.names())
    return [name for name in data if split_name(name)[0] in names and is_name(name)]


def split_name(name: str) -> tuple[str, str]:
    """Return the metric of a score's name, and the ending that says of which part it is; `""` of all."""
    if name not in metrics.names():
        for part in PARTS:
            if name.endswith(part):
                return name.removesuffix(part), part
    return name, ""


def flat(scores: Mapping[str, float | None], missing: Mapping[str, str]) -> dict[str, Any]:
    """Scores as files have them, each with the reason why it is missing, or `None`."""
    return {key: value for name in scores for key, value in ((name, scores[name]), (name + MISSING, missing.get(name)))}


def is_name(name: Any) -> bool:
    """Return whether something can be a metric's name: lower-case letters, digits and underscores, 40 at most."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and not name.endswith(MISSING)
