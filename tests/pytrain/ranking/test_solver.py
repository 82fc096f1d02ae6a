"""The solver: scikit-learn's optimum, any start, and rates of one in a million."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from pytrain.ranking import solver


def rows(n: int, sizes: list[int], *, seed: int, rate: float) -> tuple[sparse.csr_array, solver.Floats]:
    rng = np.random.default_rng(seed)
    codes = np.column_stack([rng.integers(s, size=n) for s in sizes]) + np.cumsum([0, *sizes[:-1]])
    x = sparse.csr_array((np.ones(codes.size), codes.ravel(), np.arange(0, codes.size + 1, len(sizes))))
    z = np.log(rate) + x @ rng.normal(0, 0.5, x.shape[1])
    return x, (rng.random(n) < solver.sigmoid(z)).astype(float)


def test_scikit_learns_optimum() -> None:
    x, y = rows(3000, [5, 20, 40], seed=1, rate=0.1)
    c = np.random.default_rng(0).uniform(0.5, 3, len(y))
    ours = solver.fit(x, y, c, np.zeros(len(y)), l2=np.full(x.shape[1], 2.0), intercept_l2=0)
    theirs = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000, solver="newton-cg").fit(x, y, sample_weight=c)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], abs=1e-7)
    np.testing.assert_allclose(ours.weights, theirs.coef_[0], atol=1e-7)
    np.testing.assert_allclose(ours.logits, theirs.decision_function(x), atol=1e-7)


def test_an_offset_is_a_known_part_of_the_logit() -> None:
    x, y = rows(2000, [5, 30], seed=2, rate=0.05)
    l2 = np.full(x.shape[1], 1.0)
    plain = solver.fit(x, y, np.ones(len(y)), np.zeros(len(y)), l2=l2, intercept_l2=0)
    moved = solver.fit(x, y, np.ones(len(y)), np.full(len(y), 3.0), l2=l2, intercept_l2=0)
    assert moved.intercept == pytest.approx(plain.intercept - 3, abs=1e-8)
    np.testing.assert_allclose(moved.weights, plain.weights, atol=1e-8)


@pytest.mark.parametrize("rate", [0.2, 1e-3, 1e-5])
def test_any_start_ends_at_one_optimum(rate: float) -> None:
    x, y = rows(20_000, [5, 30, 60], seed=3, rate=rate)
    l2, c, offset = np.full(x.shape[1], 1.0), np.ones(len(y)), np.full(len(y), np.log(rate))
    cold = solver.fit(x, y, c, offset, l2=l2, intercept_l2=0.3)
    rng = np.random.default_rng(0)
    for scale in (0.5, 5):
        start = (float(rng.normal(0, scale)), rng.normal(0, scale, x.shape[1]))
        warm = solver.fit(x, y, c, offset, l2=l2, intercept_l2=0.3, start=start)
        np.testing.assert_allclose(warm.logits, cold.logits, atol=1e-7)


def test_one_sale_in_a_million() -> None:
    x, _ = rows(1_000_000, [4], seed=4, rate=0.5)
    y = np.zeros(x.shape[0])
    y[123_456] = 1
    c, offset = np.ones(len(y)), np.zeros(len(y))
    found = solver.fit(x, y, c, offset, l2=np.full(4, 1.0), intercept_l2=0)
    assert float(solver.sigmoid(found.logits).sum()) == pytest.approx(1, rel=1e-8)
    assert found.steps < 20


def test_no_sale_at_all_stays_near_the_offset() -> None:
    x, _ = rows(10_000, [4, 9], seed=5, rate=0.5)
    c, offset = np.ones(x.shape[0]), np.full(x.shape[0], np.log(1e-6))
    found = solver.fit(x, np.zeros(x.shape[0]), c, offset, l2=np.full(13, 1.0), intercept_l2=0.3)
    assert -0.1 < found.intercept < 0
    assert np.isfinite(found.logits).all()


def test_a_shift_predicts_the_sales_in_sum() -> None:
    rng = np.random.default_rng(6)
    z = rng.normal(-12, 2, 5000)
    c = rng.uniform(0, 2, 5000)
    for sales in (1, 40, 2500, 4999):
        y = np.zeros(5000)
        y[:sales] = 1
        b = solver.shift(z, y, c)
        assert float((c * solver.sigmoid(z + b)).sum()) == pytest.approx(float((c * y).sum()), rel=1e-9)
    assert solver.shift(z, np.zeros(5000), c) > -20  # half a sale
    assert solver.shift(np.empty(0), np.empty(0), np.empty(0)) == 0
