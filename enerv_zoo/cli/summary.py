"""A network as a tree: `enerv-zoo info --tree` and `enerv-zoo info --model`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.tree import Tree

from enerv_zoo.shell import amount

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
    cost = f"{part.stored_numbers:,} parameters, {amount(part.macs)}MAC" + (" once per video" if part.once else "")
    branch = parent.add(f"{part.label}: {part.shapes}, {cost}")
    for inner in part.parts:
        _grow(branch, inner)
