"""Late answers and bids given up too early, from distributions that are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.tuning.margins import Cell, Counts, bracket, choose, counts, fewer, settled, too_many, unnoticed

KEY = (1000.0, 100)


def record(*spreads: dict[str, Any], step_ms: float = 0.5) -> dict[str, Any]:
    return {"result": {"distribution": {"step_ms": step_ms, "by_tmax": list(spreads)}}}


def cell(*late: int, sent: int = 10_000, bids: int = 9_000, could: int = 9_000) -> Cell:
    rounds = {n: Counts(sent, bids, k, 0) for n, k in enumerate(late)}
    return Cell(rounds, dict.fromkeys(rounds, Counts(sent, could, 0, 0)))


def test_answers_are_counted_by_their_requests_deadline() -> None:
    fifty = {"tmax": 50, "sent": 10, "answers": {"200": [1, 2, 1], "204": [0, 0, 3, 2]}}  # one never answered
    hundred = {"tmax": 100, "sent": 5, "answers": {"200": [5]}}
    assert counts(record(fifty, hundred), tmax_ms=50, deadline_ms=1.0) == Counts(sent=10, bids=3, late=7, late_bids=1)
    assert counts(record(fifty, hundred), tmax_ms=50, deadline_ms=1.4) == Counts(10, 3, 7, 1), "a cut step is late"
    assert counts(record(fifty, hundred), tmax_ms=100, deadline_ms=50) == Counts(5, 5, 0, 0)
    assert counts(record(fifty), tmax_ms=75, deadline_ms=50) == Counts(0, 0, 0, 0)
    assert counts(record(fifty), tmax_ms=50, deadline_ms=-5).late == 10


def test_the_network_takes_from_the_deadline() -> None:
    spread = {"tmax": 50, "sent": 2, "answers": {"200": [0] * 60 + [1] + [0] * 30 + [1]}}  # 30 and 45.5 ms
    late = [counts(record(spread), tmax_ms=50, deadline_ms=50 - network).late for network in (0, 4, 10, 20)]
    assert late == [0, 0, 1, 2]


def test_the_least_margin_with_few_enough_late_answers() -> None:
    margins = {5.0: {KEY: cell(50, 60)}, 10.0: {KEY: cell(1, 0)}, 20.0: {KEY: cell(0, 0)}}
    found = choose(margins, 1e-3)
    assert (found.margin_ms, found.meets) == (10.0, True)
    assert bracket(margins, 1e-3, 20.0) == [5.0, 10.0, 20.0]


def test_every_load_and_deadline_counts() -> None:
    other = (4000.0, 50)
    margins = {5.0: {KEY: cell(0), other: cell(400)}, 10.0: {KEY: cell(0), other: cell(2)}}
    assert choose(margins, 1e-3).margin_ms == 10.0


def test_a_stall_at_a_larger_margin_is_not_laid_to_the_smaller() -> None:
    margins = {5.0: {KEY: cell(80, 90)}, 10.0: {KEY: cell(0, 1)}, 15.0: {KEY: cell(900, 2)}, 30.0: {KEY: cell(0, 500)}}
    found = choose(margins, 1e-3)
    assert (found.margin_ms, found.late_share) == (10.0, 0.5e-4)
    assert settled(margins)[30.0][KEY] == 0.5e-4


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
def test_late_shares_never_rise_with_the_margin(late: list[int]) -> None:
    out = settled({float(m): {KEY: cell(k)} for m, k in enumerate(late)})
    shares = [out[m][KEY] for m in sorted(out)]
    assert shares == [min(late[: i + 1]) / 10_000 for i in range(len(late))]


def test_one_stall_in_three_rounds_is_left_out() -> None:
    assert cell(0, 900, 1).total.late == 1
    assert cell(0, 900).total.late == 900
    assert cell(0, 900, 1, 1, 800, 1).total.late == 3


def test_where_no_margin_will_do_the_best_is_named() -> None:
    found = choose({5.0: {KEY: cell(500)}, 10.0: {KEY: cell(200)}}, 1e-4)
    assert (found.margin_ms, found.meets, found.late_share) == (10.0, False, 0.02)


def test_bids_given_up_too_early_are_those_the_control_made_in_time() -> None:
    assert cell(0, bids=8_500, could=9_000).given_up_early == pytest.approx(0.05)
    assert cell(0, bids=9_200, could=9_000).given_up_early == 0
    alone = Cell({1: Counts(10, 9, 0, 0)}, {})
    assert math.isnan(alone.given_up_early)


def test_poisson() -> None:
    assert fewer(0, 3) == 0
    assert fewer(1, 3) == pytest.approx(math.exp(-3))
    assert fewer(4, 3) == pytest.approx(0.6472, abs=1e-4)
    assert fewer(1000, 1000) == pytest.approx(0.5, abs=0.02)
    assert fewer(0, 0) == 0
    assert fewer(1, 0) == 1


def test_a_verification_fails_by_more_than_chance() -> None:
    assert not too_many(0, 1000, 1e-4)
    assert not too_many(1, 5000, 1e-4)
    assert too_many(3, 2000, 1e-4)
    assert not too_many(11, 100_000, 1e-4)
    assert too_many(40, 100_000, 1e-4)


def test_what_could_have_gone_unnoticed() -> None:
    assert unnoticed(0, 10_000) == pytest.approx(3.0e-4, rel=0.01)  # the rule of three
    assert unnoticed(5, 10_000) == pytest.approx(10.5e-4, rel=0.01)
    assert unnoticed(0, 0) == 1
