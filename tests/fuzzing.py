"""Strategies for hostile input: plain data with places exchanged, and bytes with a few of them changed."""

from __future__ import annotations

import copy
from functools import partial

from hypothesis import strategies as st


def at(tree, path):
    """The value at a place in plain data."""
    for step in path:
        tree = tree[step]
    return tree


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.integers(-3, 70)
    | st.sampled_from([1 << 20, 1 << 31, 1 << 63, 0, -1, 1e300, 1e-300, 0.5, "gelu", "nerv", "conv", "", "time"])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner))


def paths(tree, path=()):
    """Every place in plain data."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from paths(value, (*path, key))


def transplant(tree, path):
    return copy.deepcopy(at(tree, path))


@st.composite
def mutated(draw, tree):
    """The same plain data with up to three places replaced, dropped or copied elsewhere."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from([path for path in paths(tree) if path] or [("x",)]))
        try:
            parent = at(tree, above)
            if draw(st.booleans()) and isinstance(parent, dict):
                del parent[last]
            else:
                parent[last] = draw(VALUES | st.sampled_from(list(paths(tree))).map(partial(transplant, tree)))
        except (KeyError, TypeError):
            pass
    return tree


@st.composite
def damaged(draw, data, head=64):
    """The same bytes, cut short or with a few of them changed, most of them among the first `head`."""
    if draw(st.booleans()):
        return data[: draw(st.integers(0, len(data)))]
    changed = bytearray(data)
    near = st.integers(0, min(head, len(data)) - 1)
    for place in draw(st.lists(near | st.integers(0, len(data) - 1), min_size=1, max_size=4)):
        changed[place] = draw(st.integers(0, 255))
    return bytes(changed)
