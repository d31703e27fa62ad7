"""Registries of named parts, and the door for those of third parties.

There is one `Registry` for each kind of part. A part is a class (or, for families and losses, a function) registered
under a name:

    @blocks.register("nerv")
    class NeRVBlock(nn.Module):
        def __init__(self, in_channels, out_channels, stride, *, activation="gelu"): ...

**Convention.** Positional parameters are what the network tells a part (sizes); keyword-only parameters are the
options a config may set. So the legal options of every part are read off its signature, and a wrong one is refused
by name before anything is built.

Third parties register through entry points. The group of a kind is `enerv_zoo.` and its registry's name in this module
(`enerv_zoo.blocks`, `enerv_zoo.schedules`, ...); an entry point's name is the part's. Entry points load on the first
look-up that the built-in parts cannot answer, or on listing; one that fails is logged by name, kept in
`Registry.broken`, and skipped.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_type_hints
from zlib import crc32

from enerv_zoo.errors import ConfigError, did_you_mean
from enerv_zoo.files import python_numbers, usable_path

logger = logging.getLogger(__name__)
Part = TypeVar("Part", bound=Callable[..., Any])

_LOADING = threading.RLock()
"""Held while plug-ins are loaded, whose modules may look parts up: other threads wait until all are there."""


class Registry:
    """The parts of one kind, by name.

    Args:
        kind: what messages call such a part, e.g. `"block"`.
        group: of entry points, e.g. `"enerv_zoo.blocks"`.
        module: that registers the built-in parts when it is imported; by default called as the group.
    """

    def __init__(self, kind: str, group: str, module: str | None = None) -> None:
        self.kind = kind
        self.group = group
        self.module = module or group
        self.broken: dict[str, str] = {}
        self._parts: dict[str, Callable[..., Any]] = {}
        self._plugins_loaded = False

    def register(self, name: str) -> Callable[[Part], Part]:
        """Decorator that registers a part under `name`; a taken name is refused.

        A part of the same name in the same module takes the place of its earlier self, as a cell of a notebook that
        runs again makes it.
        """

        def decorate(part: Part) -> Part:
            if not _place(part)[0].startswith("enerv_zoo."):
                self._load_builtins()  # their names are taken
            earlier = self._parts.get(name, part)
            if _place(earlier) != _place(part):
                owner = ".".join(_place(earlier))
                raise ConfigError(f"the {self.kind} name {name!r} is taken by {owner}; register under another name")
            self._parts[name] = part
            return part

        return decorate

    def names(self, pattern: str = "*") -> list[str]:
        """Return the sorted names that match a shell-style wildcard, plug-ins included."""
        self._load_builtins()
        self._load_plugins()
        return sorted(name for name in self._parts if fnmatchcase(name, pattern))

    def registered(self) -> tuple[tuple[str, Callable[..., Any]], ...]:
        """Return the parts that are registered so far, by name; nothing is loaded for it."""
        return tuple(self._parts.items())

    def forget(self, module: str, parts: Iterable[tuple[str, Callable[..., Any]]] = ()) -> None:
        """Take back what a module registered, for the parts that were there before."""
        left = {name: part for name, part in self._parts.items() if _place(part)[0] != module}
        self._parts = {**dict(parts), **left}

    def get(self, name: str) -> Callable[..., Any]:
        """The part called `name`.

        Raises:
            ConfigError: no part has that name; the message lists the names there are.
        """
        if name not in self._parts:
            self._load_builtins()
        if name not in self._parts:
            self._load_plugins()
        if name not in self._parts:
            names = self.names()
            reason = f" (its plug-in failed to load: {self.broken[name]})" if name in self.broken else ""
            raise ConfigError(
                f"unknown {self.kind} {name!r}{reason}.{did_you_mean(str(name), names)} Known: {', '.join(names)}"
            )
        return self._parts[name]

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """The options of a part: its keyword-only parameters, by name."""
        return dict(_options(self.get(name)))

    def check_options(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse options that the part does not have, and demand those it cannot do without.

        Returns:
            The options; a float without a fraction, such as 1e3, is an integer where one is expected.

        Raises:
            ConfigError: names the part, the wrong option and the legal ones, or what an option is to be.
        """
        legal = self.options(name)
        for option in values:
            if option not in legal:
                raise ConfigError(
                    f"{self.kind} {name!r} has no option {option!r}.{did_you_mean(option, legal)} "
                    f"Its options: {', '.join(legal) or 'none'}"
                )
        missing = [key for key, p in legal.items() if p.default is inspect.Parameter.empty and key not in values]
        if missing:
            raise ConfigError(f"{self.kind} {name!r} needs the option {missing[0]!r}. Its options: {', '.join(legal)}")
        return {option: self._checked(name, legal[option], python_numbers(value)) for option, value in values.items()}

    def _checked(self, name: str, option: inspect.Parameter, value: Any) -> Any:
        """A value, if it is of the type that the part declares; a declaration that says nothing here lets all pass."""
        from pydantic import ValidationError

        types = _types(self.get(name))
        if option.name not in types:
            return value
        try:
            validated = _validated(types[option.name], value)
        except ValidationError:
            expected = (
                option.annotation if isinstance(option.annotation, str) else inspect.formatannotation(option.annotation)
            )
            raise ConfigError(
                f"{self.kind} {name!r}: the option {option.name!r} is {value!r:.80}, expected {expected}"
            ) from None
        is_plain = type(validated) in (bool, int, float, str, list, tuple, dict, NoneType)
        is_whole = isinstance(value, float) and isinstance(validated, int)
        return value if is_plain and not is_whole else validated

    def build(self, spec: Mapping[str, Any], *sizes: Any) -> Any:
        """Build the part that a plain dict describes: `{"name": ..., <option>: ...}`.

        Args:
            spec: the part's name and options.
            sizes: what the network tells such a part (see the contract at the top of the kind's package).

        Raises:
            ConfigError: unknown name or option, or a value that the part refuses.
        """
        options = dict(spec)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(f"a {self.kind} needs a name: got {dict(spec)!r}, expected {{'name': ..., options}}")
        part = self.get(name)
        options = self.check_options(name, options)
        try:
            return part(*sizes, **options)
        except ConfigError as error:
            raise ConfigError(f"{self.kind} {name!r}: {error}") from error
        except Exception as error:  # a plug-in's code may raise anything
            reason = str(error) or type(error).__name__
            raise ConfigError(f"{self.kind} {name!r} cannot be built with {options!r}: {reason}") from error

    def _load_builtins(self) -> None:
        importlib.import_module(self.module)

    def _load_plugins(self) -> None:
        with _LOADING:
            if self._plugins_loaded:
                return
            self._plugins_loaded = True
            for entry in entry_points(group=self.group):
                try:
                    self.register(entry.name)(entry.load())
                except Exception as error:  # a plug-in's code may raise anything
                    self.broken[entry.name] = f"{type(error).__name__}: {error}"
                    logger.warning("skipped the plug-in %s %r (%s): %s", self.kind, entry.name, entry.value, error)


