"""Notebook views of objects: a small table, and for a video its first frame."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.config import VideoInfo
from enerv_zoo.pixels import as_bytes

FRAME_WIDTH = 320
"""Largest width of a frame in pixels."""

Row = tuple[str, Any]


def rounded(value: Any) -> str:
    """Return a number with four significant digits, large integers with commas; `n/a` for what is not known."""
    if value is None:
        return "n/a"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def video_rows(info: VideoInfo) -> list[Row]:
    """Return the rows of a video: frames, their size and rate."""
    rate = [("frames per second", info.fps)] if info.fps else []
    return [("frames", info.frames), ("size", info.size_text), *rate]


def table(title: str, rows: Iterable[Row], frame: Tensor | None = None) -> str:
    """Return a table as HTML, which loads nothing from anywhere.

    Args:
        title: above it.
        rows: pairs of a name and a value; texts may be untrusted, and are escaped.
        frame: (3, H, W), uint8 or float in [0, 1], shown beside the table.
    """
    cells = "".join(
        f"<tr><td style='text-align:left'>{html.escape(name)}</td>"
        f"<td style='text-align:left'>{html.escape(rounded(value))}</td></tr>"
        for name, value in rows
    )
    picture = "" if frame is None else f"<img alt='first frame' src='{_inline_png(frame)}'>"
    return (
        f"<div style='display:flex;gap:1em;align-items:flex-start'>{picture}"
        f"<div><b>{html.escape(title)}</b><table>{cells}</table></div></div>"
    )


def _inline_png(frame: Tensor) -> str:
    """Return a frame (3, H, W) as the address of a PNG that holds its own data."""
    from PIL import Image

    frame, file = as_bytes(frame), io.BytesIO()
    height, width = frame.shape[1:]
    if width > FRAME_WIDTH:
        size = (max(round(height * FRAME_WIDTH / width), 1), FRAME_WIDTH)
        frame = F.interpolate(frame[None], size, mode="bilinear", antialias=True)[0]
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
