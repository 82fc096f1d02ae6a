"""ONNX's linear models, and what classifiers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.plan.onnx_graph import ML, Known, Node, operator, rounded

if TYPE_CHECKING:
    import numpy.typing as npt

    from pytrain.plan.values import Value


def _sum(n: Node, coef: npt.NDArray[Any], intercept: Any, known: Known) -> Value:
    """Return coef · x + intercept; the type's own sums differ from it in their last places."""
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise n.refuse("has a weight that is not finite", "train the model again")
    if coef.shape[1] != known.width:
        raise n.refuse(f"has {coef.shape[1]} weights for {known.width} columns", "export it again")
    return rounded(known.columns.linear(coef, intercept, finite=False), known.type)


@operator("MatMul", "Gemm")
def matrix(n: Node) -> list[Known]:
    """Multiply by a matrix, and maybe add."""
    known, weights = n.rows(), n.constant(1).astype(np.float64)
    if len(known.shape) != 1 or weights.ndim not in (1, 2):
        raise n.refuse("multiplies other than a tensor [N, k] by a matrix", "reshape it to [N, k]")
    if known.type == "int":
        raise n.refuse("multiplies whole numbers", "cast them to FLOAT first")
    n.only({"transA": (0,), "alpha": (1.0,), "beta": (1.0,), "transB": (0, 1)})
    coef = (weights if n.get("transB", 0) else weights.T) if weights.ndim == 2 else weights[None]
    intercept: Any = np.zeros(len(coef))
    if len(n.inputs) > 2 and n.inputs[2] is not None:
        added = n.constant(2).astype(np.float64)
        if added.size not in (1, len(coef)):
            raise n.refuse(f"adds a constant of shape {list(added.shape)}", "add one value a column")
        intercept = np.broadcast_to(added.ravel(), (len(coef),))
    value = _sum(n, np.ascontiguousarray(coef), intercept, known)
    return [Known(known.type, value, shape=(len(coef),) if weights.ndim == 2 else ())]


LINKS = {"NONE": "", "LOGISTIC": "sigmoid", "SOFTMAX": "softmax"}


def linked(n: Node, value: Value) -> Value:
    """Return what `post_transform` makes of scores, each in float32."""
    transform = n.get("post_transform", "NONE")
    if transform not in LINKS:
        raise n.refuse(f"has post_transform {transform!r}", f"use one of {', '.join(LINKS)}")
    return rounded(value.link(LINKS[transform]), "float32") if LINKS[transform] else value


@operator("LinearRegressor", domain=ML)
def linear_regressor(n: Node) -> list[Known]:
    """Compute sums, and their transform."""
    known, targets = n.rows(), int(n.get("targets", 1))
    coef = n.floats("coefficients").reshape(targets, -1)
    intercept = n.floats("intercepts") if "intercepts" in n.settings else np.zeros(targets)
    single = Known("float32", rounded(known.columns, "float32"), shape=known.shape)
    if targets == 1:
        n.only({"post_transform": ("NONE", "LOGISTIC")})
    return [Known("float32", linked(n, _sum(n, coef, intercept, single)), shape=(targets,))]


def labels_of(n: Node, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the classes of a classifier."""
    for name in names:
        if n.get(name, ()):
            return tuple(n.settings[name])
    raise n.refuse("has no classlabels", "export it again")


@operator("LinearClassifier", domain=ML)
def linear_classifier(n: Node) -> list[Known]:
    """Compute the scores of classes. Of one score, onnxruntime makes two."""
    known = n.rows()
    labels = labels_of(n, ("classlabels_strings", "classlabels_ints"))
    intercept = n.floats("intercepts")
    scores = len(intercept)
    coef = n.floats("coefficients").reshape(scores, -1)
    single = Known("float32", rounded(known.columns, "float32"), shape=known.shape)
    if scores != len(labels):
        raise n.refuse(f"has {scores} scores for {len(labels)} classes", "export it with a score for each class")
    value = linked(n, _sum(n, coef, intercept, single))
    opposite = scores == 2 and np.array_equal(coef[0], -coef[1]) and intercept[0] == -intercept[1]
    post = n.get("post_transform", "NONE")
    shares = post == "SOFTMAX" or (post == "LOGISTIC" and opposite)
    return [Known("text", labels=labels), Known("float32", value, shape=(scores,), shares=shares)]
