"""A folder of files on this machine's own address, for its own browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from enerv_zoo.errors import ConfigError
from enerv_zoo.pages import HOST, QuietServer, is_for_this_machine


class _Handler(SimpleHTTPRequestHandler):
    """Serve files, with the types that browsers insist on, and say nothing."""

    extensions_map = {  # noqa: RUF012
        ".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm", "": "application/octet-stream",
    }  # fmt: skip

    def send_head(self) -> Any:
        """Answer to this machine's names alone."""
        if is_for_this_machine(self.headers):
            return super().send_head()
        self.send_error(403)
        return None

    def end_headers(self) -> None:
        """Let nobody but the page itself read the files."""
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *values: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve a folder while the block runs; the value is its address.

    Args:
        folder: the folder.
        port: of this machine; 0 for one that is free.

    Raises:
        ConfigError: the port is taken, or may not be used.
    """
    try:
        server = QuietServer((HOST, port), partial(_Handler, directory=str(folder)))
    except (OSError, OverflowError) as error:
        raise ConfigError(f"port {port} of {HOST} cannot be used ({error}); choose another, or 0") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
