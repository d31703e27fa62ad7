"""Help of the commands: paragraphs and examples keep their form, and no word is broken, at any width."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.text import Text

MOST = 100
"""Columns of text at most: longer lines are hard to read."""
NAMES = 26
"""Columns of options' names; the text of a longer one begins on the next line."""
KINDS = {"int": "N", "integer": "N", "float": "X", "path": "PATH", "str": "TEXT"}
"""What stands for a value, by how Typer says its type."""

SHORT_DEFAULT = re.compile(r"\[default: .{1,20}\]$")
JOINED = "\x00"
"""What stands for a space at which no line ends."""


def help_of(command: Any, context: Any, width: int) -> Group:
    """Return the help of a command or a group, as `--help` prints it.

    Args:
        command: of Typer.
        context: it is called in.
        width: columns of the terminal.
    """
    width = min(width, MOST)
    lines = [Text(f"Usage: {usage(command, context)}"), Text()]
    lines += _described(inspect.cleandoc(command.help or ""), width)
    for panel, rows in panels(command, context).items():
        if rows:
            lines += [Text(f"{panel}:", style="bold"), *_rows(rows, width), Text()]
    return Group(*lines, *([Text(command.epilog)] if command.epilog else []))


def panels(command: Any, context: Any) -> dict[str, list[tuple[str, str]]]:
    """Return the titles of a command's help, each with the names below it and what they are."""
    parameters = [each for each in command.params if not getattr(each, "hidden", False)]
    operands = [each for each in parameters if each.param_type_name == "argument"]
    rows: dict[str, list[tuple[str, str]]] = {"Arguments": [(_names(each, context), _about(each)) for each in operands]}
    for name, each in getattr(command, "commands", {}).items():
        first, _, _ = " ".join(inspect.cleandoc(each.help or "").split()).partition(". ")
        rows.setdefault(each.rich_help_panel or "Commands", []).append((name, first.rstrip(".:") + "."))
    for each in parameters:
        if each not in operands:
            panel = getattr(each, "rich_help_panel", None) or "Options"
            rows.setdefault(panel, []).append((_names(each, context), _about(each)))
    rows["Options"] = [*rows.pop("Options", []), ("-h, --help", "Show this text.")]
    return rows


def usage(command: Any, context: Any) -> str:
    """Return how a command is called."""
    operands = [_names(each, context) for each in command.params if each.param_type_name == "argument"]
    words = [context.command_path, "[OPTIONS]", *operands]
    return " ".join([*words, "COMMAND ..."] if hasattr(command, "commands") else words)


def _described(text: str, width: int) -> Iterator[Text]:
    """Yield the lines of a docstring: paragraphs are filled, indented commands stand as they are."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("    "):
            yield from (Text(line, style="cyan") for line in _example(" ".join(paragraph.split()), width))
        else:
            yield from (Text(line) for line in _filled(" ".join(paragraph.split()), width))
        yield Text()


def _example(command: str, width: int) -> list[str]:
    """Return a command in lines that a shell takes together, each option with its value."""
    words = command.replace(" --", "\n--").replace(" -- ", "\n-- ").split("\n")
    lines = ["  " + words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) + 2 <= width:
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(f"      {word}")
    return lines


def _rows(rows: list[tuple[str, str]], width: int) -> Iterator[Text]:
    """Yield names, and beside or below each what it is."""
    column = min(max(len(name) for name, _ in rows), NAMES) + 4
    for name, text in rows:
        first, *rest = _filled(text, max(width - column, 20)) or [""]
        if len(name) + 4 > column:
            yield Text(f"  {name}", style="cyan")
            yield Text(" " * column + first)
        else:
            yield Text.assemble((f"  {name}".ljust(column), "cyan"), first)
        yield from (Text(" " * column + line) for line in rest)


def _filled(text: str, width: int) -> list[str]:
    """Return lines of whole words, in which a short default is one."""
    joined = SHORT_DEFAULT.sub(lambda match: match[0].replace(" ", JOINED), text)
    lines = textwrap.wrap(joined, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(JOINED, " ") for line in lines]


def _names(parameter: Any, context: Any) -> str:
    """Return the names of an option with what stands for its value, or what stands for an argument."""
    record = parameter.get_help_record(context)[0].replace(" / ", "/").replace(" range>", ">")
    names, *kinds = record.split(" ")
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return name if parameter.required else f"[{name}]"
    return " ".join([names, *(KINDS.get(kind.strip("<>").lower(), kind) for kind in kinds)])


def _about(parameter: Any) -> str:
    """Return the text of a parameter, with its default."""
    shown = getattr(parameter, "show_default", False)
    default = shown if isinstance(shown, str) else _default(parameter) if shown else ""
    return " ".join(filter(None, ((parameter.help or "").strip(), default and f"[default: {default}]")))


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required or not isinstance(value, (bool, int, float, str)):
        return ""
    if getattr(parameter, "is_flag", False):
        return parameter.opts[0].lstrip("-") if value and parameter.secondary_opts else ""
    return f"{value:g}" if isinstance(value, float) else str(value)
