"""How strongly weights are shrunk: chosen by progressive validation, in order of time.

First the prior's penalty: what campaigns share is fitted to the first rows, and predicts the others. Then the deltas':
prior and deltas are fitted to the rows before a point in time, and predict those after it, up to the next point. The
penalties with the least log loss are kept. A random sample of the campaigns is enough for the deltas, since all
campaigns share their penalty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pytrain.ranking import solver
from pytrain.ranking.encoding import matrix
from pytrain.ranking.hierarchy import Joint, Penalties, fit_deltas, fit_joint, fit_prior

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from scipy import sparse

    from pytrain.ranking.encoding import Encoded
    from pytrain.ranking.pooling import Pooled
    from pytrain.ranking.rates import Rates

    Floats: TypeAlias = npt.NDArray[np.float64]

CAMPAIGNS = 64  # at most so many are fitted
CUTS = (0.5, 0.75, 1.0)  # shares of the rows, by time: fit before one, predict up to the next
L2 = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
PRIOR_L2 = (1.0, 3.0, 10.0, 30.0, 100.0)  # from weak to strong, as long as the log loss falls


def choose_prior(pooled: Pooled, penalties: Penalties) -> tuple[float, dict[str, float]]:
    """Choose the penalty of the prior's weights; return it with the log loss a row of each that was tried."""
    cut = np.quantile(pooled.time_ms, CUTS[-2])
    before, after = pooled.take(pooled.time_ms < cut), pooled.take(pooled.time_ms >= cut)
    losses: dict[str, float] = {}
    best, least = PRIOR_L2[0], np.inf
    if not len(before):  # all rows have one time
        return best, losses
    for l2 in PRIOR_L2:
        joint = fit_joint(before, replace(penalties, l2=l2))
        value = solver.loss(joint.logits(after, own=True), after.label, after.weight) / float(after.weight.sum())
        losses[f"prior_l2={l2:g}"] = value
        if value >= least:
            break
        best, least = l2, value
    return best, losses


def choose_deltas(pooled: Pooled, penalties: Penalties, rates: Rates) -> tuple[float, dict[str, float]]:
    """Choose the penalty of the campaigns' weights; return it with the log loss a row of each that was tried."""
    folds = _folds(pooled, penalties)
    total = max(sum(fold.weight for fold in folds), 1e-300)
    losses = {l2: sum(fold.loss(l2, rates) for fold in folds) / total for l2 in L2}
    return min(L2, key=losses.__getitem__), {f"l2={l2:g}": value for l2, value in losses.items()}


@dataclass(frozen=True)
class _Fold:
    """One campaign before and after one point in time, with the prior's logits."""

    encoded: list[Encoded]
    label: Floats
    c: Floats
    offset: Floats
    x_next: sparse.csr_array
    label_next: Floats
    c_next: Floats
    offset_next: Floats

    @property
    def weight(self) -> float:
        return float(self.c_next.sum())

    def loss(self, l2: float, rates: Rates) -> float:
        """Fit the deltas to the rows before, and return the summed log loss of those after."""
        found = fit_deltas(self.encoded, self.label, self.c, self.offset, l2=l2, rates=rates)
        z = self.offset_next + found.intercept + self.x_next @ found.weights
        return solver.loss(z, self.label_next, self.c_next)


def _folds(pooled: Pooled, penalties: Penalties) -> Sequence[_Fold]:
    names = np.unique(pooled.campaign)
    if len(names) > CAMPAIGNS:
        names = np.sort(np.random.default_rng(penalties.seed).choice(names, CAMPAIGNS, replace=False))
    folds: list[_Fold] = []
    ends = np.quantile(pooled.time_ms, CUTS[:-1])
    for begin, end in zip(ends, [*ends[1:], np.inf], strict=True):
        before = pooled.time_ms < begin
        if not before.any():
            continue
        intercept, features = fit_prior(pooled.take(before), penalties)
        offset = Joint(intercept, features, np.empty(0)).logits(pooled, own=False)
        for name in names:
            own = np.flatnonzero(pooled.campaign == name)
            times = pooled.time_ms[own]
            split = int((times < begin).sum())
            stop = int((times < end).sum())
            if not 0 < split < stop:
                continue
            folds.append(_fold(pooled.take(own[:stop]), offset[own[:stop]], split, penalties))
    return folds


def _fold(rows: Pooled, offset: Floats, split: int, penalties: Penalties) -> _Fold:
    specs = [f for f in rows.features if f.only != "prior"]
    a, b = slice(0, split), slice(split, None)
    encoded = rows.take(a).encoded(specs, min_rows=penalties.delta_min_rows)
    after = rows.take(b)
    x = matrix([e.of_other(after.columns[rows.features.index(spec)]) for e, spec in zip(encoded, specs, strict=True)])
    return _Fold(encoded, rows.label[a], rows.weight[a], offset[a], x, after.label, after.weight, offset[b])
