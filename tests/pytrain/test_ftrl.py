from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bench.learning.reference import Ftrl as Reference
from pytrain import metrics
from pytrain.ftrl import Ftrl
from pytrain.learner import Learner
from pytrain.recipe import Optimizer, Recipe
from tests.pytrain.conftest import make_recipe, random_rows

pytestmark = pytest.mark.usefixtures("one_thread")
STEP = 64


def ftrl_recipe(**settings: float) -> Recipe:
    text = ", ".join(f"{key}: {value}" for key, value in ({"kind": "ftrl"} | settings).items())
    return make_recipe("logreg", extra=f"optimizer: {{{text}}}")


def train(learner: Learner, rows: Any, *, weights: Any = None) -> Any:
    """The probabilities (n,) from before each step."""
    w = rows.w if weights is None else weights
    parts = [slice(i, i + STEP) for i in range(0, len(rows), STEP)]
    return np.concatenate([learner.learn(rows.x[s], rows.y[s], w[s]) for s in parts])


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 1.0), (0.5, 0.1)])
def test_equals_the_reference_in_float64(l1: float, l2: float) -> None:
    recipe = ftrl_recipe(learning_rate=0.2, beta=0.5, l1=l1, l2=l2)
    rows = random_rows(recipe.space, 2000)
    learner = Learner(recipe)
    ours = train(learner, rows)
    reference = Reference(recipe.space.table_rows, base_rate=0.2, alpha=0.2, beta=0.5, l1=l1, l2=l2)
    theirs = np.concatenate(
        [reference.learn(rows.x[i : i + STEP], rows.y[i : i + STEP]) for i in range(0, len(rows), STEP)]
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    state = learner.state()
    ids = np.arange(1, recipe.space.table_rows)
    np.testing.assert_allclose(state["table"][1:, 0], reference.weights(ids), atol=1e-5)
    assert state["table"][0] == 0
    if l1:
        assert (state["table"][1:] == 0).any()


def test_duplicates_are_summed_first_and_other_rows_stay() -> None:
    table = tf.Variable(np.zeros((5, 1), np.float32))
    bias = tf.Variable(0.0)
    ftrl = Ftrl(Optimizer(kind="ftrl", learning_rate=0.1), table, [bias])
    ftrl.apply(tf.constant([2, 2, 0]), tf.constant([[1.0], [2.0], [7.0]]), [tf.constant(0.0)])
    state = ftrl.state()
    np.testing.assert_allclose(state["n.0"][:, 0], [0, 0, 9, 0, 0])
    np.testing.assert_allclose(table.numpy()[:, 0], [0, 0, -3 / ((1 + 3) / 0.1 + 1), 0, 0], rtol=1e-6)


def test_weights_put_in_are_where_it_goes_on_from() -> None:
    recipe = ftrl_recipe(learning_rate=0.05, l1=0.3)
    learner = Learner(recipe)
    table = np.random.default_rng(0).normal(size=(recipe.space.table_rows, 1))
    table[0] = 0
    learner.set_weights(table, -0.5)
    rows = random_rows(recipe.space, STEP)
    before = learner.predict(rows.x)
    train(learner, rows, weights=np.zeros(STEP, np.float32))  # rows of no weight teach nothing
    np.testing.assert_allclose(learner.predict(rows.x), before, atol=1e-6)


def test_same_rows_give_the_same_bits_and_a_restored_state_goes_on() -> None:
    recipe = ftrl_recipe()
    rows, more = random_rows(recipe.space, 640), random_rows(recipe.space, 640, seed=1)
    first, second, third = Learner(recipe), Learner(recipe), Learner(recipe)
    for learner in (first, second):
        train(learner, rows)
    third.restore(second.state())
    for learner in (first, third):
        train(learner, more)
    for name, tensor in first.state().items():
        np.testing.assert_array_equal(tensor, third.state()[name], err_msg=name)


def test_converges() -> None:
    recipe = ftrl_recipe(learning_rate=0.3)
    space = recipe.space
    truth_of = np.random.default_rng(4).normal(size=space.table_rows)
    truth_of[0] = 0  # missing
    rows = random_rows(space, 40_000)
    truth = 1 / (1 + np.exp(1.5 - truth_of[rows.x].sum(axis=1)))
    y = (np.random.default_rng(5).random(len(truth)) < truth).astype(np.float32)
    rows = type(rows)(rows.x, y, rows.w, rows.t, None)
    p = train(Learner(recipe), rows)
    half = slice(len(y) // 2, None)
    assert metrics.gap_to_truth(truth[half], p[half]) < 0.01
    assert metrics.calibration(truth[half], p[half]) == pytest.approx(1, abs=0.02)
