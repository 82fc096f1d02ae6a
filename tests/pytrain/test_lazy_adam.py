from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pytrain.lazy_adam import Adam
from pytrain.recipe import Optimizer

pytestmark = pytest.mark.usefixtures("one_thread")

N, D = 12, 3
RATE = 0.005
SETTINGS = {"learning_rate": RATE, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


class Table:
    """A table and one dense parameter under our optimizer, started at the same values each time."""

    def __init__(self, kind: str = "lazy_adam") -> None:
        start = np.random.default_rng(3).normal(size=(N, D)).astype(np.float32)
        start[0] = 0
        self.table = tf.Variable(start)
        self.dense = tf.Variable(np.full(4, 0.5, np.float32))
        self.adam = Adam(Optimizer(kind=kind, **SETTINGS), self.table, [self.dense])  # type: ignore[arg-type]
        self.apply = tf.function(self.adam.apply)

    def step(self, ids: Any, gradient: Any, dense: Any = None) -> None:
        dense = np.zeros(4, np.float32) if dense is None else dense
        self.apply(tf.constant(ids, tf.int32), tf.constant(gradient, tf.float32), [tf.constant(dense, tf.float32)])


def gradients(steps: int, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Gradients of every row but 0, whose size varies by row and step."""
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(N - 1, D)) * 10.0 ** rng.uniform(-4, 1, (N - 1, 1))).astype(np.float32) for _ in range(steps)
    ]


def test_equals_keras_adam_where_every_row_is_touched() -> None:
    """To 1e-6 at this rate: Keras takes β₂ᵗ in float32, which is off by 6e-5 of the first steps."""
    ours, theirs = Table(), keras.Variable(Table().table.numpy())
    dense = keras.Variable(np.full(4, 0.5, np.float32))
    reference = keras.optimizers.Adam(**SETTINGS)
    rng = np.random.default_rng(5)
    for g in gradients(50):
        order = rng.permutation(N - 1)
        dense_g = rng.normal(size=4).astype(np.float32)
        ours.step(order + 1, g[order], dense_g)
        full = np.vstack([np.zeros((1, D), np.float32), g])
        reference.apply([tf.constant(full), tf.constant(dense_g)], [theirs, dense])
    np.testing.assert_allclose(ours.table.numpy(), theirs.numpy(), atol=1e-6, rtol=0)
    np.testing.assert_allclose(ours.dense.numpy(), dense.numpy(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["lazy_adam", "adam"])
def test_equals_the_papers_formula_in_float64(kind: str) -> None:
    ours = Table(kind)
    weight, m, v = ours.table.numpy().astype(np.float64), np.zeros((N, D)), np.zeros((N, D))
    rng = np.random.default_rng(9)
    for t, g in enumerate(gradients(40), start=1):
        ids = rng.choice(np.arange(1, N), size=rng.integers(1, 6), replace=False)
        ours.step(ids, g[ids - 1])
        full = np.zeros((N, D))
        full[ids] = g[ids - 1]
        moved = ids if kind == "lazy_adam" else np.arange(N)
        m[moved] = 0.9 * m[moved] + 0.1 * full[moved]
        v[moved] = 0.999 * v[moved] + 0.001 * full[moved] ** 2
        alpha = RATE * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weight[moved] -= alpha * m[moved] / (np.sqrt(v[moved]) + 1e-7)
    np.testing.assert_allclose(ours.table.numpy(), weight, atol=1e-6, rtol=0)


def test_rows_not_touched_stay_where_dense_adam_moves_them() -> None:
    lazy, dense = Table(), Table("adam")
    everything, some = np.arange(1, N), np.array([2, 5])
    for t in (lazy, dense):
        t.step(everything, np.ones((N - 1, D)))
    after_first = {k: v.copy() for k, v in lazy.adam.state().items()}
    weights = lazy.table.numpy()
    for t in (lazy, dense):
        t.step(some, np.ones((2, D)))
    others = np.setdiff1d(np.arange(N), some)
    np.testing.assert_array_equal(lazy.table.numpy()[others], weights[others])
    for slot in ("m.0", "v.0"):
        np.testing.assert_array_equal(lazy.adam.state()[slot][others], after_first[slot][others])
        assert (lazy.adam.state()[slot][some] != after_first[slot][some]).all()
    assert (np.abs(dense.table.numpy()[others[1:]] - weights[others[1:]]) > 0.2 * RATE).all()  # Keras' would move them
    np.testing.assert_allclose(lazy.table.numpy()[some], dense.table.numpy()[some], atol=1e-6)


def test_repeated_ids_are_summed_first() -> None:
    repeated, once = Table(), Table()
    g = np.array([[1, 2, 3], [10, 10, 10], [0.5, -2, 1], [4, 0, -4]], np.float32)
    repeated.step([3, 7, 3, 3], g)
    once.step([7, 3], [g[1], g[0] + g[2] + g[3]])
    np.testing.assert_array_equal(repeated.table.numpy(), once.table.numpy())
    # (Σg)², not Σg²: v = 0.001 · (5.5, 0, 0)²
    np.testing.assert_allclose(repeated.adam.state()["v.0"][3], [0.001 * 5.5**2, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("kind", ["lazy_adam", "adam"])
def test_row_0_never_moves(kind: str) -> None:
    t = Table(kind)
    for _ in range(5):
        t.step([0, 4, 0], np.ones((3, D)))
    assert not t.table.numpy()[0].any()
    assert not t.adam.state()["m.0"][0].any()
    assert not t.adam.state()["v.0"][0].any()
    assert t.adam.state()["m.0"][4].all()


def test_a_row_first_seen_late_moves_3_2_learning_rates() -> None:
    t = Table()
    for _ in range(20_000):
        t.adam.step.assign_add(1)  # steps in which the row had no part
    before = t.table.numpy()[5].copy()
    t.step([5], [[1, 1, 1]])
    np.testing.assert_allclose((before - t.table.numpy()[5]) / RATE, 0.1 / np.sqrt(0.001), rtol=1e-3)


def test_restored_it_goes_on_equally() -> None:
    whole, first = Table(), Table()
    g = gradients(10)
    for i in range(5):
        whole.step(np.arange(1, N), g[i], np.ones(4))
        first.step(np.arange(1, N), g[i], np.ones(4))
    second = Table()
    second.table.assign(first.table)
    second.dense.assign(first.dense)
    second.adam.restore(first.adam.state())
    for i in range(5, 10):
        whole.step(np.arange(1, N), g[i], np.ones(4))
        second.step(np.arange(1, N), g[i], np.ones(4))
    np.testing.assert_array_equal(whole.table.numpy(), second.table.numpy())
    np.testing.assert_array_equal(whole.dense.numpy(), second.dense.numpy())
