"""Adam over one table and some dense parameters, reading and writing only the table rows that a batch touches.

The formula is Adam's (Kingma & Ba 2015, algorithm 1, with the order of operations of their section 2 that Keras uses
too), at step t from 1 with gradient g:

    m ← m + (1 − β₁)(g − m)        v ← v + (1 − β₂)(g² − v)
    weight ← weight − α_t · m / (√v + ε)         α_t = learning_rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ)

It is lazy like the LazyAdam of TensorFlow Addons and of tensor2tensor: rows that do not occur in the batch keep their
weight, m and v. Dense Adam would decay their slots and keep moving their weights. The gradients of an index that occurs
several times in a batch are summed first, so that v sees (Σg)² and not Σg².

As there, bias correction uses the global step t, without a counter for each row. If batches touch every row, the result
is exactly dense Adam's. A row that first occurs at a late step has m = (1 − β₁)g and v = (1 − β₂)g², with α_t near the
learning rate. Its first move is (1 − β₁)/√(1 − β₂) ≈ 3.2 learning rates; with a counter of its own it would be 1. So
rare rows learn faster, which suits them, and no further slot is needed.

Row 0 means "missing". Its gradient is dropped, so that its weight and slots stay zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pytrain.recipe import Optimizer


class Adam:
    """Slots and update of one table (N, D) and dense parameters.

    Parameters
    ----------
    settings
        The recipe's optimizer; `lazy_adam` or `adam`, which densifies the table's gradient and moves every row.
    table
        float32 (N, D).
    dense
        The other parameters, float32 of any shape; always dense Adam.
    """

    mean_loss = True  # gradients are of the mean loss over a batch's rows if true, else of the sum

    def __init__(self, settings: Optimizer, table: tf.Variable, dense: Sequence[tf.Variable]) -> None:
        self._settings = settings
        self._lazy = settings.kind == "lazy_adam"
        self._table = table
        self._dense = list(dense)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._slots = {
            f"{slot}.{i}": tf.Variable(tf.zeros(p.shape), trainable=False, name=f"{slot}.{i}")
            for i, p in enumerate([table, *self._dense])
            for slot in ("m", "v")
        }

    def apply(self, ids: tf.Tensor, table_gradient: tf.Tensor, dense_gradients: Sequence[tf.Tensor]) -> None:
        """Update once, within the caller's graph.

        Parameters
        ----------
        ids
            int32 (n,), the table rows read, with repeats.
        table_gradient
            float32 (n, D), gradient of the loss for each row read.
        dense_gradients
            As `dense`, in the same order.
        """
        s = self._settings
        t = tf.cast(self.step.assign_add(1), tf.float64)
        # float64: at step 1 and β₂ = 0.999, 1 − β₂ᵗ in float32 would lose four digits.
        alpha = tf.cast(
            s.learning_rate
            * tf.sqrt(1 - tf.pow(tf.constant(s.beta_2, tf.float64), t))
            / (1 - tf.pow(tf.constant(s.beta_1, tf.float64), t)),
            tf.float32,
        )
        if self._lazy:
            self._apply_lazy(ids, table_gradient, alpha)
        else:
            present = tf.cast(ids > 0, tf.float32)[:, None]
            summed = tf.math.unsorted_segment_sum(table_gradient * present, ids, self._table.shape[0])
            self._apply_dense(0, self._table, summed, alpha)
        for i, (parameter, gradient) in enumerate(zip(self._dense, dense_gradients, strict=True), start=1):
            self._apply_dense(i, parameter, gradient, alpha)

    def _apply_lazy(self, ids: tf.Tensor, gradient: tf.Tensor, alpha: tf.Tensor) -> None:
        s = self._settings
        rows, segment = tf.unique(ids)  # (u,) in order of first sight, (n,)
        g = tf.math.unsorted_segment_sum(gradient, segment, tf.size(rows))  # (u, D)
        g *= tf.cast(rows > 0, tf.float32)[:, None]
        m, v = self._slots["m.0"], self._slots["v.0"]
        m_old, v_old = tf.gather(m, rows), tf.gather(v, rows)  # (u, D)
        m_new = m_old + (1 - s.beta_1) * (g - m_old)
        v_new = v_old + (1 - s.beta_2) * (tf.square(g) - v_old)
        _scatter_update(m, rows, m_new)
        _scatter_update(v, rows, v_new)
        change = alpha * m_new / (tf.sqrt(v_new) + s.epsilon)
        tf.raw_ops.ResourceScatterSub(resource=self._table.handle, indices=rows, updates=change)

    def _apply_dense(self, i: int, parameter: tf.Variable, g: tf.Tensor, alpha: tf.Tensor) -> None:
        s = self._settings
        m = self._slots[f"m.{i}"].assign_add((1 - s.beta_1) * (g - self._slots[f"m.{i}"]))
        v = self._slots[f"v.{i}"].assign_add((1 - s.beta_2) * (tf.square(g) - self._slots[f"v.{i}"]))
        parameter.assign_sub(alpha * m / (tf.sqrt(v) + s.epsilon))

    def adopt(self) -> None:
        """Start from the present parameters: nothing to do."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the step counter and slots by name; copies."""
        return {"step": np.array(self.step.numpy())} | {name: slot.numpy() for name, slot in self._slots.items()}

    def restore(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore the step and slots that `state` returned."""
        self.step.assign(tensors["step"])
        for name, slot in self._slots.items():
            slot.assign(tensors[name])


def _scatter_update(variable: tf.Variable, rows: tf.Tensor, values: tf.Tensor) -> None:
    tf.raw_ops.ResourceScatterUpdate(resource=variable.handle, indices=rows, updates=values)
