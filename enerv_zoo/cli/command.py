"""Behaviour of all commands: checks of values that Typer lets pass, messages that quote them, interruption."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from enerv_zoo.cli import console
from enerv_zoo.cli.help import help_of
from enerv_zoo.cli.interruption import Interrupted
from enerv_zoo.cli.start import unknown_command
from enerv_zoo.files import usable_path


class Helpful:
    """A command or a group that prints its own help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it."""
        console.out.print(help_of(self, ctx, console.out.width))


class UnknownCommand(typer.BadParameter):
    """A usage error that says what to type in place of a command that there is not."""

    def format_message(self) -> str:
        """Return the message."""
        return self.message


class Group(Helpful, TyperGroup):
    """All commands; of what is none of them, it says what it may mean."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command by the first argument."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise UnknownCommand(unknown_command(args[0], self.commands))
        return super().resolve_command(ctx, args)


class Command(Helpful, TyperCommand):
    """A command that refuses numbers that are not finite and empty paths; what it refuses, it quotes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments as values of the parameters."""
        texts, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            _quote(error, texts)
            raise
        if not ctx.resilient_parsing:
            for parameter in self.params:
                _check(ctx, parameter, texts.get(parameter.name))
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted from stop


def _quote(error: typer.BadParameter, texts: dict[str, Any]) -> None:
    """Add the value to an error that does not say it."""
    value = None if error.param is None else texts.get(error.param.name or "")
    if isinstance(value, str) and value not in error.message:
        reason, _, _ = error.message.partition(", unable to parse")
        error.message = f"{reason[:1].lower()}{reason[1:]}, got {value!r}"


def _check(ctx: Any, parameter: Any, text: Any) -> None:
    value = ctx.params.get(parameter.name)
    if isinstance(value, float) and not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, got {text}", ctx=ctx, param=parameter)
    for path in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(path, Path):
            usable_path(path)
    names_something = parameter.name == "out" or parameter.param_type_name == "argument" or isinstance(value, Path)
    if names_something and (text == "" or (isinstance(text, (list, tuple)) and "" in text)):
        raise typer.BadParameter("expected a name, got ''; is a variable of the shell unset?", ctx=ctx, param=parameter)
