"""First steps: the screen of `enerv-zoo` alone, and hints where a word is no command."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Group
from rich.text import Text

from enerv_zoo.errors import did_you_mean
from enerv_zoo.files import nearest, usable_path
from enerv_zoo.shell import command

STEPS = (
    ("enerv-zoo fit holiday.mp4 --out runs/holiday", "fit a video of yours"),
    ("enerv-zoo render runs/holiday fitted.mp4", "make it a movie again"),
    ("enerv-zoo eval runs/holiday", "measure it"),
    ("enerv-zoo compress runs/holiday holiday.nvz", "make it one small file"),
    ("enerv-zoo push runs/holiday user/holiday", "share it"),
    ("enerv-zoo models", "choose another network"),
    ("enerv-zoo render bunny-sample sample.mp4", "decode a bundled fit"),
)
"""Commands and what they are for; the first one is for a video of one's own."""

OTHER_NAMES = {
    "play": ("show", "watch", "view"),
    "render": ("decode", "decompress", "draw"),
    "fit": ("train", "encode", "learn"),
    "eval": ("evaluate", "measure", "score", "test"),
    "models": ("list", "zoo", "families"),
    "pull": ("download",),
    "push": ("upload", "share"),
    "import": ("convert",),
    "report": ("html",),
    "bench": ("benchmark",),
    "--help": ("help",),
    "--version": ("version",),
}
"""What other programs call these commands."""


def screen() -> Group:
    """Return the start screen."""
    width = max(len(step) for step, _ in STEPS)
    steps = [Text.assemble("  ", (step.ljust(width), "bold cyan"), "  ", (purpose, "dim")) for step, purpose in STEPS]
    title = Text.assemble(("enerv-zoo", "bold"), " fits neural networks to videos: the network is the video.")
    last = Text("No video at hand? Take bunny, a bundled clip. All commands: enerv-zoo --help")
    return Group(title, "", *steps, "", last)


def unknown_command(word: str, commands: Iterable[str]) -> str:
    """Return a message for a word that is no command: a file, a command by another name, or a mistyped one."""
    names = [*commands]
    other = next((name for name, others in OTHER_NAMES.items() if word in others), None)
    if other is not None:
        return f"there is no command {word!r}; it is called {other} here"
    if near := did_you_mean(word, names):
        return f"there is no command {word!r}.{near}"
    path = usable_path(word, expand=True)
    if not path.exists() and (not path.suffix or (path := nearest(path)) is None):  # type: ignore[assignment]
        return f"there is no command {word!r}, and no such file; commands: {', '.join(names)}"
    shown = word if path == Path(word).expanduser() else str(path)
    name = "info" if path.suffix == ".nvz" or (path / "config.json").is_file() else "fit"
    return f"{word!r} is no command; did you mean: {command(name, shown)}"
