"""The model card, `README.md`: what the network is, how good it is, how to use it."""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from enerv_zoo.config import FitConfig, to_dict
from enerv_zoo.hub.client import LIBRARY
from enerv_zoo.metrics.columns import column, names_in
from enerv_zoo.parsing import to_yaml
from enerv_zoo.storage.description import Description, FitRecord

if TYPE_CHECKING:
    from jinja2 import Template

TAGS = ["neural-video-representation", "implicit-neural-representation", "video-compression"]
COSTS = {"bpp": "bits per pixel", "stored_numbers": "stored parameters"}
"""Costs on a card, beside the scores: names in `metrics.json`, and headings."""

MAIN_OPTIONS = ("epochs", "batch_size", "lr", "loss")

_MARKDOWN = re.compile(r"([\\`*_\[\]|~!#$@])")


def card(
    description: Description,
    repo_id: str,
    *,
    picture: bool,
    clip: str | None,
    branch: str | None = None,
    player: str | None = None,
    sound: int = 0,
) -> str:
    """Return a model card as Markdown with a YAML head that the Hub reads.

    Args:
        description: what `config.json` says. Its strings are anybody's: they are escaped.
        repo_id: where it will be.
        picture: whether `preview.png` is there.
        clip: address of the preview clip, or `None`.
        branch: where it will be there; `None` for the main one.
        player: address of the page that plays the network, or `None`.
        sound: bytes of the sound beside the network; 0 where there is none.
    """
    fit = description.fit or FitRecord()
    return _template().render(
        head=to_yaml(head(description), width=1000).strip(),
        place=place(repo_id, branch),
        video=description.video,
        model=description.model,
        license=description.license,
        recipe=_recipe(fit.recipe.fit) if fit.recipe else {},
        scores={_heading(key): value for key, value in _scores(fit.metrics).items()},
        picture=picture,
        clip=clip,
        player=player,
        sound=sound,
    )


def place(repo_id: str, branch: str | None) -> str:
    """Return the arguments of `enerv_zoo.load` for a network on a branch; `None` for the main one."""
    return json.dumps(repo_id) + ("" if branch is None else f", revision={json.dumps(branch)}")


def place_in(text: str) -> str | None:
    """Return the arguments of `enerv_zoo.load` in a card as `card` writes it; `None` for one of the user's own."""
    made = text.partition("\nA neural network that *is* a video: ")[2]
    named = re.search(r"^video = ez\.load\((.+)\)$", made, re.MULTILINE)
    return None if named is None else named[1].removesuffix(', revision="main"')


def head(description: Description) -> dict[str, Any]:
    """Return the card's YAML head; `enerv_zoo` in it is what `list_pretrained` shows."""
    video, model = description.video, description.model
    metrics = description.fit.metrics if description.fit else {}
    scores = _scores(metrics)
    name = f"{one_line(model.family)} on {one_line(video.name)}"
    data: dict[str, Any] = {"library_name": LIBRARY, "tags": [LIBRARY, one_line(model.family), *TAGS]}
    if description.license:
        data["license"] = description.license
    data["enerv_zoo"] = {
        "family": one_line(model.family),
        "video": one_line(video.name),
        "frames": video.frames,
        "height": video.height,
        "width": video.width,
        **scores,
    }
    if scores:
        result = {
            "task": {"type": "video-reconstruction", "name": "Video reconstruction"},
            "dataset": {"type": "video", "name": one_line(video.name)},
            "metrics": [{"type": key, "name": _heading(key), "value": value} for key, value in scores.items()],
        }
        data["model-index"] = [{"name": name, "results": [result]}]
    return data


def _scores(metrics: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the scores of a card, by their names in `metrics.json`."""
    names = (*names_in(metrics), *COSTS)
    return {name: value for name in names if (value := _number(metrics.get(name))) is not None}


def _heading(name: str) -> str:
    return COSTS.get(name) or column(name).heading


def one_line(text: Any) -> str:
    """Return untrusted text without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def escape(text: Any) -> str:
    """Escape untrusted text, whatever it means in Markdown or HTML; it is for text between tags, not within one."""
    return html.escape(_MARKDOWN.sub(r"\\\1", one_line(text)), quote=False)


def _recipe(fit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a fit that a reader looks for, or that are not the default; mappings as YAML takes them."""
    default = to_dict(FitConfig())
    return {
        key: json.dumps(value, default=str) if isinstance(value, dict) else value
        for key, value in fit.items()
        if value is not None and (key in MAIN_OPTIONS or value != default.get(key))
    }


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("enerv_zoo.hub", "."), undefined=StrictUndefined, autoescape=False, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["text"] = escape
    return environment.get_template("card.md.jinja")
