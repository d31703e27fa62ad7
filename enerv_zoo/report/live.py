"""Live page of a fit: a server on this machine, for as long as the fit runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from torch import Tensor

from enerv_zoo import __version__
from enerv_zoo.fitting.callbacks import Callback
from enerv_zoo.fitting.history import History, read_history
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.fitting.time_lapse import decoded
from enerv_zoo.metrics.columns import column
from enerv_zoo.pages import HOST, QuietServer, asset, is_for_this_machine, template
from enerv_zoo.pixels import as_bytes
from enerv_zoo.progress import Stage, Status
from enerv_zoo.report.collecting import HISTORY_KEYS
from enerv_zoo.report.page import HERE
from enerv_zoo.video.encoders import encode_png

PORT = 8765
"""The port of a live page, so that its address is known; where it is taken, another one."""

PICTURE_INTERVAL = 0.5
"""Seconds between two pictures, at least."""

PATIENCE, SENDING = 3.0, 60.0
"""Seconds that a page which is open in a browser has to ask for the end of a fit, and that sending it may take."""

HTML, JSON, PNG = "text/html; charset=utf-8", "application/json", "image/png"


class LivePage(Callback):
    """Serves a page of a fit while it runs: one frame as it sharpens, and the curves of PSNR and loss.

        with ez.LivePage("bunny") as page:
            print(page.address)
            ez.fit("bunny", callbacks=[page])

    The page is served on 127.0.0.1 alone, by a thread of this process, until the block ends. Of several processes,
    rank 0 serves.

    Args:
        title: of the page.
        folder: of the fit, whose history a fit that is resumed begins with.
        frame: which frame of the video; by default the one in the middle of those that are fitted.
        port: of the server; by default 8765, or another one where that is taken.

    Attributes:
        address: of the page, once the block is entered.
    """

    def __init__(
        self, title: str = "fit", folder: str | Path | None = None, frame: int | None = None, port: int | None = None
    ) -> None:
        self.title, self.folder, self.frame = title, folder, frame
        self.port = port
        self._state: dict[str, Any] = {
            "line": "starting", "progress": None, "scores": "", "picture": -1, "caption": "", "history": [],
            "ended": False, "report": False,
        }  # fmt: skip
        self._history = History(None)
        self._files: dict[str, bytes] = {}
        self._report: Path | None = None
        self._last_picture = self._last_poll = -1e9
        self._is_asked, self._is_delivered = threading.Event(), threading.Event()

    def __enter__(self) -> Self:
        self._server = _server(self, self.port)
        self.address = f"http://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="live page", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._state["ended"] = True
        if error is None and time.monotonic() - self._last_poll < PATIENCE and self._is_asked.wait(PATIENCE):
            self._is_delivered.wait(SENDING)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def show(self, report: Stage | Status) -> None:
        """Show a stage or a status on the page: a listener of `enerv_zoo.progress.reported_to`."""
        self._state |= {"line": report.line, "progress": report.progress}

    def end_with(self, report: Path | None) -> None:
        """Let the page become the report of the fit, a file, in the end."""
        self._report = report
        self._state["report"] = report is not None

    # ------------------------------------------------------------------ the fit

    def on_phase(self, fitter: Fitter) -> None:
        """Show the original's frame, and what the network decodes before its first step."""
        if not fitter.ranks.first:
            return
        fitted = fitter.loader.fitted  # of frames that are held out, there is no original
        self._index = int(fitted[len(fitted) // 2]) if self.frame is None else self.frame
        self._files["/original.png"] = _png(as_bytes(fitter.loader.frames[self._index]))
        if self.folder is not None and fitter.current_epoch > 1:
            self._history.rows = [row for row in read_history(self.folder) if row["epoch"] < fitter.current_epoch]
            self._show_history()
        self._show_picture(fitter, fitter.current_epoch - 1)

    def on_epoch(self, fitter: Fitter, row: dict[str, Any]) -> None:
        """Add a point to the curves, and decode the frame."""
        self._history.on_epoch(fitter, row)
        self._show_history()
        if fitter.ranks.first and time.monotonic() - self._last_picture >= PICTURE_INTERVAL:
            self._show_picture(fitter, row["epoch"])

    def _show_history(self) -> None:
        self._state["history"] = [{key: row.get(key) for key in HISTORY_KEYS} for row in self._history.rows]

    def on_evaluation(self, fitter: Fitter, scores: Any) -> None:
        """Show the scores of all frames, and the frame that they are of."""
        columns = {column(name): score for name, score in scores.items() if score is not None}
        text = ", ".join(f"{own.label} {own.text(score)}" for own, score in columns.items())
        epoch = fitter.epochs_before + fitter.epoch
        self._state["scores"] = f"All frames after epoch {epoch}: {text}"
        if fitter.ranks.first:
            self._show_picture(fitter, epoch)

    def _show_picture(self, fitter: Fitter, epoch: int) -> None:
        self._files["/picture.png"] = _png(decoded(fitter, self._index))
        self._state |= {"picture": self._state["picture"] + 1, "caption": f"decoded after epoch {epoch}"}
        self._last_picture = time.monotonic()

    # ------------------------------------------------------------------ the server

    def answer(self, path: str) -> tuple[str, bytes, bool] | None:
        """Return what the page's server has at a path, `None` for nothing: type, bytes, and whether it is the end."""
        if path == "/":
            text = template(HERE / "live.html.jinja").render(
                title=self.title, css=asset(HERE / "page.css"), js=asset(HERE / "charts.js"), version=__version__
            )
            return HTML, text.encode(), False
        if path == "/state.json":
            self._last_poll = time.monotonic()
            state = dict(self._state)
            return JSON, json.dumps(state).encode(), state["ended"] and not state["report"]
        if path == "/report.html" and self._report is not None:
            return HTML, self._report.read_bytes(), True
        return (PNG, self._files[path], False) if path in self._files else None

    @contextmanager
    def sending(self, is_end: bool) -> Iterator[None]:
        """A context in which an answer is sent: the server stays until the end of the fit is."""
        if is_end:
            self._is_asked.set()
        try:
            yield
        finally:
            if is_end:
                self._is_delivered.set()


def _png(frame: Tensor) -> bytes:
    return encode_png(frame.permute(1, 2, 0).contiguous().cpu().numpy())


class _Server(QuietServer):
    page: LivePage


def _server(page: LivePage, port: int | None) -> _Server:
    """Return a server on a port, or on another one where that is taken and none was asked for."""
    try:
        server = _Server((HOST, PORT if port is None else port), _Handler)
    except OSError:
        if port is not None:
            raise
        server = _Server((HOST, 0), _Handler)
    server.page = page
    return server


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer a browser on this machine alone."""
        is_allowed = is_for_this_machine(self.headers)
        answer = self.server.page.answer(urlsplit(self.path).path) if is_allowed else None
        if answer is None:
            self.send_error(404 if is_allowed else 403)
            return
        kind, content, is_end = answer
        with self.server.page.sending(is_end):
            self.send_response(200)
            for name, value in (
                ("Content-Type", kind), ("Content-Length", str(len(content))), ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
            ):  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
