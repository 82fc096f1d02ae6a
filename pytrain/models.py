"""LogReg, FM and DeepFM in Keras, over one int32 (B, F) input.

One table (N, 1 + k) holds the linear weight (column 0) and the embedding (columns 1 …) of every index. The textbook
form has two tables, (N, 1) and (N, k). With one table, a row costs one gather instead of two, in the model and in the
optimizer. The price is a slice when only the embeddings are needed; the serving graph avoids it (export.py).

    logit = bias + Σ_f weight(f)                              LogReg
          + ½ Σ_j [ (Σ_f v_fj)² − Σ_f v_fj² ]                 FM: all pairs ⟨v_f, v_g⟩, f < g  (Rendle 2010, lemma 3.1)
          + MLP(v_1 … v_F concatenated, F·k floats)           DeepFM  (Guo et al. 2017)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from pytrain.recipe import Recipe

EMBEDDING_STDDEV = 0.01  # small, so that pairs begin near no interaction


class ClickModel(keras.Model):  # type: ignore[misc] # Keras ships no types
    """A recipe's model: int32 rows (B, F) to float32 probabilities (B,).

    `score` is the part after the gather, so that a training step can differentiate by the gathered rows instead of the
    whole table.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(name=recipe.model)
        a, seed = recipe.architecture, recipe.training.seed
        self.kind = a.kind
        self.row_len = recipe.space.row_len
        base_rate = recipe.training.base_rate
        shape = (recipe.space.table_rows, recipe.table_width)
        table = np.zeros(shape, np.float32)
        if a.kind != "logreg":
            rng = np.random.default_rng(seed)
            table[1:, 1:] = rng.standard_normal((shape[0] - 1, shape[1] - 1), np.float32) * EMBEDDING_STDDEV
        weight = self.add_weight(shape=shape, initializer="zeros", name="table")
        weight.assign(table)
        self.table: tf.Variable = weight.value
        bias = self.add_weight(shape=(), initializer="zeros", name="bias")
        bias.assign(math.log(base_rate / (1 - base_rate)))
        self.bias: tf.Variable = bias.value
        self.mlp: list[keras.layers.Dense] = []
        if a.kind == "deepfm":
            width = self.row_len * a.embedding_dim
            for i, units in enumerate((*a.hidden, 1)):
                last = i == len(a.hidden)
                layer = keras.layers.Dense(
                    units,
                    activation=None if last else "relu",
                    use_bias=not last,  # the model has one bias
                    kernel_initializer=keras.initializers.GlorotUniform(seed=seed + i),
                    name=f"mlp_{i}",
                )
                layer.build((None, width))
                self.mlp.append(layer)
                width = units

    @property
    def dense_variables(self) -> list[tf.Variable]:
        """Every parameter but the table: the bias, then kernel and bias of each layer."""
        return [self.bias, *(weight.value for layer in self.mlp for weight in layer.weights)]

    def score(self, e: tf.Tensor) -> tf.Tensor:
        """Return logits (B,) of gathered table rows e (B, F, 1 + k)."""
        logit = self.bias + tf.reduce_sum(e[:, :, 0], axis=1)
        if self.kind == "logreg":
            return logit
        v = e[:, :, 1:]  # (B, F, k)
        pairs = tf.square(tf.reduce_sum(v, axis=1)) - tf.reduce_sum(tf.square(v), axis=1)  # (B, k)
        logit += 0.5 * tf.reduce_sum(pairs, axis=1)
        if self.kind == "deepfm":
            h = tf.reshape(v, [-1, v.shape[1] * v.shape[2]])  # (B, F·k)
            for layer in self.mlp:
                h = layer(h)
            logit += h[:, 0]
        return logit

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """Return probabilities (B,) of rows (B, F)."""
        return tf.sigmoid(self.score(tf.gather(self.table, rows)))
