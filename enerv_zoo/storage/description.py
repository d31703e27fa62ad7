"""`config.json`: what a fit's folder says of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import ConfigDict, Field

from enerv_zoo import __version__
from enerv_zoo.compatibility import read_model, upgrade
from enerv_zoo.composition import ModelConfig
from enerv_zoo.config import Finite, Recipe, VideoInfo, from_dict, to_dict
from enerv_zoo.errors import ConfigError
from enerv_zoo.files import write_json
from enerv_zoo.network import Network
from enerv_zoo.parsing import unique_keys
from enerv_zoo.shell import command

CONFIG = "config.json"
RECORD = "fit.json"
"""Record of the fit, written before its first step."""
FORMAT = 2
"""Version of the folder format; newer ones are refused with a clear line, older ones load for ever."""

ARCHITECTURE = "neural_video"
"""By this name timm's registry knows what to build (enerv_zoo/interop/timm.py)."""

MAX_JSON_BYTES = 16 << 20
"""More than the timestamps of half a million frames take; nothing larger is parsed."""

N = TypeVar("N", bound=Network)

Text = Annotated[str, Field(max_length=256)]
Metric = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | Finite | Text | None
LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


@dataclass(frozen=True)
class SourceContents:
    """Contents of a video: enough to recognise it, and not where it lies.

    Attributes:
        digest: the first hex digits of its SHA-256.
        bytes: its size, or `None`.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")

    digest: Annotated[str, Field(pattern="^[0-9a-f]{16,64}$")]
    bytes: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None


@dataclass(frozen=True)
class FitRecord:
    """Record of a network's fit, as far as it is known.

    Attributes:
        recipe: network, recipe and part of the video; `enerv_zoo.fit(..., recipe=...)` takes it.
        metrics: the final numbers, by the names of `metrics.json`.
        source: the contents of the video, or `None`.
        compression: options of `enerv_zoo.compress` that made the file, but for those with their defaults; `None`
            where all have, of a network that is not compressed, and in files of older versions.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")  # a later version may say more

    recipe: Recipe | None = None
    metrics: Annotated[dict[Text, Metric], Field(max_length=256)] = field(default_factory=dict)
    source: SourceContents | None = None
    compression: Annotated[dict[Text, Any], Field(max_length=64)] | None = None


@dataclass(frozen=True)
class Description:
    """Contents of `config.json`.

    Attributes:
        model: the network's composition.
        video: the video that it was fitted to.
        fit: how, or `None`.
        license: the weights' licence by its identifier on the Hub, such as `cc-by-3.0`, or `None`.
    """

    model: ModelConfig
    video: VideoInfo
    fit: FitRecord | None = None
    license: str | None = None


def write_description(description: Description, folder: Path) -> None:
    """Write `config.json`.

    Raises:
        EnervZooError: the folder cannot be written.
    """
    write_json(folder / CONFIG, to_json(description))


def to_json(description: Description) -> dict[str, Any]:
    """Return the contents of `config.json` as plain data."""
    facts = {key: value for key, value in to_dict(description).items() if value is not None}
    for name in ("source", "compression"):
        if description.fit is not None and facts["fit"][name] is None:
            del facts["fit"][name]
    head = {"format": FORMAT, "library": f"enerv-zoo {__version__}", "architecture": ARCHITECTURE}
    return {**head, **facts}


def read_description(path: str | Path) -> Description:
    """Read `config.json` from a folder.

    Raises:
        EnervZooError: there is no fit, or its config is damaged or of a newer format.
    """
    file = Path(path) / CONFIG
    if not file.is_file():
        if (Path(path) / RECORD).is_file():
            raise ConfigError(f"{path}: a fit that has not ended; repeat its command to go on (fit needs --resume)")
        raise ConfigError(
            f"{path}: no fit is there (no {CONFIG}); expected a folder that a fit wrote, as this does: "
            f"{command('fit', 'VIDEO', options=['--preset', 'quick', '--out', str(path)])}"
        )
    return from_json(read_json(file), str(file))


def from_json(data: Mapping[str, Any], where: str) -> Description:
    """Read a description from the untrusted contents of `config.json`.

    Raises:
        ConfigError: `where` it comes from, it is damaged or of a newer format.
    """
    check_format(data, where)
    fit = data.get("fit")
    if isinstance(fit, Mapping) and isinstance(recipe := fit.get("recipe"), Mapping):
        fit = {**fit, "recipe": upgrade(recipe, f"{where}: fit", fitted=True)}
    return Description(
        read_model(data.get("model"), f"{where}: model"),
        from_dict(VideoInfo, data.get("video"), f"{where}: video"),
        None if fit is None else from_dict(FitRecord, fit, f"{where}: fit"),
        check_license(data.get("license")),
    )


def check_format(data: Mapping[str, Any], where: str) -> None:
    """Refuse a file of a newer format.

    Raises:
        ConfigError: `where` it comes from, it is of no format that this version reads.
    """
    version = data.get("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ConfigError(
            f"{where}: format {version!r:.40} is not one that this version reads (1 to {FORMAT}); upgrade"
        )


def check_license(license: Any) -> str | None:
    """Return the licence, if it can be one.

    Raises:
        ConfigError: it is no identifier.
    """
    if license is not None and not (isinstance(license, str) and LICENSE.fullmatch(license)):
        raise ConfigError(f"a licence is named by its identifier on the Hub such as 'cc-by-3.0', got {license!r:.80}")
    return license


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file that holds a mapping; strictly, since it is untrusted.

    Raises:
        ConfigError: the file is missing, too large, no JSON, or holds something else.
    """
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_JSON_BYTES >> 20} MB, which no {file.name} is")
        data = json.loads(file.read_bytes(), parse_constant=_refuse, object_pairs_hook=unique_keys)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{file}: no JSON ({str(error)[:100]}); the file is damaged") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: expected a mapping, got {type(data).__name__}")
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
