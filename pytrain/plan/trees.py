"""Trees as plans have them.

Tree         one tree: its nodes, its leaves' values
ensemble     trees as a node of a plan that sums them
leaves       trees as a node that numbers their leaves
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.plan.tensors import Tensor
from pytrain.plan.values import Value, node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]
    Floats = npt.NDArray[np.float64]

# Flags of a node; docs/plan-format.md says what each does.
MISSING_LEFT, ZERO_MISSING, NAN_MISSING, CATEGORICAL, NO_NEGATIVE = 1, 2, 4, 8, 16

# LightGBM's kZeroThreshold: numbers that are not further from 0 are 0.
ZERO = float(np.float32(1e-35))


@dataclass(frozen=True)
class Tree:
    """One tree of n nodes, the root first.

    Attributes
    ----------
    feature
        (n,), −1 at a leaf.
    threshold
        (n,).
    left, right
        (n,) numbers of nodes; anything at a leaf.
    flags
        (n,) uint8.
    values
        (n, v) values of a leaf; anything elsewhere.
    sets
        Of categorical nodes by their number: words of 32 bits, the categories that go left.
    """

    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    flags: npt.NDArray[np.uint8]
    values: Floats
    sets: Mapping[int, npt.NDArray[np.uint32]] = field(default_factory=dict)


def bitset(categories: Sequence[int]) -> npt.NDArray[np.uint32]:
    """Return words of 32 bits with a bit for each category, a whole number of at least 0."""
    words = np.zeros(max(categories, default=-1) // 32 + 1, np.uint32)
    for category in categories:
        words[category // 32] |= np.uint32(1 << category % 32)
    return words


def _in_preorder(tree: Tree) -> Tree:
    """Renumber the nodes so that children come after their parents, as plans have it."""
    inner = tree.feature >= 0
    number = np.arange(len(inner))
    if (tree.left > number)[inner].all() and (tree.right > number)[inner].all():
        return tree
    order: list[int] = []
    stack = [0]
    while stack:
        at = stack.pop()
        order.append(at)
        if tree.feature[at] >= 0:
            stack += [int(tree.right[at]), int(tree.left[at])]
    place = np.full(len(inner), -1, np.int32)
    place[order] = np.arange(len(order))
    return Tree(
        feature=tree.feature[order],
        threshold=tree.threshold[order],
        left=np.where(inner, place[tree.left * inner], -1)[order],
        right=np.where(inner, place[tree.right * inner], -1)[order],
        flags=tree.flags[order],
        values=tree.values[order],
        sets={int(place[at]): words for at, words in tree.sets.items() if place[at] >= 0},
    )


def tensors(trees: Sequence[Tree], base: npt.ArrayLike) -> dict[str, Tensor]:
    """Return the objects of `trees` and `leaves`. Leaves that share a row of values have it once."""
    trees = [_in_preorder(tree) for tree in trees]
    sizes = [len(tree.feature) for tree in trees]
    starts = np.cumsum([0, *sizes])[:-1].astype(np.int32)
    feature = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
    inner = feature >= 0
    offset = np.repeat(starts, sizes)
    values = np.concatenate([tree.values for tree in trees]).astype(np.float64)[~inner]
    rows = np.ascontiguousarray(values).view(np.dtype((np.void, values.shape[1] * 8)))[:, 0]
    _, first, row = np.unique(rows, return_index=True, return_inverse=True)
    leaf = np.full(len(feature), -1, np.int32)
    leaf[~inner] = row
    arrays: dict[str, npt.NDArray[Any]] = {
        "roots": starts,
        "feature": np.where(inner, feature, -1).astype(np.int32),
        "threshold": np.where(inner, np.concatenate([tree.threshold for tree in trees]), 0).astype(np.float64),
        "left": np.where(inner, np.concatenate([tree.left for tree in trees]) + offset, -1).astype(np.int32),
        "right": np.where(inner, np.concatenate([tree.right for tree in trees]) + offset, -1).astype(np.int32),
        "leaf": leaf,
        "flags": np.where(inner, np.concatenate([tree.flags for tree in trees]), 0).astype(np.uint8),
        "values": values[first],
        "base": np.atleast_1d(np.asarray(base, np.float64)),
    }
    if any(tree.sets for tree in trees):
        arrays |= _sets(trees, starts, len(feature))
    return {name: Tensor(array) for name, array in arrays.items()}


def _sets(trees: Sequence[Tree], starts: Ints, nodes: int) -> dict[str, npt.NDArray[Any]]:
    found: dict[bytes, int] = {}  # equal sets are kept once
    words: list[npt.NDArray[np.uint32]] = []
    start, count = np.zeros(nodes, np.int32), np.zeros(nodes, np.int32)
    total = 0
    for first, tree in zip(starts, trees, strict=True):
        for at, bits in tree.sets.items():
            key = bits.tobytes()
            if key not in found:
                found[key] = total
                words.append(bits)
                total += len(bits)
            start[first + at], count[first + at] = found[key], len(bits)
    return {"bits": np.concatenate(words).astype(np.uint32), "bit_start": start, "bit_count": count}


def ensemble(
    value: Value,
    trees: Sequence[Tree],
    *,
    base: npt.ArrayLike = 0.0,
    columns: Sequence[int] | None = None,
    divide: float = 1.0,
    less: bool = False,
    single: bool = False,
    accepts: str = "any",
) -> Value:
    """Return the sum of the trees' leaves.

    Parameters
    ----------
    value
        float64 or float32, dense.
    base
        (k,) what the sum starts with.
    columns
        The output column of each tree, if leaves have one value; else they have k.
    divide
        The sum is divided by this.
    less
        Nodes ask `x < threshold`, else `x <= threshold`.
    single
        Every sum is rounded to float32.
    accepts
        `any`, `no_infinity` or `finite`: rows with other numbers are refused.
    """
    settings: dict[str, Any] = {"compare": "lt" if less else "le", "accepts": accepts}
    if columns is not None and np.size(base) > 1:
        settings["columns"] = tuple(columns)
    if divide != 1:
        settings["divide"] = float(divide)
    if single:
        settings["precision"] = "float32"
    return node("trees", [value], settings, tensors(trees, base))


def leaves(value: Value, trees: Sequence[Tree], *, accepts: str = "any") -> Value:
    """Return the number of each tree's leaf, in the order of its nodes."""
    width = trees[0].values.shape[1]
    return node("leaves", [value], {"compare": "le", "accepts": accepts}, tensors(trees, np.zeros(width)))


