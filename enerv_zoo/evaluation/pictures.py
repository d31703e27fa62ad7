"""Pictures of a fit: a preview, and PSNR over epochs."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from enerv_zoo.errors import ConfigError
from enerv_zoo.evaluation.rates import RateCurve
from enerv_zoo.evaluation.rendering import side_by_side
from enerv_zoo.files import check_writable, replacing
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pixels import as_bytes
from enerv_zoo.shell import printable
from enerv_zoo.video import Video, write_image
from enerv_zoo.video.origin import protected

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

PANEL_WIDTH = 480
PLOT_WIDTH = 7
"""Width of a plot, in inches."""

GUTTER = 6
PREVIEW_ROWS = 4


COLOURS = {"pca_nerv": "C3", "enerv": "C0", "nerv": "C2", "x264": "C7", "x265": "C5", "svtav1": "C6", "vp9": "C8"}
"""Colours of the commonest curves, the same in every picture, whatever else is in it."""
OTHER_COLOURS = ("C1", "C4", "C9")
LINES = ("-", "--", ":", "-.")
FIGURES = (".pdf", ".png", ".svg")
"""Suffixes of figures."""


def check_figure(path: str | Path) -> None:
    """Refuse a figure that cannot be plotted here.

    Raises:
        ConfigError: no figure has its suffix, or matplotlib is not installed.
        EnervZooError: there can be no such file.
    """
    if Path(path).suffix.lower() not in FIGURES:
        raise ConfigError(f"{path}: figures are written to files that end in {', '.join(FIGURES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(f"{path}: a figure needs matplotlib; pip install 'enerv-zoo[plots]'")
    check_writable(path)


def write_preview(video: NeuralVideo, original: Video, path: str | Path) -> Path:
    """Write a PNG of up to four frames spread over the video, each a row: original | fitted | difference (4x).

    Args:
        video: the network.
        original: the frames it was fitted to, as many and as large.
        path: of the PNG.
    """
    rows = min(PREVIEW_ROWS, len(video))
    indices = sorted({round((i + 0.5) / rows * len(video) - 0.5) for i in range(rows)})
    panels = [_gutters(as_bytes(original.frames[i]), frame) for i, frame in zip(indices, video[indices], strict=True)]
    with protected(video.origin):
        return write_image(path, torch.cat([F.pad(panel, (0, 0, 0, GUTTER), value=255) for panel in panels], 1))


def _gutters(original: Tensor, fitted: Tensor) -> Tensor:
    row = side_by_side(original, fitted).unflatten(2, (3, -1)).permute(2, 0, 1, 3)  # three panels (3, 3, H, W)
    if row.shape[-1] > PANEL_WIDTH:
        size = (max(round(row.shape[-2] * PANEL_WIDTH / row.shape[-1]), 1), PANEL_WIDTH)
        row = F.interpolate(row, size, mode="bicubic", antialias=True)
    return torch.cat([F.pad(panel, (0, GUTTER), value=255) for panel in row], dim=2)


def plot_psnr(histories: Mapping[str, Sequence[Mapping[str, Any]]], path: str | Path) -> Path | None:
    """Plot PSNR over epochs, a curve per fit; of several fits over the seconds of fitting, too.

    Args:
        histories: by name, the rows of `history.jsonl` (`epoch`, `psnr`, `seconds`).
        path: of the picture; its suffix says which format.

    Returns:
        The path, or `None` where matplotlib is not installed.
    """
    columns = 2 if len(histories) > 1 else 1
    canvas = _panels(path, columns, 4.2, sharey=True)
    if canvas is None:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, panels = canvas
    for name, history in histories.items():
        rows = [row for row in history if row.get("psnr") is not None]
        label = _label(f"{name} ({rows[-1]['psnr']:.2f} dB)" if rows else name)
        quality = [row["psnr"] for row in rows]
        over = [[row["epoch"] for row in rows], list(accumulate(row.get("seconds", 0) for row in rows))]
        for axes, x in zip(panels, over, strict=False):
            axes.plot(x, quality, label=label, linewidth=1.8)
    for axes, label in zip(panels, ("epoch", "seconds of fitting"), strict=False):
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("PSNR while fitting (dB)")
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].legend(frameon=False, loc="lower right")
    return _saved(figure, path)


def _label(name: str) -> str:
    """Return a name as a legend shows it as it is: without mathematics, and not left out for its first character."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def rate_styles(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the colour of each curve, and its line: those of one family or codec differ in the line alone.

    Args:
        names: of the curves. What follows a comma or a colon says how a family or codec was used.
    """
    colours, styles = dict(COLOURS), []
    kinds = [re.split("[,:]", name)[0] for name in names]
    for place, kind in enumerate(kinds):
        colours.setdefault(kind, OTHER_COLOURS[(len(colours) - len(COLOURS)) % len(OTHER_COLOURS)])
        styles.append({"color": colours[kind], "linestyle": LINES[kinds[:place].count(kind) % len(LINES)]})
    return styles


def plot_rates(curves: Sequence[RateCurve], path: str | Path) -> Path | None:
    """Plot scores over bits per pixel, a line through the best points of each curve; those that all points have.

    Args:
        curves: measured on one video.
        path: of the picture; its suffix says which format.

    Returns:
        The path, or `None` where matplotlib is not installed, or the points have no score in common.
    """
    points = [point for curve in curves for point in curve.points]
    columns = [own for own in points[0].columns if all(point.scores.get(own.name) is not None for point in points)]
    if not columns:
        logger.warning("no %s was plotted: the points have no score in common", printable(str(path)))
        return None
    canvas = _panels(path, len(columns), 4.6)
    if canvas is None:
        return None
    from matplotlib.ticker import LogLocator

    figure, panels = canvas
    styles = rate_styles([curve.name for curve in curves])
    for axes, own in zip(panels, columns, strict=True):
        for curve, style in zip(curves, styles, strict=True):
            best = curve.best()
            joined = [(point.bpp, point.scores[own.name]) for point in best]
            dots: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.8, "label": _label(curve.name)}
            axes.plot(*zip(*joined, strict=True), **dots, **style)
            others = [(point.bpp, point.scores[own.name]) for point in curve.points if point not in best]
            if others:
                axes.plot(*zip(*others, strict=True), ".", color=style["color"], alpha=0.4)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel("bits per pixel")
        axes.set_ylabel(own.heading)
        axes.grid(alpha=0.3, which="both")
    panels[0].legend(frameon=False, fontsize=8)
    return _saved(figure, path)


def _panels(path: str | Path, columns: int, height: float, *, sharey: bool = False) -> tuple[Figure, list[Axes]] | None:
    """Return a figure that will be `path`, and its panels, side by side; `None`, and a warning, without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        logger.warning("no %s was plotted: it needs matplotlib, install enerv-zoo[plots]", printable(str(path)))
        return None
    width = PLOT_WIDTH * columns
    margins = {"left": 0.7 / width, "right": 1 - 0.15 / width, "bottom": 0.55 / height, "top": 1 - 0.15 / height}
    figure = Figure(figsize=(width, height), dpi=120)  # a layout engine would draw everything twice
    panels = list(figure.subplots(1, columns, squeeze=False, sharey=sharey, gridspec_kw=margins)[0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _saved(figure: Figure, path: str | Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)
