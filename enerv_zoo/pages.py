"""HTML pages of templates and files that lie beside them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


def asset(path: Path) -> Any:
    """Return a file of this package as text that is put into a page as it is."""
    from markupsafe import Markup

    return Markup(path.read_text(encoding="utf-8"))


@functools.cache
def template(path: Path) -> Template:
    """Return a page's template; what is put into it is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(path.read_text(encoding="utf-8"))