def find_leaves(tree: Tree, x: Floats, *, less: bool = False) -> Ints:
    """Return the leaf (n,) of each row of x (n, w), as the numbers of nodes. For golden rows, not for speed."""
    packed = _sets([tree], np.zeros(1, np.int32), len(tree.feature)) if tree.sets else {}
    at = np.zeros(len(x), np.int32)
    while len(rows := np.flatnonzero(tree.feature[at] >= 0)):
        nodes = at[rows]
        flags, found = tree.flags[nodes], x[rows, tree.feature[nodes]].astype(np.float64)
        found[np.isnan(found) & (flags & NAN_MISSING == 0)] = 0.0
        missing = np.isnan(found) | ((flags & ZERO_MISSING > 0) & (np.abs(found) <= ZERO))
        left = found < tree.threshold[nodes] if less else found <= tree.threshold[nodes]
        if len(sets := np.flatnonzero(flags & CATEGORICAL)):
            left[sets] = _in_sets(packed, nodes[sets], found[sets], flags[sets])
        left[missing] = flags[missing] & MISSING_LEFT > 0
        at[rows] = np.where(left, tree.left[nodes], tree.right[nodes])
    return at


def _in_sets(
    packed: Mapping[str, Any], nodes: Ints, values: Floats, flags: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Return whether each node's set has the value."""
    count = packed["bit_count"][nodes]
    inside = (values > -1) & (values < 32 * count) & ((flags & NO_NEGATIVE == 0) | (values >= 0))
    code = np.where(inside, values, 0).astype(np.int64)
    words = np.append(packed["bits"], np.uint32(0))[np.where(inside, packed["bit_start"][nodes] + code // 32, -1)]
    return np.asarray(inside & (words >> (code % 32).astype(np.uint32) & 1 > 0))


def evaluate(
    trees: Sequence[Tree],
    x: Floats,
    base: npt.NDArray[Any],
    columns: Sequence[int],
    *,
    divide: float = 1.0,
    less: bool = False,
) -> npt.NDArray[Any]:
    """Return what `trees` computes of rows x (n, w): sums (n, k), of float32 if the base (k,) is. For golden rows."""
    sums = np.repeat(base[None], len(x), axis=0)
    for tree, column in zip(trees, columns, strict=True):
        sums[:, column] += tree.values[find_leaves(tree, x, less=less), 0].astype(base.dtype)
    return np.asarray(sums / base.dtype.type(divide))
