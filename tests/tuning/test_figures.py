"""What a measurement says: the p99 that counts lost auctions, and late answers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from scripts.tuning.figures import cpu_and_p99, lost_share, p99
from scripts.tuning.latency import Deadlines
from tests.tuning.paper import answers, record


def spread(counts: list[int], *, sent: int) -> dict[str, Any]:
    result = answers(5, sent=sent)
    result["unanswered"] = sent - sum(counts)
    result["distribution"]["by_tmax"][0]["answers"] = {"200": counts}
    return result


def test_without_losses_it_is_the_generators() -> None:
    assert p99(record(answers(7.25))) == 7.25


def test_auctions_given_up_count_as_never_answered() -> None:
    # 980 answers of 1 ms (5 of which were refusals), 10 of 2, 10 of 3: the 990th of those answered is among the last.
    result = spread([980, 10, 10], sent=1000)
    assert p99(record(result, shed=5)) == 3.0
    assert p99(record(result)) == 5  # nothing lost: the generator's own
    assert p99(record(result, shed=11)) == math.inf
    assert lost_share(record(result, shed=11)) == pytest.approx(0.011)


def test_auctions_never_answered_count_too() -> None:
    assert p99(record(spread([990, 5], sent=1000))) == 1.0
    assert p99(record(spread([980, 9], sent=1000))) == math.inf


def test_errors_of_the_bidder_are_no_answers() -> None:
    result = answers(5)
    result["status"] = {"200": 940, "400": 20, "408": 10, "503": 30}
    assert lost_share(record(result)) == pytest.approx(0.04)
    assert p99(record(result)) == math.inf


def test_cpu_is_of_auctions_not_given_up() -> None:
    full, half = cpu_and_p99(record(answers(5))), cpu_and_p99(record(answers(5), shed=500))
    assert [full.cost, half.cost] == pytest.approx([100, 200])


def test_an_answer_is_late_after_tmax_less_the_network() -> None:
    found = Deadlines().sample(record(answers(90, late=10)))
    assert (found.bounded, found.cost) == (0.01, 0.01)
    assert Deadlines(network_ms=10).sample(record(answers(90))).bounded == 0
    assert Deadlines(network_ms=11).sample(record(answers(90))).bounded == 1


def test_a_no_bid_in_time_is_not_late_but_no_bid() -> None:
    result = answers(5)
    result["distribution"]["by_tmax"][0]["answers"] = {"200": [900], "204": [100]}
    found = Deadlines().sample(record(result))
    assert (found.bounded, found.cost) == (0, 0.1)
