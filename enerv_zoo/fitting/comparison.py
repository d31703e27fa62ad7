"""Several networks on one video, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from enerv_zoo import registry
from enerv_zoo.config import read_mapping
from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation import plot_psnr
from enerv_zoo.files import write_json
from enerv_zoo.fitting.loop import OnStatus
from enerv_zoo.fitting.plan import check_record, plan_fit
from enerv_zoo.fitting.run import fit, has_ended, read_history
from enerv_zoo.hub.record import METRICS, RECORD

COMPARISON = "compare.json"
CURVES = "psnr.png"


def compare(
    source: Any,
    models: Sequence[str],
    *,
    out: str | Path,
    on_model: Callable[[str], OnStatus | None] = lambda name: None,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """Fit several families to one video with one recipe.

    Each fit has its own folder in `out`; those that have ended are kept, one that was cut off goes on, so the same call
    can be repeated until all is done. Writes `compare.json` and the curves.

    Args:
        source: the video, as `enerv_zoo.fit` takes it.
        models: names of families.
        out: folder for all of them.
        on_model: called with each name as its fit begins; returns that fit's `on_status`.
        options: as for `enerv_zoo.fit`.

    Returns:
        The metrics of each fit by name.

    Raises:
        ConfigError: no model, or an unknown one.
        FitError: a fit in `out` was made otherwise.
    """
    if not models or len(set(models)) != len(models):
        raise ConfigError(f"name each model to compare once, got {', '.join(models) or 'none'}")
    for name in models:
        registry.models.get(name)  # refuses unknown ones before anything is fitted
    metrics, histories = {}, {}
    for name in models:
        folder = Path(out) / name
        if has_ended(folder):
            check_record(folder, plan_fit(source, name, **options))
        else:
            started = (folder / RECORD).is_file()
            fit(source, name, out=folder, resume=started, on_status=on_model(name), **options)
        metrics[name] = read_mapping(folder / METRICS)
        histories[name] = read_history(folder)
    write_json(Path(out) / COMPARISON, metrics)
    plot_psnr(histories, Path(out) / CURVES)
    return metrics
