"""Options of commands, generated from the fields of the configs that they fill."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from enerv_zoo.cli import completion
from enerv_zoo.errors import ConfigError
from enerv_zoo.options import Option, Parser, field_descriptions
from enerv_zoo.parsing import parse_yaml
from enerv_zoo.registry import COMPONENTS

FIRST_SENTENCE = re.compile(r"(?:\([^)]*\)|[^.;]|[.;](?=\S))*")
"""Text before the first full stop or semicolon that is not in parentheses."""


@dataclass(frozen=True)
class OptionsOf:
    """Metadata, in the `Annotated` of a command's parameter, that replaces it by options for the fields of a config.

    The command gets the options of the command line as a dict by the fields' names. A field whose name another
    parameter of the command has gets no option.

    Attributes:
        config: the dataclass, whose fields may have an `enerv_zoo.options.Option`.
        panel: of the help.
        only: the fields that get options; by default all.
        defaults: whether the help shows the fields' defaults, as no recipe has a say in them.
    """

    config: type
    panel: str = "Options"
    only: Collection[str] | None = None
    defaults: bool = False

    def parameters(self, reserved: Collection[str]) -> list[inspect.Parameter]:
        """Return a keyword parameter, as Typer reads it, for each field that gets an option."""
        hints = get_type_hints(self.config, include_extras=True)
        texts = field_descriptions(self.config)
        parameters = []
        for field in dataclasses.fields(self.config):
            if field.name in reserved or (self.only is not None and field.name not in self.only):
                continue
            kind, option = _split(hints[field.name])
            default = option.default or (_shown(field) if self.defaults else False)
            annotation = _annotation(field.name, kind, option, texts.get(field.name, ""), self.panel, default)
            parameters.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            )
        return parameters


def _shown(field: dataclasses.Field[Any]) -> str | bool:
    """Return a default as the help shows it; of a switch, the flag; False for none, and for empty collections."""
    value = field.default
    if value is None or value is dataclasses.MISSING:
        return False
    if isinstance(value, bool):
        return ("" if value else "no-") + field.name.replace("_", "-")
    return f"{value:g}" if isinstance(value, float) else str(value)


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with options in place of its `OptionsOf` parameters."""
    signature = inspect.signature(command, eval_str=True)
    filled = {name: of for name, p in signature.parameters.items() if (of := _options_of(p.annotation)) is not None}
    parameters: list[inspect.Parameter] = []
    names: dict[str, list[str]] = {}
    for name, parameter in signature.parameters.items():
        if name in filled:
            reserved = {*signature.parameters, *(other for own in names.values() for other in own)}
            own_parameters = filled[name].parameters(reserved)
            names[name] = [each.name for each in own_parameters]
            parameters += own_parameters
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def filling(**values: Any) -> None:
        for name, own in names.items():
            options = {key: values.pop(key) for key in own}
            values[name] = {key: value for key, value in options.items() if value is not None}
        command(**values)

    filling.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    filling.__annotations__ = {each.name: each.annotation for each in parameters}
    return filling


def _options_of(annotation: Any) -> OptionsOf | None:
    return next((each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, OptionsOf)), None)


def _split(hint: Any) -> tuple[set[Any], Option]:
    """Return the plain types that a field's annotation allows, but for `None`, and its `Option`."""
    metadata = getattr(hint, "__metadata__", ())
    option = next((each for each in metadata if isinstance(each, Option)), Option())
    return _plain_types(hint) - {type(None)}, option


def _plain_types(hint: Any) -> set[Any]:
    origin = get_origin(hint)
    if origin is Annotated:
        return _plain_types(get_args(hint)[0])
    if origin in (Union, UnionType):
        return {each for part in get_args(hint) for each in _plain_types(part)}
    return {hint if origin is Literal else origin or hint}


def _annotation(name: str, kind: set[Any], option: Option, text: str, panel: str, default: str | bool) -> Any:
    """Return the type of an option with its Typer option, as an `Annotated`."""
    (only,) = kind if len(kind) == 1 else (None,)
    details: dict[str, Any] = {
        "help": _help(text, option), "rich_help_panel": panel, "show_default": default, "metavar": option.metavar
    }  # fmt: skip
    if option.kind is not None:
        details["autocompletion"] = completion.parts(COMPONENTS[option.kind])
    parse, own = option.parse, str
    if only is bool:
        flag = name.replace("_", "-")
        return Annotated[bool | None, typer.Option(option.flags or f"--{flag}/--no-{flag}", **details)]
    if parse is None and only in (int, float):
        return Annotated[only | None, typer.Option(**details)]
    if parse is None and get_origin(only) is Literal:
        details["metavar"] = option.metavar or "|".join(map(str, get_args(only)))
        return Annotated[str | None, typer.Option(**details)]
    if parse is None and not kind <= {str, int, float}:
        parse = functools.partial(parse_text, kind=kind, example=option.example)
        details["metavar"] = option.metavar or name.upper()
    if parse not in (None, str):
        return Annotated[Any, typer.Option(parser=refusing(parse), **details)]
    return Annotated[own | None, typer.Option(**details)]


def _help(text: str, option: Option) -> str:
    """Return the first sentence of a field's description, and what is for the command line alone."""
    first = FIRST_SENTENCE.match(text)[0].replace("`", "")  # type: ignore[index]  # it matches any text
    such_as = f", such as {option.example}" if option.example else ""
    sentences = [f"{first[:1].upper()}{first[1:]}{such_as}." if first else "", option.help]
    return " ".join(sentence for sentence in sentences if sentence)


def refusing(parse: Parser) -> Parser:
    """Return a parser whose errors say what was expected."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return checked


def parse_text(text: str, kind: Collection[Any], example: str = "") -> Any:
    """Return the value of a field that holds more than a number or a word.

    Args:
        text: YAML of a mapping or a list; or `NAME=NUMBER,...` where a mapping is allowed, values separated by commas
            where a list is; or the text itself where a text is.
        kind: the types that are allowed.
        example: of such a text, for the message.

    Raises:
        ValueError: it is none of these.
    """
    mapping = any(_is(each, Mapping) for each in kind)
    sequence = any(_is(each, Sequence) for each in kind if each is not str)
    try:
        value = parse_yaml(text)
    except ConfigError as error:
        raise ValueError(f"{text!r} is {error}") from None
    if isinstance(value, list) or (isinstance(value, dict) and mapping):
        return value
    if isinstance(value, dict) and sequence:
        return [value]
    if mapping and ("=" in text or str not in kind):
        return _factors(text, example)
    return [parse_yaml(part) for part in text.split(",") if part.strip()] if sequence else text


def _is(kind: Any, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _factors(text: str, example: str) -> dict[str, float]:
    pairs = [assignment.partition("=")[::2] for assignment in text.split(",")]
    such_as = f", such as {example}" if example else ""
    try:
        numbers = {name.strip(): float(number) for name, number in pairs}
    except ValueError:
        numbers = {}
    if len(numbers) < len(pairs):
        raise ValueError(f"expected one number for each name{such_as}, got {text!r}")
    return numbers
