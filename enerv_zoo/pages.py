"""HTML pages of templates and files that lie beside them."""

from __future__ import annotations

import base64
import functools
import hashlib
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from email.message import Message

    from jinja2 import Template

HOST = "127.0.0.1"
"""The address of this machine for itself, on which pages are served."""


def is_for_this_machine(headers: Message) -> bool:
    """Return whether a request names this machine; another name of it is another site's, which reads nothing."""
    return urlsplit(f"//{headers.get('Host', '')}").hostname in (HOST, "localhost")


class QuietServer(ThreadingHTTPServer):
    """A server whose threads end with it, and that says nothing of browsers that hang up or ask for nonsense."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave out a request that failed."""


def asset(path: Path) -> Any:
    """Return a file of this package as text that is put into a page as it is."""
    from markupsafe import Markup

    return Markup(path.read_text(encoding="utf-8"))


def script_source(script: str) -> str:
    """Return the source by which a page's content security policy allows a script within it, and no other one."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@functools.cache
def template(path: Path) -> Template:
    """Return a page's template; what is put into it is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(path.read_text(encoding="utf-8"))
