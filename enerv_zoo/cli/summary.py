"""A network as a tree: `enerv-zoo info --tree` and `enerv-zoo info --model`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.tree import Tree

if TYPE_CHECKING:
    from enerv_zoo.summary import ModelSummary, Part


def tree(summary: ModelSummary, title: str) -> Tree:
    """Return the parts of a network with their shapes, stored parameters and multiply-accumulates per frame."""
    totals = f"{summary.stored_numbers:,} parameters, {amount(summary.macs)}MAC per frame"
    if summary.macs_once:
        totals += f", {amount(summary.macs_once)}MAC once per video"
    root = Tree(f"{title}: {totals}")
    for part in summary.parts:
        _grow(root, part)
    return root


def _grow(parent: Tree, part: Part) -> None:
    label = f"{part.role} ({part.name})" if part.name else part.role
    cost = f"{part.stored_numbers:,} parameters, {amount(part.macs)}MAC" + (" once per video" if part.once else "")
    branch = parent.add(f"{label}: {_shapes(part.inputs)} -> {_shapes(part.outputs)}, {cost}")
    for inner in part.parts:
        _grow(branch, inner)


def _shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    """Shapes as tensors have them, (C, H, W)."""
    return ", ".join(str(shape) if shape else "index" for shape in shapes)


def amount(count: int) -> str:
    """Format a count with three digits and the prefix of its unit: 151 G, 2.4 M."""
    value, prefixes = float(count), ["", "k", "M", "G", "T", "P"]
    while value >= 999.5 and len(prefixes) > 1:
        value, prefixes = value / 1000, prefixes[1:]
    return f"{value:.3g} {prefixes[0]}"
