"""The Pareto front, which settings stay in the race, and which one is recommended. Nothing here measures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scripts.tuning.samples import Cost, Standing, cost
from scripts.tuning.settings import Setting, distance

WORSE_P99, WORSE_CPU = 1.5, 1.1  # by so much worse in both at every load: clearly dominated
HOPELESS = 4.0  # times the limit, in the best of two rounds or more, while others meet it
TIE = 0.015  # costs that differ by less are equal, however sure they are


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """The indices of the points that no other beats in one coordinate without losing in the other, by the first.

    Less is better in both. Points that are not finite are never on the front; of equal points the first is.
    """
    front: list[int] = []
    best = math.inf
    for i in sorted(range(len(points)), key=lambda i: (points[i], i)):
        x, y = points[i]
        if math.isfinite(x) and math.isfinite(y) and y < best:
            front.append(i)
            best = y
    return front


@dataclass(frozen=True)
class Target:
    """What a recommended setting has to do."""

    slo_p99_ms: float
    rates: Sequence[float]  # at every one of these
    headroom: float = 0.1  # of the target, kept for noise

    @property
    def limit_ms(self) -> float:
        return self.slo_p99_ms * (1 - self.headroom)


def dominated(a: Standing, b: Standing, rates: Sequence[float]) -> bool:
    """Whether b is clearly better than a in latency and in CPU, at every load."""
    return all(
        a.p99(rate) > WORSE_P99 * b.p99(rate) and a.median("cpu_us", rate) > WORSE_CPU * b.median("cpu_us", rate)
        for rate in rates
    )


def survivors(standings: Sequence[Standing], base: Setting, target: Target, size: int) -> list[Setting]:
    """Those worth another round: at most `size`, best first; the base always, for costs are ratios to its.

    Ordered by cost, where a miss of the target counts squared. Those clearly dominated are left out, and the hopeless.
    """
    against = next(s for s in standings if s.setting == base)
    meets = any(s.miss(target.rates, target.limit_ms) <= 1 for s in standings)

    def hopeless(s: Standing) -> bool:
        return meets and s.rounds > 1 and any(s.range("p99", r)[0] > HOPELESS * target.limit_ms for r in target.rates)

    def score(s: Standing) -> tuple[float, float]:
        # Those that lose too much to have a p99 are told apart by how much.
        miss = min(s.miss(target.rates, target.limit_ms), 10.0)
        return cost(s, against, target.rates).ratio * max(1.0, miss) ** 2, s.lost(target.rates)

    left = [
        s
        for s in standings
        if s is not against and not hopeless(s) and not any(dominated(s, b, target.rates) for b in standings)
    ]
    best = sorted(left, key=lambda s: (score(s), distance(s.setting, base)))
    return [base, *(s.setting for s in best[: size - 1])]


@dataclass(frozen=True)
class Choice:
    """What was found: the setting to take, or the best there is."""

    setting: Setting
    meets: bool  # the target, in the medians
    with_headroom: bool
    worst_p99_ms: float
    worst_rate: float  # where that is
    cost: Cost
    ties: Sequence[Setting]  # no dearer within noise; the one nearest to the base was taken
    tie_width: float
    why: str


def choose(standings: Sequence[Standing], base: Setting, target: Target) -> Choice:
    """The setting with the least CPU among those that meet the target at every load.

    Only settings that were measured about as often as any are asked, so that nobody wins by one lucky round. Costs
    within noise of the least are ties, of which the base is taken, or else what changes least of it. If no setting
    meets the target, the one whose worst p99 is least is returned.
    """
    most = max(s.rounds for s in standings)
    against = next(s for s in standings if s.setting == base)
    asked = [s for s in standings if s.rounds >= max(1, most - 1, (most + 1) // 2)]
    costs = {s.setting: cost(s, against, target.rates) for s in asked}
    good = [s for s in asked if s.miss(target.rates, target.limit_ms) <= 1]
    with_headroom = bool(good)
    if not good:
        good = [s for s in asked if s.miss(target.rates, target.slo_p99_ms) <= 1]
        if good:  # nearly: safety first, CPU does not matter
            best = min(good, key=lambda s: s.miss(target.rates, 1.0))
            return made(best, costs, target, meets=True, with_headroom=False, ties=[], width=0.0)
        best = min(asked, key=lambda s: (s.miss(target.rates, 1.0), s.lost(target.rates), distance(s.setting, base)))
        return made(best, costs, target, meets=False, with_headroom=False, ties=[], width=0.0)
    cheapest = min(good, key=lambda s: costs[s.setting].ratio)
    width = max(TIE, 2 * noise(costs, [s.setting for s in good]))
    least = costs[cheapest.setting].ratio
    ties = [s for s in good if costs[s.setting].ratio <= least * (1 + width)]
    best = min(ties, key=lambda s: (distance(s.setting, base), costs[s.setting].ratio))
    others = [s.setting for s in ties if s is not best]
    return made(best, costs, target, meets=True, with_headroom=with_headroom, ties=others, width=width)


def choose_reached(standings: Sequence[Standing], base: Setting, target: Target) -> tuple[Choice, Target]:
    """Choose for the greatest loads at which the target can be met; the choice, and the target with those loads.

    A load out of reach would choose nothing: no setting would meet the target, whatever it does at the others. Rather
    fewer loads with the headroom that was asked for than more without.
    """
    fewer = [replace(target, rates=target.rates[:n]) for n in range(len(target.rates), 0, -1)]
    chosen = [(choose(standings, base, some), some) for some in fewer]
    for pair in chosen:
        if pair[0].with_headroom:
            return pair
    return next((pair for pair in chosen if pair[0].meets), chosen[0])


def noise(costs: Mapping[Setting, Cost], settings: Sequence[Setting]) -> float:
    """The usual standard error of a cost: a median over the settings, for that of one of few rounds is itself noise.

    The base has none, for it is compared with itself.
    """
    errors = [costs[s].error for s in settings if costs[s].error > 0]
    return statistics.median(errors) if errors else 0.0


def made(
    best: Standing,
    costs: Mapping[Setting, Cost],
    target: Target,
    *,
    meets: bool,
    with_headroom: bool,
    ties: Sequence[Setting],
    width: float,
) -> Choice:
    worst = max(target.rates, key=best.p99)
    if not meets:
        why = "no setting meets the target at every load; this one misses it by least"
    elif not with_headroom:
        why = f"it meets the target by least p99, but without the {target.headroom:.0%} of headroom that was asked for"
    elif ties:
        why = f"of {len(ties) + 1} settings whose CPU is least within noise ({width:.1%}), it changes least"
    else:
        why = "it has the least CPU of those that meet the target at every load"
    return Choice(
        setting=best.setting,
        meets=meets,
        with_headroom=with_headroom,
        worst_p99_ms=best.p99(worst),
        worst_rate=worst,
        cost=costs[best.setting],
        ties=ties,
        tie_width=width,
        why=why,
    )


def reachable(standings: Sequence[Standing], target: Target) -> dict[float, tuple[Setting, float]]:
    """For each load the least p99 that was measured, and the setting that has it."""
    found = {}
    for rate in target.rates:
        best = min(standings, key=lambda s: (s.p99(rate), s.median("lost", rate)))
        found[rate] = best.setting, best.p99(rate)
    return found
