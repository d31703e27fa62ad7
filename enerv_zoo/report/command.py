"""Commands that repeat a fit and its compression."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from enerv_zoo.config import CompressConfig, FitConfig, VideoSelection, from_dict, size_text
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.losses import check_loss
from enerv_zoo.options import Option
from enerv_zoo.shell import command
from enerv_zoo.storage.record import OTHER_SOURCES
from enerv_zoo.video.origin import name_alone
from enerv_zoo.video.sizes import as_size


def fit_command(record: Mapping[str, Any], out: str) -> str | None:
    """The command line that fits as `fit.json` says; `None` where no command says that.

    Args:
        record: of `fit.json`; of its `source` the command has the name alone, and `VIDEO` where there is none.
        out: the folder for the fit.
    """
    model = dict(record.get("model") or {})
    words: list[str] = []
    if name := model.pop("name", None):
        words += ["--model", name]
    if size := model.pop("size", None):
        words += ["--size", str(size)]
    for option, value in model.items():
        words += ["--set", f"{option}={value if isinstance(value, str) else json.dumps(value)}"]
    for option, value in (record.get("video") or {}).items():
        if isinstance(value, bool):
            words.append(_switch(option, value))
        elif value is not None:
            words += [
                f"--{option}",
                size_text(*as_size(value)) if isinstance(value, list | tuple) else str(value),
            ]
    for name in OTHER_SOURCES:
        if other := record.get(name):
            words += [f"--{name.replace('_', '-')}", name_alone(other.get("source")) or name.upper()]
    config = from_dict(FitConfig, record.get("fit") or {}, "fit")
    try:
        check_loss(config.loss)
    except ConfigError:  # a callable of the user's own, or of a plug-in that is not here
        return None
    decisive = {name: value for name in ("optimizer", "time_budget") if (value := getattr(config, name)) is not None}
    defaults = plan_fit(None, device="cpu", **decisive).fit  # with these, others have other defaults
    for field in fields(FitConfig):
        value = getattr(config, field.name)
        if value != getattr(defaults, field.name) or (field.name in decisive and value != field.default):
            if value is None:
                return None
            words += _flag(field.name.replace("_", "-"), value)
    if segments := record.get("segments"):
        words += ["--segments", str(segments)]
    return command("fit", name_alone(record.get("source")) or "VIDEO", options=[*words, "--out", out])


def compress_command(options: Mapping[str, Any], run: str, path: str) -> str:
    """The command line that compresses a fit to a file.

    Args:
        options: as the file records them.
        run: the folder of the fit.
        path: of the file.

    Raises:
        ConfigError: the options are damaged.
    """
    changes = from_dict(CompressConfig, options, "compression").changes()
    words = [word for name, value in changes.items() for word in _flag(name.replace("_", "-"), value)]
    return command("compress", run, path, options=words)


def _switch(option: str, value: bool) -> str:
    """Return the flag of an option of `VideoSelection` that is on or off."""
    metadata = get_type_hints(VideoSelection, include_extras=True)[option].__metadata__
    flags = next(each.flags or "" for each in metadata if isinstance(each, Option))
    return flags.split("/")[0 if value else 1]


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, dict) or (isinstance(value, (list, tuple)) and any(isinstance(v, dict) for v in value)):
        return [f"--{name}", json.dumps(value)]
    if isinstance(value, (list, tuple)):
        return [f"--{name}", ",".join(map(str, value))]
    return [f"--{name}", f"{value}s" if name == "time-budget" else str(value)]
