"""Pictures in a terminal: two pixels per character, by half blocks in 24-bit colours."""

from __future__ import annotations

import time
from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.frame_access import FrameAccess

HOME, CLEAR, RESET = "\x1b[H", "\x1b[2J", "\x1b[0m"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def half_blocks(frame: Tensor, columns: int, rows: int, pixel_aspect: float = 1.0) -> str:
    """Return a frame (3, H, W), uint8, as lines of at most `columns` by `rows` characters, as large as fits."""
    height, width = frame.shape[1:]
    scale = min(columns / (width * pixel_aspect), 2 * rows / height)
    size = (max(round(height * scale / 2), 1) * 2, max(round(width * pixel_aspect * scale), 1))
    pixels = F.interpolate(frame[None], size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).tolist()
    lines = [
        "".join(
            f"\x1b[38;2;{r};{g};{b};48;2;{under[0]};{under[1]};{under[2]}m▀"
            for (r, g, b), under in zip(upper, lower, strict=True)
        )
        for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
    ]
    return f"{RESET}\n".join(lines) + RESET


def pictures_on_time(video: FrameAccess) -> Iterator[Tensor]:
    """Iterate over frames as their times come; those whose time is over are left out."""
    begin, ends, last = time.monotonic(), video.timeline.ends - video.timeline.starts[0], -1
    while last < len(video) - 1:
        now = time.monotonic() - begin
        due = min(int((ends <= now).sum()), len(video) - 1)
        if due > last:
            last = due
            yield video[due]
        else:
            time.sleep(min(max(ends[last] - now, 0.0), 0.1))
