from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from pytrain.plan import Inputs, Plan, Tensor, Value, read_plan, write_plan
from pytrain.plan.importing import import_model
from pytrain.plan.listed import restored, stored
from pytrain.plan.operators import Fault
from tests.pytrain.plan.engine import BIDDER, Job, score

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 3000


def linear(coef: Any, *, sparse: bool = True) -> Value:
    x = Inputs(["code"]).value().numbers()
    wide = x.expand([np.shape(coef)[-1]])
    return (wide if sparse else wide.dense()).linear(coef, 0.5)


def thin(width: int = WIDTH, *, share: float = 0.5) -> Any:
    rng = np.random.default_rng(width)
    coef = np.where(rng.uniform(size=width) < share, rng.normal(size=width), 0)
    coef[[3, width - 1]] = -0.0, 1.5
    return coef


@pytest.mark.parametrize("width", [2999, 3000, 3008, 3009])
def test_what_is_stored_is_restored(width: int) -> None:
    value = linear(thin(width))
    objects = stored(value)
    assert set(objects) == {"listed", "values"}
    assert len(objects["values"].array) == 3 + (thin(width) != 0).sum()  # 0, −0 and the intercept
    back = restored("linear", objects, width)
    assert {n: t.sha256 for n, t in back.items()} == {n: t.sha256 for n, t in value.tensors.items()}


@pytest.mark.parametrize(
    "value",
    [
        linear(thin(), sparse=False),
        linear(np.stack([thin(), thin()])),
        linear(thin(share=0.9)),
        linear(thin(500, share=0)),
        linear(np.ones(WIDTH)),
    ],
    ids=["dense", "two rows", "few zeros", "few columns", "no zeros"],
)
def test_what_saves_nothing_stays(value: Value) -> None:
    assert stored(value) is value.tensors


def test_a_plan_lists_and_is_read_as_it_was(tmp_path: Path) -> None:
    value = linear(thin())
    plan = Plan(inputs=(value.inputs[0].inputs[0],), outputs={"value": value})
    named = write_plan(plan, tmp_path, tmp_path / "objects")
    assert sum(named.values()) < 0.6 * 8 * WIDTH
    read = read_plan(tmp_path, tmp_path / "objects")
    assert [v.digest for v in read.nodes] == [v.digest for v in plan.nodes]


@pytest.mark.parametrize(
    "change",
    [
        {"listed": Tensor(np.zeros(94, np.int64))},
        {"listed": Tensor(np.zeros(93, np.uint64))},
        {"listed": Tensor(np.zeros(94, np.uint64))},
        {"values": Tensor(np.zeros((1, 3)))},
        {"values": Tensor(np.zeros(0))},
        {"values": Tensor(np.ones(1500))},
        {"coef": Tensor(thin()[None])},
        {"intercept": Tensor(np.zeros(1))},
    ],
)
def test_what_is_no_list_is_refused(change: dict[str, Tensor]) -> None:
    objects = dict(stored(linear(thin())))
    with pytest.raises(Fault, match="linear"):
        restored("linear", objects | change, WIDTH)
    damaged = objects["values"].array.copy()
    damaged[0] = 1
    with pytest.raises(Fault, match="not those of its values"):
        restored("linear", objects | {"values": Tensor(damaged)}, WIDTH)


@pytest.mark.skipif(not BIDDER.exists(), reason="needs bin/bidder: make build")
def test_the_engine_answers_as_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(2500)]
    texts = [" ".join(rng.choice(words, 6)) for _ in range(1500)]
    vectorizer = TfidfVectorizer().fit(texts)
    model = LogisticRegression(solver="liblinear").fit(vectorizer.transform(texts[:150]), np.arange(150) % 2)
    pipeline = make_pipeline(vectorizer, model)
    plan = import_model(pipeline, file="model").plan
    assert any("listed" in stored(value) for value in plan.nodes)
    wanted = pipeline.predict_proba(texts)
    found, refused = score([Job(plan, {"text": texts}, 0, {"probability": wanted[:1]})])[0]
    assert not refused.any()
    np.testing.assert_allclose(found["probability"], wanted, rtol=0, atol=1e-12)
