"""What all commands do alike: what Typer lets pass or says badly, and how they are interrupted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from enerv_zoo.cli.interruption import Interrupted


class Command(TyperCommand):
    """A command that refuses numbers that are not finite and empty paths; what it refuses, it quotes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments as values of the parameters."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            _quote(error, given)
            raise
        if not ctx.resilient_parsing:
            for parameter in self.params:
                _check(ctx, parameter, given.get(parameter.name))
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted from stop


def _quote(error: typer.BadParameter, given: dict[str, Any]) -> None:
    """Let an error say the value, where it does not."""
    value = None if error.param is None else given.get(error.param.name or "")
    if isinstance(value, str) and value not in error.message:
        reason, _, _ = error.message.partition(", unable to parse")
        error.message = f"{reason[:1].lower()}{reason[1:]}, got {value!r}"


def _check(ctx: Any, parameter: Any, given: Any) -> None:
    value = ctx.params.get(parameter.name)
    if isinstance(value, float) and not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, got {given}", ctx=ctx, param=parameter)
    names_something = parameter.name == "out" or parameter.param_type_name == "argument" or isinstance(value, Path)
    if names_something and (given == "" or (isinstance(given, (list, tuple)) and "" in given)):
        raise typer.BadParameter("expected a name, got ''; is a variable of the shell unset?", ctx=ctx, param=parameter)
