"""Which rows have answers that do not hang on the last place of a sum.

Two correct programs add in different orders, so their sums differ in the last place. That does not matter, except
- far out, where terms of 1e15 cancel, and so close to 0 that floats have fewer digits;
- where such a sum is compared: a bin's edge may be exactly the projection of a training row.
There scikit-learn itself answers differently in batches of other sizes. Golden rows keep away from such places. Where
an input is compared, with only additions or multiplications by one number between, all is exact, and rows stay at the
edge.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from pytrain.plan.asking import expected, take
from pytrain.plan.boosted import Boosted
from pytrain.plan.xgboost import XGBoost

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pytrain.plan.asking import Column
    from pytrain.plan.graph import Plan
    from pytrain.plan.importing import Model
    from pytrain.plan.values import Value

_FAR = 1e6
_TINY = 1e-290
_JITTER = 2.0**-49
_EDGE = 2.0**-45  # of what is compared: more than sums differ by
_NARROW = 2.0**-22  # of thresholds that are compared with float32
_CLOSE = 1e-3  # of the tolerance
_SUMS = {"linear", "project", "distances", "normalize", "polynomial", "mean", "link", "sigmoid_calibration", "isotonic"}
_COMPARE = {"bins", "binarize", "lookup", "equal_missing", "trees", "leaves"}
_STEPS = {"floor", "ceil", "rint", "sign"}
_EXACT = {*_STEPS, "abs", "negative", "square"}
_GROW = {"exp", "expm1", "square", "reciprocal"}
_KEPT = {"categories_", "classes_"}  # compared for equality
_EDGES = {"bin_edges_"}


def steady(
    model: Model,
    rows: Mapping[str, Column],
    outputs: Mapping[str, npt.NDArray[np.float64]],
    answered: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) two correct programs answer alike.

    Parameters
    ----------
    outputs, answered
        What scikit-learn answers, and to which rows (n,) at all. A row that it refuses is steady.
    """
    n = len(next(iter(outputs.values())))
    delicate = is_delicate(model.plan)
    asked = np.full(n, delicate)
    for column in rows.values():
        if isinstance(column, np.ndarray):
            asked |= (_far(column) | _tiny(column)).any(axis=1)
    same = np.ones(n, bool)
    places = np.flatnonzero(asked & answered)
    rng = np.random.default_rng(0)
    # All edges a little up, all a little down, and twice every number in some direction.
    for sign in (1, -1, 0, 0) if len(places) else ():
        other = model
        if delicate:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # that an estimator's class is deprecated
                copied = copy.deepcopy(model.estimator)
            other = replace(model, estimator=_Jitter(sign, rng).apply(copied))
        moved = {name: _moved(take(column, places), rng, every=delicate and not sign) for name, column in rows.items()}
        found, _ = expected(other, moved)
        for name, output in found.items():
            before = outputs[name][places]
            with np.errstate(invalid="ignore"):
                close = np.abs(output - before) <= _CLOSE * model.plan.tolerance * np.maximum(1, np.abs(before))
            same[places] &= (close | (np.isnan(output) & np.isnan(before))).all(axis=1)
    return same


def is_delicate(plan: Plan) -> bool:
    """Whether sums are compared anywhere, or numbers may grow so that last places matter."""
    inexact: dict[bytes, bool] = {}
    for node in plan.nodes:
        before = any(inexact.get(v.digest, False) for v in node.inputs)
        name = node.settings.get("name", "")
        compares = (node.op in _COMPARE) or (node.op == "function" and name in _STEPS)
        if (compares and before) or node.op == "polynomial" or (node.op == "function" and name in _GROW):
            return True
        inexact[node.digest] = before or _is_inexact(node, name)
    return False


def _is_inexact(node: Value, name: str) -> bool:
    return node.op in _SUMS or (node.op == "function" and name not in _EXACT)


def _moved(column: Column, rng: np.random.Generator, *, every: bool) -> Column:
    if not isinstance(column, np.ndarray):
        return column
    moved = column * (1 + _JITTER * rng.choice([-1, 1], column.shape))
    moved = np.where(_tiny(column), column * rng.choice([1, 2, 3], column.shape), moved)
    return moved if every else np.where(_far(column) | _tiny(column), moved, column)


def _far(column: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.abs(column) > _FAR


def _tiny(column: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray((column != 0) & (np.abs(column) < _TINY))


class _Jitter:
    """Changes an estimator's numbers in their last places: edges by `sign`, or all at random if it is 0."""

    def __init__(self, sign: int, rng: np.random.Generator) -> None:
        self._sign = sign
        self._rng = rng

    def apply(self, value: Any, name: str = "") -> Any:
        """Return the value with other numbers. Estimators and trees are changed in place."""
        if name in _KEPT:
            return value
        if isinstance(value, np.ndarray):
            return self._array(value, name)
        if type(value) in (list, tuple):
            return type(value)([self.apply(v, name) for v in value])
        if isinstance(value, Tree):
            value.threshold[...] *= self._factors(value.threshold.shape, _NARROW)
        elif isinstance(value, TreePredictor):
            nodes = value.nodes.copy()
            nodes["num_threshold"] *= self._factors(nodes.shape, _EDGE)
            value.nodes = nodes
        elif isinstance(value, Boosted):
            self._boosted(value)
        elif hasattr(value, "get_params") or type(value).__name__ == "_CalibratedClassifier":
            for key, part in vars(value).items():
                vars(value)[key] = self.apply(part, key)
        return value

    def _boosted(self, value: Boosted) -> None:
        if value.booster is None:
            return
        size = _NARROW if isinstance(value.booster, XGBoost) else _EDGE
        trees = [
            replace(t, threshold=t.threshold * self._factors(t.threshold.shape, size)) for t in value.booster.trees
        ]
        value.booster = replace(value.booster, trees=tuple(trees))

    def _array(self, value: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
        if value.dtype == object:
            changed = value.copy()
            changed[...] = [self.apply(v, name) for v in value.flat] if value.ndim == 1 else value
            return changed
        if value.dtype.kind == "f" and (self._sign == 0 or name in _EDGES):
            return np.asarray(
                (value * self._factors(value.shape, _EDGE if name in _EDGES else _JITTER)).astype(value.dtype)
            )
        return value

    def _factors(self, shape: tuple[int, ...], size: float) -> npt.NDArray[np.float64]:
        return 1 + size * (np.full(shape, self._sign) if self._sign else self._rng.uniform(-1, 1, shape))
