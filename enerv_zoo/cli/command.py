"""What all commands do alike."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from enerv_zoo.cli.interruption import Interrupted


class Command(TyperCommand):
    """A command that lets it be known that it was interrupted."""

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted from stop
