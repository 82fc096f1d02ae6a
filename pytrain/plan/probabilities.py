"""What the plan of a learnt version gives, in NumPy: for `pytrain evaluate`, `inspect`, and the check of every export.

It reads the plan that was written, and adds the numbers as docs/plan-format.md says. So an export that stores wrong
weights, or the right ones in the wrong place, is found before it is published. The bidder computes plans in C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytrain.errors import VersionError

if TYPE_CHECKING:
    from pytrain.frames import Float32s, Int32s
    from pytrain.plan.graph import Plan
    from pytrain.plan.values import Value

_OPERATORS = ("indices_linear", "fm", "deepfm")


def operator_of(plan: Plan, *, where: str) -> Value:
    """Return the node that reads the rows of indices.

    Raises
    ------
    VersionError
        The plan is not that of a learnt version.
    """
    names = [value.op for value in plan.nodes]
    if len(plan.inputs) != 1 or names[:1] not in [[op] for op in _OPERATORS] or list(plan.outputs) != ["probability"]:
        raise VersionError(
            f"is not the plan of a learnt model: it reads {len(plan.inputs)} inputs by {', '.join(names[:8])}",
            where=where,
            remedy="score other plans with bin/bidder score",
        )
    return plan.nodes[0]


def probabilities(operator: Value, rows: Int32s) -> Float32s:
    """Return the probabilities (n,) of rows (n, F), whose indices are all in the table."""
    tensors = {name: tensor.array for name, tensor in operator.tensors.items()}
    e = tensors["table"][rows]  # (n, F, 1 + k)
    s, q = e.sum(axis=1), np.square(e).sum(axis=1)  # (n, 1 + k)
    if operator.op == "indices_linear":
        logit = s[:, 0]
    elif operator.op == "fm":
        logit = s[:, 0] + 0.5 * (np.square(s) - q)[:, 1:].sum(axis=1)
    else:
        h = e.reshape(len(e), -1)  # (n, F·(1 + k))
        for i in range(operator.settings["layers"]):
            h = np.maximum(h @ tensors[f"kernel{i}"] + tensors[f"layer_bias{i}"], 0)
        logit = (np.concatenate([s, np.square(s) - q, h], axis=1) @ tensors["head"])[:, 0]
    logit = (logit + tensors["bias"][0]).astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-logit)), np.float32)
