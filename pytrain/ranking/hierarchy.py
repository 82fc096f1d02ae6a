"""The two fits of the trainer `prior`: the global model, and a campaign's deltas to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pytrain.ranking import solver
from pytrain.ranking.encoding import Encoded, matrix, split
from pytrain.ranking.rates import Rates, fit_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pytrain.ranking.classifier import Feature
    from pytrain.ranking.pooling import Pooled

    Floats: TypeAlias = npt.NDArray[np.float64]

ANCHOR = 0.01  # L2 penalty that holds the prior's intercept near the base rate while there are no sales


@dataclass(frozen=True)
class Penalties:
    """Settings of the prior's fit, and of the deltas that are tried with it."""

    l2: float  # of the prior's weights
    campaign_l2: float  # of the campaigns' intercepts in the prior's fit
    min_rows: int  # a value with fewer rows is the prior's *other*
    delta_min_rows: int  # a value with fewer rows of a campaign has no delta of its own
    seed: int


@dataclass(frozen=True)
class Joint:
    """The global model with an intercept for each campaign: `campaigns` (highest number + 1,) float64."""

    intercept: float
    features: tuple[Feature, ...]
    campaigns: Floats

    def logits(self, pooled: Pooled, *, own: bool) -> Floats:
        """Return the logits of rows (n,), with the campaigns' own intercepts or without."""
        z = np.full(len(pooled), self.intercept)
        names = [spec.name for spec in pooled.features]
        for f in self.features:
            c = pooled.columns[names.index(f.name)]
            z += np.array([f.weight(v) for v in c.values])[c.codes]
        if own:
            known = pooled.campaign < len(self.campaigns)
            z[known] += self.campaigns[pooled.campaign[known]]
        return z


def fit_joint(pooled: Pooled, penalties: Penalties) -> Joint:
    """Fit the weights of the features together with the campaigns' intercepts."""
    features = [f for f in pooled.features if f.only != "campaigns"]
    encoded = pooled.encoded(features, min_rows=penalties.min_rows)
    own = Encoded("campaign", (), ("",) * int(pooled.campaign.max(initial=0)), pooled.campaign)
    x = matrix([*encoded, own])
    p = x.shape[1] - own.size
    l2 = np.full(x.shape[1], penalties.l2)
    l2[p:] = penalties.campaign_l2
    base = solver.shift(np.zeros(len(pooled)), pooled.label, pooled.weight)
    found = solver.fit(x, pooled.label, pooled.weight, np.full(len(pooled), base), l2=l2, intercept_l2=ANCHOR)
    return Joint(base + found.intercept, split(encoded, found.weights[:p]), found.weights[p:])


def fit_prior(pooled: Pooled, penalties: Penalties) -> tuple[float, tuple[Feature, ...]]:
    """Fit the prior's intercept and features to rows of all campaigns.

    The campaigns' own intercepts are dropped after the fit. The prior's intercept is then such that the sales of all
    rows are predicted in sum.
    """
    joint = fit_joint(pooled, penalties)
    moved = solver.shift(joint.logits(pooled, own=False), pooled.label, pooled.weight)
    return joint.intercept + moved, joint.features


def fit_rated_prior(pooled: Pooled, penalties: Penalties) -> tuple[float, tuple[Feature, ...], Rates]:
    """Fit the prior and the spread of the campaigns' rates.

    The prior's intercept is such that a new campaign has the mean of all campaigns' rates. The mean of all rows would
    be higher where the best campaigns are shown most.
    """
    intercept, features = fit_prior(pooled, penalties)
    probabilities = solver.sigmoid(Joint(intercept, features, np.empty(0)).logits(pooled, own=False))

    def by_campaign(of: Floats) -> Floats:
        return np.bincount(pooled.campaign, weights=of).astype(np.float64)

    sales, rows = by_campaign(pooled.weight * pooled.label), by_campaign(pooled.weight)
    expected = by_campaign(pooled.weight * probabilities)
    some = rows > 0
    sales, rows, logit = sales[some], rows[some], _logit(expected[some] / rows[some])
    whole = _logit(expected.sum() / rows.sum())
    moved = fit_rates(sales, rows, logit).shift(0, 0, float(whole), 0)
    return intercept + moved, features, fit_rates(sales, rows, logit + moved)


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p) - np.log1p(-p))


def fit_deltas(
    encoded: Sequence[Encoded], label: Floats, weight: Floats, offset: Floats, *, l2: float, rates: Rates
) -> solver.Solution:
    """Fit a campaign's deltas to rows (n,) with the prior's logits as offset.

    The intercept is such that the campaign's rate is the mean of what it may be, by the spread of all campaigns' rates.
    """
    x = matrix(encoded)
    centred = offset + rates.mean
    found = solver.fit(x, label, weight, centred, l2=np.full(x.shape[1], l2), intercept_l2=rates.l2)
    b, rows = rates.mean + found.intercept, float(weight.sum())
    expected = _logit((weight * solver.sigmoid(found.logits)).sum() / rows)
    moved = rates.shift(float((weight * label).sum()), rows, float(expected), b)
    return replace(found, intercept=b + moved, logits=found.logits + moved)
