"""Coefficients without those that are 0: how a plan stores a linear model with one row of many columns.

The terms of a large dictionary that never stood in the texts of the fit have the coefficient 0, often a third of all.
The graph holds all coefficients; they are left out as a plan is written, and put back as it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytrain.plan.operators import Fault
from pytrain.plan.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pytrain.plan.values import Value

_LEAST = 4096  # bytes that leaving zeros out must save: a page of memory


def stored(value: Value) -> Mapping[str, Tensor]:
    """Return the objects that a node is written with: its tensors, or `listed` and `values` in their place."""
    coef = value.tensors.get("coef")
    if value.op != "linear" or coef is None or len(coef.array) != 1 or not value.inputs[0].sparse:
        return value.tensors
    row = coef.array[0]
    is_listed = (row != 0) | np.signbit(row)  # a product with -0 may have another sign
    saved = row.nbytes - 8 * (int(is_listed.sum()) + 2) - 8 * _words(len(row))
    if saved < _LEAST:
        return value.tensors
    values = np.concatenate([[0.0], row[is_listed], value.tensors["intercept"].array])
    return {"listed": Tensor(_listed(is_listed)), "values": Tensor(values)}


def restored(op: str, objects: Mapping[str, Tensor], width: int) -> Mapping[str, Tensor]:
    """Return the tensors of a node that was read, which reads `width` columns.

    Raises
    ------
    Fault
        `listed` and `values` are no coefficients.
    """
    if op != "linear" or "listed" not in objects:
        return objects
    tensors = dict(objects)
    listed, values = tensors.pop("listed").array, tensors.pop("values", Tensor(np.zeros(0))).array
    if listed.dtype != np.uint64 or values.dtype != np.float64 or listed.shape != (_words(width),) or values.ndim != 1:
        kinds = f"{listed.dtype}{list(listed.shape)}, {values.dtype}{list(values.shape)}"
        raise Fault(f"linear lists coefficients as {kinds}; its width is {width}")
    if tensors:
        raise Fault(f"linear lists coefficients and has {sorted(tensors)} too")
    bits = np.unpackbits(listed.astype("<u4").view(np.uint8), bitorder="little")
    is_listed = bits[:width].astype(bool)
    sound = len(values) == is_listed.sum() + 2 and values[:1].tobytes() == bytes(8) and not bits[width:].any()
    if not sound or not np.array_equal(_listed(is_listed), listed):
        raise Fault("linear lists coefficients that are not those of its values")
    coef = np.zeros((1, width))
    coef[0, is_listed] = values[1:-1]
    return {"coef": Tensor(coef), "intercept": Tensor(values[-1:])}


def _words(width: int) -> int:
    return -(-width // 32)


def _listed(is_listed: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Return a word of each 32 columns: which are listed, and above that where the first of them is in `values`."""
    padded = np.zeros(32 * _words(len(is_listed)), bool)
    padded[: len(is_listed)] = is_listed
    bits = np.packbits(padded, bitorder="little").view("<u4").astype(np.uint64)
    counts = padded.reshape(-1, 32).sum(axis=1)
    first = np.concatenate([[1], 1 + np.cumsum(counts)[:-1]]).astype(np.uint64)
    return bits | first << np.uint64(32)
