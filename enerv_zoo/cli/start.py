"""Start screen of `enerv-zoo` alone: the first commands, in the order in which one needs them."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

STEPS = (
    ("enerv-zoo render bunny-sample sample.mp4", "watch a bundled fit"),
    ("enerv-zoo fit bunny --preset quick --out runs/bunny", "fit a clip"),
    ("enerv-zoo info runs/bunny", "see its parts"),
    ("enerv-zoo render runs/bunny bunny.mp4", "watch it"),
    ("enerv-zoo eval runs/bunny", "measure it"),
    ("enerv-zoo compress runs/bunny bunny.nvz", "make it a small file"),
    ("enerv-zoo push runs/bunny user/bunny", "share it"),
)
"""Commands and what they are for."""


def screen() -> Group:
    """Return the start screen."""
    steps = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
    steps.add_column(style="bold cyan", no_wrap=True)
    steps.add_column(style="dim")
    for step in STEPS:
        steps.add_row(*step)
    title = Text.assemble(("enerv-zoo", "bold"), " fits neural networks to videos: the network is the video.")
    return Group(title, "", steps, "", "All commands: enerv-zoo --help    One of them: enerv-zoo fit --help")
