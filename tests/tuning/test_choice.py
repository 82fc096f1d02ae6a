"""The Pareto front, the race's survivors and the recommendation, on figures that are known."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.tuning.choice import Target, choose, choose_reached, pareto, reachable, survivors
from scripts.tuning.samples import Standing, cost
from scripts.tuning.settings import Setting
from tests.tuning.paper import BASE, EAGER, OFF, WINDOW, sample, standing

TARGET = Target(slo_p99_ms=10, rates=[1000])
INF = math.inf


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1, 1)], [0]),
        ([(1, 3), (2, 2), (3, 1)], [0, 1, 2]),
        ([(3, 1), (1, 3), (2, 2), (2.5, 2.5)], [1, 2, 0]),
        ([(1, 1), (1, 1)], [0]),  # of equal points the first
        ([(1, 2), (1, 1), (2, 1)], [1]),
        ([(1, INF), (2, 5), (INF, 1), (math.nan, 1)], [1]),
    ],
)
def test_front(points: list[tuple[float, float]], front: list[int]) -> None:
    assert pareto(points) == front


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    front = {points[i] for i in pareto(points)}
    unbeaten = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert front == unbeaten


def test_least_cpu_among_those_that_meet_the_target() -> None:
    found = choose(
        [
            standing(BASE, (4, 100), (5, 100)),
            standing(EAGER, (12, 50), (13, 50)),  # cheap, and too slow
            standing(WINDOW, (8, 80), (7, 80)),
        ],
        BASE,
        TARGET,
    )
    assert (found.setting, found.meets, found.worst_p99_ms) == (WINDOW, True, 7.5)
    assert found.cost.ratio == pytest.approx(0.8)


def test_the_target_holds_at_every_load() -> None:
    target = Target(slo_p99_ms=10, rates=[1000, 4000])

    def at_both(setting: Setting, low: float, high: float, cpu: float) -> Standing:
        return Standing(setting, (sample(1000, p99=low, cpu=cpu), sample(4000, p99=high, cpu=cpu)))

    found = choose([at_both(BASE, 5, 8, 100), at_both(WINDOW, 3, 20, 50)], BASE, target)
    assert (found.setting, found.worst_rate) == (BASE, 4000)


def at_loads(setting: Setting, *p99s: float, cpu: float = 100) -> Standing:
    return Standing(setting, tuple(sample(1000.0 * n, p99=p99, cpu=cpu) for n, p99 in enumerate(p99s, 1)))


@pytest.mark.parametrize(
    ("base", "window", "setting", "loads"),
    [
        ((4, 5, 8), (3, 4, 20), BASE, 3),  # one meets it at every load
        ((4, 8, 30), (3, 5, 20), WINDOW, 2),  # at the greatest none does
        ((4, 8, INF), (3, 20, INF), BASE, 2),
        ((4, 9.5, 9.9), (3, 9.8, 20), WINDOW, 1),  # nearly counts less than with headroom at fewer
        ((9.6, 9.5, 20), (9.9, 9.8, 20), BASE, 2),  # but for more than nothing
    ],
)
def test_loads_out_of_reach_are_left_out(
    base: Sequence[float], window: Sequence[float], setting: Setting, loads: int
) -> None:
    target = Target(slo_p99_ms=10, rates=[1000, 2000, 3000])
    found, reached = choose_reached([at_loads(BASE, *base), at_loads(WINDOW, *window, cpu=80)], BASE, target)
    assert (found.setting, found.meets, list(reached.rates)) == (setting, True, [1000, 2000, 3000][:loads])


def test_where_no_load_is_in_reach_all_count() -> None:
    target = Target(slo_p99_ms=10, rates=[1000, 2000])
    found, reached = choose_reached([at_loads(BASE, 11, 30), at_loads(WINDOW, 12, 20)], BASE, target)
    assert (found.setting, found.meets, reached) == (WINDOW, False, target)


def test_headroom_is_kept_where_it_can_be() -> None:
    near, far = standing(WINDOW, (9.5, 50)), standing(BASE, (8, 100))
    assert choose([far, near], BASE, TARGET).setting == BASE
    only = choose([standing(BASE, (9.9, 100)), near], BASE, TARGET)
    assert (only.setting, only.meets, only.with_headroom) == (WINDOW, True, False)


def test_ties_go_to_what_changes_least() -> None:
    other = replace(WINDOW, max_wait_us=1000)
    standings = [
        standing(BASE, (5, 100)),
        standing(other, (5, 79.5)),
        standing(WINDOW, (5, 80)),
        standing(OFF, (5, 99)),
    ]
    found = choose(standings, BASE, TARGET)
    assert (found.setting, list(found.ties)) == (WINDOW, [other])


def test_a_difference_within_noise_changes_nothing() -> None:
    # The other is 4 % cheaper in the mean, and the rounds differ by 10 %.
    base = standing(BASE, (5, 100), (5, 100), (5, 100), (5, 100))
    other = standing(WINDOW, (5, 87), (5, 106), (5, 88), (5, 104))
    assert choose([base, other], BASE, TARGET).setting == BASE


def test_a_machine_that_slows_down_favours_nobody() -> None:
    # Costs are ratios within a round: in the second, everything took twice as much.
    base, other = standing(BASE, (5, 100), (5, 200)), standing(WINDOW, (5, 90), (5, 180))
    assert cost(other, base, [1000]).ratio == pytest.approx(0.9)


@pytest.mark.parametrize("seed", range(5))
def test_the_recommendation_is_right_despite_noise(seed: int) -> None:
    # (p99, CPU) as they are; each round is disturbed by 25 % and 5 %.
    truth = {BASE: (6.0, 100.0), EAGER: (4.0, 130.0), WINDOW: (7.0, 75.0), OFF: (30.0, 60.0)}
    rng = random.Random(seed)  # noqa: S311 - noise, not secrets
    standings = [
        standing(s, *((p * rng.lognormvariate(0, 0.25), c * rng.lognormvariate(0, 0.05)) for _ in range(7)))
        for s, (p, c) in truth.items()
    ]
    found = choose(standings, BASE, Target(slo_p99_ms=12, rates=[1000]))
    assert (found.setting, found.meets) == (WINDOW, True)


def test_one_lucky_round_wins_nothing() -> None:
    lucky = standing(WINDOW, (1, 10))
    found = choose([standing(BASE, *[(5, 100)] * 5), standing(EAGER, *[(5, 80)] * 5), lucky], BASE, TARGET)
    assert found.setting == EAGER


def test_where_nothing_meets_the_target_the_nearest_is_named() -> None:
    standings = [standing(BASE, (30, 100)), standing(WINDOW, (20, 100)), standing(OFF, (INF, 10))]
    found = choose(standings, BASE, TARGET)
    assert (found.setting, found.meets, found.worst_p99_ms) == (WINDOW, False, 20)
    assert reachable(standings, TARGET) == {1000: (WINDOW, 20)}


def test_where_all_lose_auctions_the_one_that_loses_fewest_is_named() -> None:
    few = Standing(WINDOW, (sample(p99=INF, lost=0.02),))
    found = choose([Standing(BASE, (sample(p99=INF, lost=0.5),)), few], BASE, TARGET)
    assert (found.setting, found.meets) == (WINDOW, False)


def test_survivors_are_the_cheap_and_fast_and_always_the_base() -> None:
    slow_base = standing(BASE, (50, 100))
    others = [standing(EAGER, (8, 80)), standing(WINDOW, (8, 70)), standing(OFF, (12, 60))]
    assert survivors([slow_base, *others], BASE, TARGET, 3) == [BASE, WINDOW, EAGER]


def test_what_is_clearly_dominated_does_not_survive() -> None:
    standings = [standing(BASE, (4, 100)), standing(EAGER, (8, 120)), standing(WINDOW, (5, 105))]
    assert survivors(standings, BASE, TARGET, 9) == [BASE, WINDOW]


def test_the_hopeless_do_not_survive_but_have_a_second_chance() -> None:
    cheap_once, cheap_twice = standing(OFF, (90, 10)), standing(OFF, (90, 10), (80, 10))
    others = [standing(BASE, (5, 100), (5, 100))]
    assert survivors([*others, cheap_once], BASE, TARGET, 9) == [BASE, OFF]
    assert survivors([*others, cheap_twice], BASE, TARGET, 9) == [BASE]
