"""Linear classifiers that are scored together give predict_proba's bits; what is not linear is not taken for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.naive_bayes import BernoulliNB

from pytrain.workers import linear
from pytrain.workers.prepared import Prepared
from pytrain.workers.protocol import Batch
from pytrain.workers.worker import Classifier, Run

WIDTH = 90


class Derived(LogisticRegression):  # type: ignore[misc] # scikit-learn has no types
    """Scores in another way than its base."""

    def predict_proba(self, rows: Any) -> Any:
        return super().predict_proba(rows) / 2


def fitted(estimator: Any, classes: int = 2, dtype: Any = np.float64) -> Any:
    rng = np.random.default_rng(3)
    rows = (rng.random((300, WIDTH)) < 0.1).astype(dtype)
    return estimator.fit(csr_matrix(rows), rng.integers(0, classes, 300))


def prepared(estimator: Any, *, positive: int = 1, dtype: str = "float64", width: int = WIDTH) -> Prepared:
    return Prepared(estimator, "one-hot", width, dtype, [], positive, 1 if positive >= 0 else 2)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        LogisticRegression(fit_intercept=False, C=1e6),
        LogisticRegressionCV(Cs=2, cv=2, use_legacy_attributes=False, l1_ratios=(0,), scoring="neg_log_loss"),
        SGDClassifier(loss="log_loss", random_state=1),
    ],
)
def test_linear_ones_agree(estimator: Any) -> None:
    assert linear.agrees(prepared(fitted(estimator)))


@pytest.mark.parametrize(
    ("estimator", "classes"),
    [
        (LogisticRegression(), 3),
        (Derived(), 2),
        (SGDClassifier(loss="modified_huber", random_state=1), 2),
        (BernoulliNB(), 2),
    ],
)
def test_others_are_not_taken_for_linear(estimator: Any, classes: int) -> None:
    assert not linear.agrees(prepared(fitted(estimator, classes)))


def test_narrow_rows_are_not_taken() -> None:
    assert not linear.agrees(prepared(fitted(LogisticRegression()), dtype="float32"))
    assert not linear.agrees(prepared(fitted(LogisticRegression(), dtype=np.float32)))


def test_a_classifier_whose_answers_differ_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of scikit-learn may compute in another way: then predict_proba is called."""
    estimator = fitted(LogisticRegression())
    own = LogisticRegression.predict_proba
    monkeypatch.setattr(LogisticRegression, "predict_proba", lambda self, rows: np.nextafter(own(self, rows), 1))
    assert not linear.agrees(prepared(estimator))


@pytest.mark.parametrize("positive", [1, 0, -1])
@pytest.mark.parametrize("valued", [False, True])
def test_tasks_of_several_classifiers(positive: int, valued: bool) -> None:
    """Rows of several lengths, an empty one too, of classifiers in turn."""
    rng = np.random.default_rng(4)
    of = [fitted(LogisticRegression(C=c)) for c in (0.1, 1.0, 10.0)]
    classifiers = [Classifier(Prepared(e, "one-hot", WIDTH, "float64", [], positive, 1, linear=True)) for e in of]
    rows = [np.sort(rng.choice(WIDTH, n, replace=False)).astype(np.int32) for n in (3, 0, 40, 12, 1, 25)]
    values = rng.normal(size=sum(len(r) for r in rows)) if valued else np.empty(0)
    ends = np.cumsum([len(r) for r in rows]).astype(np.uint32)
    run = Run(Batch(1, [], [], np.zeros(len(rows), np.uint32), ends, np.concatenate(rows), values, {}))
    tasks = []
    for task in range(len(rows)):
        c = classifiers[task % 3]
        assert c.linear is not None
        tasks.append((task, c.linear, c))
    run.score_linear(tasks)
    got, want = run.probabilities(), []
    for task, row in enumerate(rows):
        data = values[int(ends[task]) - len(row) : int(ends[task])] if valued else np.ones(len(row))
        both = of[task % 3].predict_proba(csr_matrix((data, row, np.array([0, len(row)])), (1, WIDTH)))[0]
        want.append(both if positive < 0 else both[positive : positive + 1])
    assert got.tobytes() == np.concatenate(want).tobytes()
    assert run.faults == []
