"""Models that pytrain learnt, as plans: the operators' reference against the Keras model, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytrain.errors import VersionError
from pytrain.export import ServingModule
from pytrain.learner import Learner
from pytrain.manifest import TOLERANCE, golden_rows
from pytrain.plan.learned import OPERATORS, Weights, plan_of, weights_of
from pytrain.recipe import Recipe, parse_recipe
from tests.pytrain.plan.reference import run

FEATURES = """
features:
  - {name: hour, source: request.time, transform: hour_of_day, encoder: vocabulary, values: ["0", "1", "2"]}
  - {name: page_category, source: inventory.categories, slots: 3, encoder: hash, buckets: 32}
  - {name: campaign, source: campaign.id, encoder: hash, buckets: 64}
"""
ARCHITECTURES = {
    "logreg": "{kind: logreg}",
    "fm": "{kind: fm, embedding_dim: 5}",
    "deepfm": "{kind: deepfm, embedding_dim: 8, hidden: [20, 7]}",
}


def recipe(kind: str) -> Recipe:
    text = f"model: ctr\nlabel: click\narchitecture: {ARCHITECTURES[kind]}\n{FEATURES}"
    return parse_recipe(text.encode(), where=kind)


def learner(kind: str) -> Learner:
    """Return a learner whose weights are large enough that every part matters."""
    made = Learner(recipe(kind))
    rng = np.random.default_rng(3)
    table = rng.normal(0, 0.3, made.model.table.shape)
    table[0] = 0
    made.set_weights(table, -0.4)
    for variable in made.model.dense_variables[1:]:
        variable.assign(rng.normal(0, 0.3, variable.shape).astype(np.float32))
    return made


def weights(kind: str) -> Weights:
    return weights_of(ServingModule(learner(kind)))


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_plan_gives_what_the_keras_model_gives(kind: str) -> None:
    made = learner(kind)
    plan = plan_of(made.recipe, weights_of(ServingModule(made)))
    assert [(v.name, v.type, v.width) for v in plan.inputs] == [("rows", "int32", 5)]
    assert (plan.outputs["probability"].type, plan.outputs["probability"].width) == ("float32", 1)
    x = golden_rows(made.recipe.space, seed=1)
    outputs, refused = run(plan, {"rows": x})
    assert not refused.any()
    assert np.abs(outputs["probability"][:, 0] - made.predict(x)).max() <= TOLERANCE
    x[3, 2], x[5, 0] = made.recipe.space.table_rows, -1
    assert list(np.flatnonzero(run(plan, {"rows": x})[1])) == [3, 5]


def test_weights_of_another_form_are_refused() -> None:
    def f(kind: str, given: Weights, message: str) -> None:
        with pytest.raises(VersionError, match=message):
            plan_of(recipe(kind), given)

    deep, fm = weights("deepfm"), weights("fm")
    assert fm.head is not None
    f("fm", deep, r"biases\[0\] is float32\[20\], the recipe's fm has nothing")
    f("deepfm", fm, r"kernels\[1\] is nothing, the recipe's deepfm has \[20, 7\]")
    f("logreg", fm, r"head is float32\[12, 1\], the recipe's logreg has nothing; table is float32\[101, 6\]")
    f("fm", replace(fm, head=fm.head * 2), "head is not 1 for weights and ½ for pairs")
    f("fm", replace(fm, table=fm.table.astype(np.float64)), r"table is float64\[101, 6\]")