_imported: dict[str, str] = {}
"""Files that `import_file` has run in this process, by the names of their modules."""


def imported_files() -> list[str]:
    """Return the files that `import_file` has run in this process, for another one to run, too."""
    return list(_imported.values())


def import_file(path: str | Path) -> None:
    """Run a Python file of one's own, whose decorators register parts and families.

    Raises:
        ConfigError: there is no such file, or it cannot be run.
    """
    path = usable_path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such Python file to import parts from")
    name = f"enerv_zoo_parts_{path.stem}_{crc32(os.fsencode(path.resolve())):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: is no Python file (.py) to import parts from")
    module = importlib.util.module_from_spec(spec)
    before = [(registry, registry.registered()) for registry in (models, *COMPONENTS.values())]
    earlier = sys.modules.get(name)
    sys.modules[name], _imported[name] = module, str(module.__file__)  # so that its classes can be pickled
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file may do anything
        for registry, parts in before:
            registry.forget(name, parts)
        if earlier is None:
            del sys.modules[name], _imported[name]
        else:
            sys.modules[name] = earlier
        raise ConfigError(f"{path}: cannot be imported ({type(error).__name__}: {error})") from error


@functools.cache
def _options(part: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a part, by name."""
    parameters = inspect.signature(part).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _place(part: Callable[..., Any]) -> tuple[str, str]:
    """Return the module and the name that a part has in it."""
    part = getattr(part, "func", part)  # of a partial
    return part.__module__ or "", getattr(part, "__qualname__", type(part).__qualname__)


def _validated(adapter: Any, value: Any) -> Any:
    """Return a value as its type has it: as JSON says, strictly, where JSON can hold it.

    A text is then no number and no truth value; a list may stand for a tuple, a text for a path, 1e3 for an integer.
    """
    from pydantic import ValidationError

    if isinstance(value, float) and value.is_integer():
        try:
            return adapter.validate_python(value, strict=True)
        except ValidationError:
            value = int(value)
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return adapter.validate_python(value)
    return adapter.validate_json(text, strict=True)


@functools.cache
def _types(part: Callable[..., Any]) -> dict[str, Any]:
    """Return the checks of a part's options, for those whose declaration can be checked."""
    from pydantic import TypeAdapter

    function = getattr(part, "func", part)  # of a partial
    entries = {}
    try:
        hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except Exception:  # a plug-in's declaration may name what cannot be found
        return {}
    for name, hint in hints.items():
        try:
            entries[name] = TypeAdapter(hint)
        except Exception:  # or a type that nobody can check
            logger.debug("%s: the option %s is not checked", part, name)
    return entries


embeddings = Registry("embedding", "enerv_zoo.embeddings")
fusion = Registry("fusion", "enerv_zoo.fusion")
blocks = Registry("block", "enerv_zoo.blocks")
heads = Registry("head", "enerv_zoo.heads")
models = Registry("model", "enerv_zoo.models")
losses = Registry("loss", "enerv_zoo.losses")
metrics = Registry("metric", "enerv_zoo.metrics")
optimizers = Registry("optimizer", "enerv_zoo.optimizers", "enerv_zoo.optimizers.registered")
schedules = Registry("schedule", "enerv_zoo.schedules", "enerv_zoo.optimizers.schedules")
entropy_models = Registry("entropy_model", "enerv_zoo.entropy_models", "enerv_zoo.nvz.entropy")
anchors = Registry("anchor", "enerv_zoo.anchors", "enerv_zoo.evaluation.anchors")
codebases = Registry("codebase", "enerv_zoo.codebases", "enerv_zoo.interop.codebases")

COMPONENTS = {
    registry.kind: registry
    for registry in (
        embeddings,
        fusion,
        blocks,
        heads,
        losses,
        metrics,
        optimizers,
        schedules,
        entropy_models,
        anchors,
        codebases,
    )
}
"""Every kind of part but families, by what it is called."""
