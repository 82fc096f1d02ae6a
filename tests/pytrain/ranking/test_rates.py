"""The spread of campaigns' rates: an estimate that knows it is right also for the campaigns that look best."""

from __future__ import annotations

import numpy as np
import pytest

from pytrain.ranking.rates import Rates, fit_rates
from pytrain.ranking.solver import sigmoid

LOGIT = -7.0  # of the rate that the prior expects


def estimate(found: Rates, sales: float, rows: float) -> float:
    """The campaign's rate, if its fit left the prior's logit as it was."""
    return float(sigmoid(np.array(LOGIT + found.shift(sales, rows, LOGIT, 0.0))))


def test_the_campaigns_that_look_best_are_not_overestimated() -> None:
    rng = np.random.default_rng(3)
    rates = np.exp(rng.uniform(np.log(1e-5), np.log(1e-2), 600))
    rows = np.exp(rng.uniform(np.log(200), np.log(5000), 600)).round()
    sales = rng.binomial(rows.astype(int), rates).astype(float)
    found = fit_rates(sales, rows, np.full(600, LOGIT))
    estimates = np.array([estimate(found, s, n) for s, n in zip(sales, rows, strict=True)])
    assert estimates.sum() == pytest.approx(rates.sum(), rel=0.1)
    best = np.argsort(-estimates)[:20]
    assert estimates[best].mean() == pytest.approx(rates[best].mean(), rel=0.15)
    naive = np.argsort(-sales / rows)[:20]
    assert (sales / rows)[naive].mean() > 1.3 * rates[naive].mean()
    unsold = sales == 0
    assert estimates[unsold].mean() == pytest.approx(rates[unsold].mean(), rel=0.25)


def test_one_campaign_has_its_own_rate() -> None:
    found = fit_rates(np.array([100.0]), np.array([10_000.0]), np.array([LOGIT]))
    assert estimate(found, 100, 10_000) == pytest.approx(0.01, rel=0.05)


def test_without_a_sale_the_rate_is_low_and_finite() -> None:
    found = fit_rates(np.zeros(3), np.full(3, 1000.0), np.full(3, LOGIT))
    assert 1e-7 < estimate(found, 0, 1000) < 1e-3


def test_a_new_campaign_has_the_mean_rate() -> None:
    sales, rows = np.array([1.0, 10.0, 1000.0]), np.array([1e4, 1e4, 1e5])
    found = fit_rates(sales, rows, np.full(3, LOGIT))
    assert 0.7 * (1e-4 + 1e-3 + 1e-2) / 3 < estimate(found, 0, 0) < 0.01


def test_without_weights_nothing_moves() -> None:
    assert Rates(0.5, 2.0).shift(3, 100, LOGIT, 0.1) == 0
