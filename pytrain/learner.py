"""A model with its optimizer: predict, learn, save and restore state. One compiled step runs in the caller's thread."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from pytrain.ftrl import Ftrl
from pytrain.lazy_adam import Adam
from pytrain.models import ClickModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pytrain.frames import Float32s, Int32s
    from pytrain.recipe import Recipe


def set_threads(threads: int) -> None:
    """Set TensorFlow's number of threads; 1 means only the caller's. Call it before TensorFlow's first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def fingerprint(recipe: Recipe) -> str:
    """Identify the meaning of a checkpoint's tensors. A recipe with another fingerprint cannot use them."""
    parts = recipe.model_dump(mode="json", include={"model", "label", "architecture", "features"})
    return hashlib.sha256(json.dumps([parts, recipe.optimizer.kind], sort_keys=True).encode()).hexdigest()


class Learner:
    """One recipe's model in training.

    The loss of a batch of n rows is Σ w·logloss / n. So a weight of 2 counts the row twice, and 0 ignores it. For ftrl
    the loss is the sum, because its steps shrink with the sum of squared gradients. Gradients of a mean would depend on
    the batch's size.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model = ClickModel(recipe)
        optimizer = Ftrl if recipe.optimizer.kind == "ftrl" else Adam
        self.optimizer = optimizer(recipe.optimizer, self.model.table, self.model.dense_variables)
        rows = tf.TensorSpec([None, recipe.space.row_len], tf.int32)
        column = tf.TensorSpec([None], tf.float32)
        # One trace each, for any number of rows.
        self._learn = tf.function(self._step, input_signature=[rows, column, column]).get_concrete_function()
        self._predict = tf.function(self.model.call, input_signature=[rows]).get_concrete_function()

    def _step(self, x: tf.Tensor, y: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        dense = self.model.dense_variables
        e = tf.gather(self.model.table, x)  # (n, F, 1 + k)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([e, *dense])
            logits = self.model.score(e)
            loss = tf.reduce_sum(w * tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits))
            if self.optimizer.mean_loss:
                loss /= tf.cast(tf.size(y), tf.float32)
        by_rows, *by_dense = tape.gradient(loss, [e, *dense])
        p = tf.sigmoid(logits)
        with tf.control_dependencies([p, by_rows, *by_dense]):  # everything is read before anything changes
            self.optimizer.apply(tf.reshape(x, [-1]), tf.reshape(by_rows, [-1, by_rows.shape[2]]), by_dense)
        return p

    def learn(self, x: Int32s, y: Float32s, w: Float32s) -> Float32s:
        """Predict, then learn, in one pass.

        Parameters
        ----------
        x, y, w
            n ≥ 1 rows (n, F) with labels and weights (n,).

        Returns
        -------
        Float32s
            Probabilities (n,) from before the update.
        """
        return np.asarray(self._learn(tf.constant(x), tf.constant(y), tf.constant(w)).numpy())

    def predict(self, x: Int32s) -> Float32s:
        """Return probabilities (n,) of rows x (n, F)."""
        return np.asarray(self._predict(tf.constant(x)).numpy())

    def set_weights(self, table: npt.NDArray[np.floating], bias: float) -> None:
        """Set weights from another source: the table (N, 1 + k), whose row 0 is zero, and the bias."""
        self.model.table.assign(np.asarray(table, np.float32))
        self.model.bias.assign(bias)
        self.optimizer.adopt()

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return weights, slots and step by name; copies."""
        weights = {"table": self.model.table.numpy()}
        weights |= {f"dense.{i}": np.array(v.numpy()) for i, v in enumerate(self.model.dense_variables)}
        return weights | self.optimizer.state()

    def restore(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore what `state` returned, with the same `fingerprint`."""
        self.model.table.assign(tensors["table"])
        for i, variable in enumerate(self.model.dense_variables):
            variable.assign(tensors[f"dense.{i}"])
        self.optimizer.restore(tensors)
