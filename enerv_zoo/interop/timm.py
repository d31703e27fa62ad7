"""timm's door: once this module is imported, `timm.create_model("hf-hub:user/name", pretrained=True)` gives a fit.

timm has no entry points by which it could find this by itself, hence the import. Nothing else in the package makes it,
so timm's lists are as they were for whoever does not ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timm.models import register_model

from enerv_zoo.errors import ConfigError
from enerv_zoo.hub import Access, describe
from enerv_zoo.hub.naming import HUB
from enerv_zoo.neural_video import NeuralVideo


@register_model
def neural_video(
    pretrained: bool = False,
    pretrained_cfg: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
    pretrained_cfg_overlay: object = None,
    **options: Any,
) -> NeuralVideo:
    """Give timm a fit from a repository (`hf-hub:user/name@revision`) or a folder (`local-dir:runs/bunny`) of ours.

    Args:
        pretrained: load its weights; else they are as before a fit.
        pretrained_cfg: timm's word of where it is.
        cache_dir: where downloads are kept.
        pretrained_cfg_overlay: not used.
        options: none; a fit's config says what its network is.

    Raises:
        EnervZooError: as `enerv_zoo.load` does; also for options, and where no repository is named.
    """
    source = pretrained_cfg or {}
    if options:
        raise ConfigError(f"a fit's config says what its network is; {', '.join(options)} cannot be given here")
    if "hf_hub_id" not in source and "file" not in source:
        raise ConfigError("neural_video needs a fit: timm.create_model('hf-hub:user/name', pretrained=True)")
    repo_id, _, revision = source.get("hf_hub_id", "").partition("@")
    where = f"{HUB}{repo_id}" if repo_id else Path(source["file"])  # whatever folder has that name here
    if pretrained:
        return NeuralVideo.from_pretrained(where, revision=revision or None, cache_dir=cache_dir)
    description = describe(where, Access(revision or None, cache_dir)).only().description
    return NeuralVideo.seeded(description.model, description.video, seed=0)
