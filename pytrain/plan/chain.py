"""The operators as methods: what `Value` offers to chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.plan.dictionary import dictionary
from pytrain.plan.operators import Fault
from pytrain.plan.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pytrain.plan.values import Value

    Array = npt.NDArray[Any] | Tensor | Sequence[float]

Text = str | None  # None is a missing text


def whole(numbers: Sequence[int] | npt.NDArray[Any], what: str) -> tuple[int, ...]:
    """Return integers as Python's.

    Raises
    ------
    Fault
        One of them is no integer, as 2.5, 2.0 or a mask's True.
    """
    odd = [n for n in numbers if isinstance(n, bool | np.bool_) or not isinstance(n, int | np.integer)]
    if odd:
        raise Fault(f"{what} is {odd[0]!r}, no integer")
    return tuple(int(n) for n in numbers)


class Chain:
    """Operators that read one value. The subclass says what the value is read as, and makes nodes."""

    def numbers(self) -> Value:
        """Return it as float64, dense or sparse."""
        raise NotImplementedError

    def dense(self) -> Value:
        """Return it as dense numbers."""
        raise NotImplementedError

    def texts(self) -> Value:
        """Return it as one column of text."""
        raise NotImplementedError

    def _node(
        self,
        op: str,
        value: Value,
        settings: Mapping[str, Any] | None = None,
        tensors: Mapping[str, npt.NDArray[Any] | Tensor] | None = None,
    ) -> Value:
        """Return a node that reads the value."""
        raise NotImplementedError

    # Numbers. Arguments of one value a column may be single numbers.

    def _each(self, op: str, value: Array | float, *, sparse: bool = False) -> Value:
        of = self.numbers() if sparse else self.dense()
        values = np.broadcast_to(np.asarray(value, np.float64), (of.width,))
        return self._node(op, of, tensors={"value": values})

    def add(self, value: Array | float) -> Value:
        """Return x + value."""
        return self._each("add", value)

    def sub(self, value: Array | float) -> Value:
        """Return x − value."""
        return self._each("sub", value)

    def mul(self, value: Array | float) -> Value:
        """Return x · value; sparse stays sparse."""
        return self._each("mul", value, sparse=True)

    def div(self, value: Array | float) -> Value:
        """Return x / value; sparse stays sparse."""
        return self._each("div", value, sparse=True)

    def clip(self, low: float, high: float) -> Value:
        """Return x within [low, high]."""
        return self._node("clip", self.dense(), {"low": float(low), "high": float(high)})

    def impute(self, value: Array | float) -> Value:
        """Return x, or value where x is NaN."""
        return self._each("impute", value)

    def missing(self) -> Value:
        """Return 1 where x is NaN, else 0."""
        return self._node("missing", self.dense())

    def equal_missing(self, value: float) -> Value:
        """Return NaN where x equals value, else x."""
        return self._node("equal_missing", self.dense(), {"value": float(value)})

    def normalize(self, norm: str) -> Value:
        """Return rows divided by their norm: `l1`, `l2` or `max`."""
        return self._node("normalize", self.numbers(), {"norm": norm})

    def binarize(self, threshold: float) -> Value:
        """Return 1 where x > threshold, else 0."""
        value = self.numbers() if threshold >= 0 else self.dense()
        return self._node("binarize", value, {"threshold": float(threshold)})

    def function(self, name: str) -> Value:
        """Return NumPy's function of that name of x."""
        return self._node("function", self.dense(), {"name": name})

    def bins(self, edges: Sequence[npt.NDArray[Any]]) -> Value:
        """Return how many of a column's edges are ≤ x."""
        flat = np.concatenate([np.zeros(0), *edges]).astype(np.float64)
        return self._node("bins", self.dense(), {"counts": tuple(len(e) for e in edges)}, {"edges": flat})

    def polynomial(self, powers: npt.NDArray[Any]) -> Value:
        """Return Π x_j ^ powers[i, j] for each row i of powers."""
        exact = np.reshape(whole(np.ravel(powers), "polynomial: a power"), np.shape(powers))
        return self._node("polynomial", self.dense(), tensors={"powers": np.asarray(exact, np.int32)})

    # Categories.

    def lookup_numbers(self, codes: Mapping[float, float], *, unknown: float | None) -> Value:
        """Return the code of a number. NaN may be a key. With unknown None, a row with another number is refused."""
        finite = sorted((float(k) + 0.0, float(v)) for k, v in codes.items() if k == k)  # noqa: PLR0124 - not NaN
        nan = [(float("nan"), float(v)) for k, v in codes.items() if k != k]  # noqa: PLR0124
        pairs = np.array([*finite, *nan[:1]], np.float64).reshape(-1, 2)
        settings = {"unknown": None if unknown is None else float(unknown)}
        return self._node("lookup", self.dense(), settings, {"keys": pairs[:, 0], "codes": pairs[:, 1]})

    def lookup_texts(self, codes: Mapping[Text, float], *, unknown: float | None) -> Value:
        """Return the code of a text. None is a missing text. With unknown None, a row with another text is refused."""
        tensors = dictionary([b"\xff" if k is None else k.encode() for k in codes])
        values = np.array(list(codes.values()), np.float64)
        settings = {"unknown": None if unknown is None else float(unknown)}
        return self._node("lookup", self.texts(), settings, tensors | {"codes": Tensor(values)})

    def expand(self, sizes: Sequence[int]) -> Value:
        """Return column j as sizes[j] columns with a 1 at its value; sparse."""
        return self._node("expand", self.dense(), {"sizes": whole(sizes, "expand: a size")})

    def gather(self, table: npt.NDArray[Any]) -> Value:
        """Return the row of the table that the one column names."""
        return self._node("gather", self.dense(), tensors={"table": np.asarray(table, np.float64)})

    # Models.

    def linear(self, coef: npt.NDArray[Any], intercept: Array | float, *, finite: bool = True) -> Value:
        """Return coef (k, w) · x + intercept (k,). If `finite`, rows with other numbers are refused."""
        value = self.numbers()
        matrix = np.atleast_2d(np.asarray(coef, np.float64))
        bias = np.broadcast_to(np.asarray(intercept, np.float64), (len(matrix),))
        return self._node("linear", value, {"finite": finite}, {"coef": matrix, "intercept": bias})

    def _rows(self, op: str, name: str, matrix: npt.NDArray[Any]) -> Value:
        value = self.numbers()
        return self._node(op, value, {"finite": True}, {name: np.asarray(matrix, np.float64)})

    def project(self, matrix: npt.NDArray[Any]) -> Value:
        """Return matrix (k, w) · x."""
        return self._rows("project", "matrix", matrix)

    def distances(self, centers: npt.NDArray[Any]) -> Value:
        """Return the distances to the centers (k, w)."""
        return self._rows("distances", "centers", centers)

    def nearest(self, centers: npt.NDArray[Any]) -> Value:
        """Return the number of the nearest center (k, w)."""
        return self._rows("nearest", "centers", centers)

    def link(self, kind: str) -> Value:
        """Return probabilities, or the inverse of a regression's link."""
        return self._node("link", self.dense(), {"kind": kind})

    def argmax(self) -> Value:
        """Return the first column of the greatest value; with one column 1 where x > 0."""
        return self._node("argmax", self.dense())

    def sigmoid_calibration(self, a: float, b: float) -> Value:
        """Return 1 / (1 + exp(a·x + b))."""
        return self._node("sigmoid_calibration", self.dense(), {"a": float(a), "b": float(b)})

    def isotonic(self, x: Array, y: Array) -> Value:
        """Return the line through the points (x, y), constant outside."""
        tensors = {"x": np.asarray(x, np.float64), "y": np.asarray(y, np.float64)}
        return self._node("isotonic", self.dense(), tensors=tensors)
