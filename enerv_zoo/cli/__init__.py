"""The command line: parse, call the library, print."""

from __future__ import annotations

from enerv_zoo.cli import interruption

__all__ = ["main"]


def main() -> None:
    """Run the command line. Exit codes: 0, 1 for an error (one line), 2 for a usage error, 130 after Ctrl-C."""
    with interruption.told():
        from enerv_zoo.cli.app import main as run  # takes seconds

        run()
