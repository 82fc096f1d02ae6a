"""How campaigns' rates differ: the distribution of b_c, a campaign's logit beside the prior's, over the campaigns.

    b_c ~ G,   sales_c ~ Binomial(rows_c, sigmoid(logit of the expected rate + b_c))

G is the distribution of the largest marginal likelihood on a grid of b (empirical Bayes; Kiefer and Wolfowitz 1956),
smoothed by the best normal one. Among thousands of campaigns the best by estimate is one whose luck was good. The mean
of its rate given G is right for it too, since G knows how seldom a rate is as high as its sales suggest. And as most
campaigns sell more rarely than the mean of all rows, one with few rows and no sale is not taken for an average one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pytrain.ranking.solver import sigmoid

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

NODES = np.arange(-14.0, 10.0, 0.125)  # of b
ROUNDS = 200
TINY = 1e-300  # the least likelihood, so that no sum is 0
ENOUGH = 1e-3  # ends the rounds: the mean and the standard deviation moved less in sum
# To steady the normal distribution of few campaigns, one more is supposed whose rate is that of all rows, and one whose
# b is 1 from the mean. For G, one is supposed that has the normal distribution.
SUPPOSED = 1.0


@dataclass(frozen=True)
class Rates:
    """The distribution of b over campaigns: the normal one's mean and variance, and G's `weights` at NODES.

    Without weights, b is what a fit with the normal distribution's penalty finds most probable.
    """

    mean: float = 0.0
    variance: float = 1.0
    weights: tuple[float, ...] = ()

    @property
    def l2(self) -> float:
        """The L2 penalty of b − mean that the normal distribution stands for."""
        return 1 / self.variance

    def shift(self, sales: float, rows: float, logit: float, b: float) -> float:
        """Return what to add to a campaign's logits, so that they have the mean of its rate given its sales.

        Parameters
        ----------
        sales, rows
            Of the campaign, weighted. Without rows it is a new campaign's rate: the mean of G.
        logit
            Of the mean probability that its fit predicts for these rows.
        b
            The fit's own.
        """
        if not self.weights:
            return 0.0
        likelihood = _likelihood(np.array([sales]), np.array([rows]), np.array([logit - b]))[0]
        weight = likelihood * np.array(self.weights)
        p = float(weight @ sigmoid(logit - b + NODES) / weight.sum())
        return float(np.log(p) - np.log1p(-p) - logit)


def fit_rates(sales: Floats, rows: Floats, logit: Floats) -> Rates:
    """Fit the distribution to campaigns (k,): their weighted sales and rows, the logit of the rate that is expected."""
    likelihood = _likelihood(sales, rows, logit)
    k, mean, variance = len(sales), 0.0, 1.0
    base = _normal(mean, variance)
    for _ in range(ROUNDS):  # expectation, maximisation
        posterior = _posterior(likelihood, base)
        before = mean, variance
        mean = float(posterior @ NODES) / (k + SUPPOSED)
        variance = (float(posterior @ (NODES - mean) ** 2) + SUPPOSED) / (k + SUPPOSED)
        base = _normal(mean, variance)
        if abs(mean - before[0]) + abs(variance**0.5 - before[1] ** 0.5) < ENOUGH:
            break
    weights = base
    for _ in range(ROUNDS):
        weights = (_posterior(likelihood, weights) + SUPPOSED * base) / (k + SUPPOSED)
    return Rates(mean, variance, tuple(weights.tolist()))


def _normal(mean: float, variance: float) -> Floats:
    """Return a normal distribution's weights at the nodes."""
    log = -((NODES - mean) ** 2) / (2 * variance)
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


def _likelihood(sales: Floats, rows: Floats, logit: Floats) -> Floats:
    """Return each campaign's likelihood at all nodes, (k, nodes); the largest of a campaign is 1."""
    z = logit[:, None] + NODES
    log = sales[:, None] * z - rows[:, None] * np.logaddexp(0, z)
    return np.asarray(np.maximum(np.exp(log - log.max(axis=1, keepdims=True)), TINY))


def _posterior(likelihood: Floats, weights: Floats) -> Floats:
    """Return the sum of all campaigns' distributions of b, (nodes,), by their likelihoods and the weights before."""
    return np.asarray(weights * ((1 / (likelihood @ weights)) @ likelihood))
