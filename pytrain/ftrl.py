"""FTRL-proximal over one table and a bias, per coordinate, touching only the table rows of a batch.

Source: McMahan et al., Ad Click Prediction: a View from the Trenches (2013), algorithm 1. With gradient g of the
batch's summed loss, α the learning rate:

    σ ← (√(n + g²) − √n) / α          z ← z + g − σ·weight          n ← n + g²
    weight ← 0 if |z| ≤ λ₁, else −(z − sign(z)·λ₁) / ((β + √n) / α + λ₂)

An index that occurs several times in a batch is summed first, so that n sees (Σg)². The weight is a function of z and
n, so a start other than zero is a z: z = −weight·((β + √n)/α + λ₂) − sign(weight)·λ₁ at n = 0 gives that weight.

The bias has no penalty (λ₁ = λ₂ = 0): it holds the base rate. Row 0 means "missing": its gradient is dropped, so that
its weight stays zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pytrain.recipe import Optimizer


class Ftrl:
    """Slots z and n, and the update, of one table (N, 1) and dense parameters; see `Adam` for the parameters."""

    mean_loss = False  # gradients are of the mean loss over a batch's rows if true, else of the sum

    def __init__(self, settings: Optimizer, table: tf.Variable, dense: Sequence[tf.Variable]) -> None:
        self._settings = settings
        self._parameters = [table, *dense]
        self._slots = {
            f"{slot}.{i}": tf.Variable(tf.zeros(p.shape), trainable=False, name=f"{slot}.{i}")
            for i, p in enumerate(self._parameters)
            for slot in ("z", "n")
        }
        self.adopt()

    def _penalties(self, i: int) -> tuple[float, float]:
        return (self._settings.l1, self._settings.l2) if i == 0 else (0.0, 0.0)

    def adopt(self) -> None:
        """Start from the present parameters; all slots are reset."""
        s = self._settings
        for i, parameter in enumerate(self._parameters):
            l1, l2 = self._penalties(i)
            weight = parameter.value()
            self._slots[f"z.{i}"].assign(-weight * (s.beta / s.learning_rate + l2) - tf.sign(weight) * l1)
            self._slots[f"n.{i}"].assign(tf.zeros_like(weight))

    def apply(self, ids: tf.Tensor, table_gradient: tf.Tensor, dense_gradients: Sequence[tf.Tensor]) -> None:
        """Update once, within the caller's graph.

        Parameters
        ----------
        ids
            int32 (r,), the table rows read, with repeats.
        table_gradient
            float32 (r, 1), gradient of the summed loss for each row read.
        dense_gradients
            As `dense`, in the same order.
        """
        rows, segment = tf.unique(ids)  # (u,) in order of first sight, (r,)
        g = tf.math.unsorted_segment_sum(table_gradient, segment, tf.size(rows))  # (u, 1)
        g *= tf.cast(rows > 0, tf.float32)[:, None]
        table, z, n = self._parameters[0], self._slots["z.0"], self._slots["n.0"]
        updated = self._step(0, tf.gather(table, rows), tf.gather(z, rows), tf.gather(n, rows), g)
        for variable, values in zip((table, z, n), updated, strict=True):
            tf.raw_ops.ResourceScatterUpdate(resource=variable.handle, indices=rows, updates=values)
        for i, (parameter, gradient) in enumerate(zip(self._parameters[1:], dense_gradients, strict=True), start=1):
            z, n = self._slots[f"z.{i}"], self._slots[f"n.{i}"]
            updated = self._step(i, parameter.value(), z.value(), n.value(), gradient)
            for variable, values in zip((parameter, z, n), updated, strict=True):
                variable.assign(values)

    def _step(
        self, i: int, weight: tf.Tensor, z: tf.Tensor, n: tf.Tensor, g: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return weight, z and n after the gradient g; all of one shape."""
        s = self._settings
        l1, l2 = self._penalties(i)
        n_new = n + tf.square(g)
        root = tf.sqrt(n_new)
        z_new = z + g - (root - tf.sqrt(n)) / s.learning_rate * weight
        moved = -(z_new - tf.sign(z_new) * l1) / ((s.beta + root) / s.learning_rate + l2)
        return tf.where(tf.abs(z_new) <= l1, tf.zeros_like(moved), moved), z_new, n_new

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the slots by name; copies."""
        return {name: slot.numpy() for name, slot in self._slots.items()}

    def restore(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore the slots that `state` returned."""
        for name, slot in self._slots.items():
            slot.assign(tensors[name])
