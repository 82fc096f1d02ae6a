"""ONNX's tree ensembles as plans.

They are equal to the last bit: both compare numbers with thresholds of the same type, and add leaves in the order of
the trees, rounding each sum to float32. An ensemble of doubles rounds its sums to float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pytrain.plan.onnx_graph import ML, Known, Node, narrow, operator, rounded
from pytrain.plan.onnx_linear import labels_of, linked
from pytrain.plan.trees import MISSING_LEFT, NAN_MISSING, Tree, ensemble
from pytrain.plan.values import Value, concat

# Of each mode: the threshold is the next number below, and the children change places.
_MODES = {
    "BRANCH_LEQ": (False, False),
    "BRANCH_LT": (True, False),
    "BRANCH_GT": (False, True),
    "BRANCH_GTE": (True, True),
}


@dataclass(frozen=True)
class _Ensemble:
    """Trees, the output column of each (empty if a leaf has a value for several), and how many columns there are."""

    trees: list[Tree]
    columns: list[int]
    width: int
    used: tuple[int, ...]  # columns that some leaf has a value for


def _read(n: Node, weights: str, ids: str, width: int) -> _Ensemble:
    """Read the trees; `weights` and `ids` are the prefix and the name of the attributes of the leaves."""
    double = n.settings.get("nodes_values_as_tensor") is not None
    tree_of = np.asarray(n.settings["nodes_treeids"], np.int64)
    id_of = np.asarray(n.settings["nodes_nodeids"], np.int64)
    modes = n.settings["nodes_modes"]
    for mode in set(modes) - {"LEAF"}:
        if mode not in _MODES:
            raise n.refuse(
                f"has nodes of mode {mode}",
                "port the model's own file: LightGBM's .txt, XGBoost's .ubj or scikit-learn's .skops",
            )
    features = np.asarray(n.settings["nodes_featureids"], np.int64)
    thresholds = n.floats("nodes_values")
    tracks = np.asarray(n.get("nodes_missing_value_tracks_true", np.zeros(len(tree_of))), np.int64)
    true, false = (np.asarray(n.settings[f"nodes_{side}nodeids"], np.int64) for side in ("true", "false"))
    values = np.zeros((len(tree_of), width))
    place = {(int(t), int(i)): at for at, (t, i) in enumerate(zip(tree_of, id_of, strict=True))}
    columns = np.asarray(n.settings[ids], np.int64)
    per_tree: dict[int, set[int]] = {}
    for t, i, column, value in zip(
        n.settings[f"{weights}_treeids"],
        n.settings[f"{weights}_nodeids"],
        columns,
        n.floats(f"{weights}_weights"),
        strict=True,
    ):
        values[place[(t, i)], column] += value
        per_tree.setdefault(t, set()).add(int(column))
    if not np.isfinite(values).all():
        raise n.refuse("has a leaf that is not finite", "train the model again")
    single = width > 1 and all(len(found) == 1 for found in per_tree.values())
    trees, of = [], []
    for t in dict.fromkeys(tree_of.tolist()):
        at = np.flatnonzero(tree_of == t)
        number = {int(id_of[a]): i for i, a in enumerate(at)}
        inner = np.array([modes[a] != "LEAF" for a in at])
        below, swap = (np.array([modes[a] in _MODES and _MODES[modes[a]][k] for a in at]) for k in (0, 1))
        kind = np.float64 if double else np.float32
        threshold = np.where(below, np.nextafter(thresholds[at].astype(kind), kind(-np.inf)), thresholds[at]).astype(
            np.float64
        )
        if np.isnan(threshold[inner]).any():
            raise n.refuse("has a threshold that is NaN", "train the model again")
        yes, no = (np.array([number.get(int(c), 0) for c in side[at]], np.int32) for side in (true, false))
        left = tracks[at].astype(bool) != swap
        tree = Tree(
            feature=np.where(inner, features[at], -1).astype(np.int32),
            threshold=np.where(inner, threshold, 0.0),
            left=np.where(swap, no, yes).astype(np.int32),
            right=np.where(swap, yes, no).astype(np.int32),
            flags=np.where(inner, NAN_MISSING + MISSING_LEFT * left, 0).astype(np.uint8),
            values=values[at],
        )
        if single:
            (column,) = per_tree[t]
            tree = replace(tree, values=tree.values[:, column : column + 1])
            of.append(column)
        trees.append(_from_root(n, tree))
    return _Ensemble(trees, of, width, tuple(sorted(set(columns.tolist()))))


def _from_root(n: Node, tree: Tree) -> Tree:
    """Check that the first node is the root, which no other has as its child."""
    inner = tree.feature >= 0
    if (tree.left[inner] == 0).any() or (tree.right[inner] == 0).any():
        raise n.refuse("has a tree that does not begin with its root", "export it again")
    return tree


def _summed(n: Node, found: _Ensemble, known: Known) -> Value:
    """Return the sums (k), with the base added last, as onnxruntime does."""
    double = n.settings.get("nodes_values_as_tensor") is not None
    if known.type == "float64" and not double:
        raise n.refuse("compares doubles with float thresholds", "cast its input to FLOAT")
    if max(int(t.feature.max()) for t in found.trees) >= known.width:
        raise n.refuse("reads a column that its input lacks", "export it again")
    aggregate = n.get("aggregate_function", "SUM")
    if aggregate not in ("SUM", "AVERAGE"):
        raise n.refuse(f"has aggregate_function {aggregate!r}", "use SUM or AVERAGE")
    single = not double
    raw = ensemble(
        narrow(known) if single else known.columns.dense(),
        found.trees,
        base=np.zeros(found.width),
        columns=found.columns or None,
        divide=len(found.trees) if aggregate == "AVERAGE" else 1.0,
        single=single,
    )
    base = n.floats("base_values")
    return rounded(raw.add(base), "float32") if len(base) and base.any() else raw


@operator("TreeEnsembleRegressor", domain=ML)
def regressor(n: Node) -> list[Known]:
    """Sum the leaves, and apply the transform."""
    targets = int(n.get("n_targets", 1))
    found = _read(n, "target", "target_ids", targets)
    if len(n.floats("base_values")) not in (0, targets):
        raise n.refuse("has base_values for other than its targets", "export it again")
    if targets == 1:  # onnxruntime leaves other transforms of a single target out
        n.only({"post_transform": ("NONE",)})
    value = rounded(_summed(n, found, n.rows()), "float32")
    return [Known("float32", linked(n, value), shape=(targets,))]


@operator("TreeEnsembleClassifier", domain=ML)
def classifier(n: Node) -> list[Known]:
    """Sum the leaves of each class. If all are of one of two classes, onnxruntime makes two columns of the sum."""
    labels = labels_of(n, ("classlabels_strings", "classlabels_int64s"))
    found = _read(n, "class", "class_ids", len(labels))
    base = n.floats("base_values")
    label = Known("text", labels=labels)
    if len(labels) == 2 and len(found.used) == 1:
        column = found.used[0]
        trees = [replace(t, values=t.values if found.columns else t.values[:, [column]]) for t in found.trees]
        one = _Ensemble(trees, [], 1, (0,))
        if len(base) not in (0, 1):
            raise n.refuse("has two base_values for one score", "export it with one")
        value = _both(n, rounded(_summed(n, one, n.rows()), "float32"))
    else:
        if len(base) not in (0, len(labels)) or (len(labels) == 2 and base.any()):
            # Of two classes onnxruntime adds only the second's, and makes one score of them.
            raise n.refuse(
                f"has {len(base)} base_values of {len(labels)} classes", "add them to the leaves of one tree"
            )
        value = linked(n, rounded(_summed(n, found, n.rows()), "float32"))
    both = len(labels) == 2 and len(found.used) == 1
    shares = n.get("post_transform", "NONE") == "SOFTMAX" or both
    return [label, Known("float32", value, shape=(len(labels),), shares=shares)]


def _both(n: Node, score: Value) -> Value:
    """Return the columns of two classes that onnxruntime makes of one score."""
    positive = bool((n.floats("class_weights") >= 0).all())
    match n.get("post_transform", "NONE"), positive:
        case "NONE", True:
            return concat([rounded(score.mul(-1.0).add(1.0), "float32"), score])
        case "NONE", False:
            return concat([score.mul(-1.0), score])
        case "LOGISTIC", False:
            return rounded(score.link("binary"), "float32")
        case transform, _:
            raise n.refuse(
                f"has post_transform {transform!r} of one score {'of no negative leaf' if positive else ''}".rstrip(),
                "export it with a score for each class",
            )
