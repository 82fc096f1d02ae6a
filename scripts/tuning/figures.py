"""What one measurement says: how many auctions were lost, the p99 with those counted, the CPU of an auction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.load import Load
from bench.percentiles import percentile

OWN_REASONS = ("shed", "expired", "internal", "no_model")  # no-bids that are the bidder's fault, not the campaigns'


def kept(load: Load) -> dict[str, Any]:
    """What the journal keeps of a measurement; counters include the warm-up."""
    own = sum(load.used[f"gavel_openrtb_no_bids_total{{reason={reason}}}"] for reason in OWN_REASONS)
    return {
        "cpu_s": load.used.cpu_s,
        "requests": load.requests,
        "own_no_bids": own,
        "result": load.result,
    }


@dataclass(frozen=True)
class Sample:
    """One measurement of one candidate at one load."""

    bounded: float  # what has a target: the p99 in ms, or the share of late answers
    cost: float  # what is to be least: CPU of an auction in µs, or the share of auctions without a bid in time
    lost: float  # share of the auctions that were given up, failed or never answered
    lag: float  # ms, p99: how late the generator itself was


def lag(record: Mapping[str, Any]) -> float:
    return float(record["result"]["send_lag_ms"]["p99"])


def given_up(record: Mapping[str, Any]) -> float:
    """The share of auctions that the bidder answered with a no-bid, or an error, of its own making."""
    result = record["result"]
    errors = sum(n for status, n in result["status"].items() if status == "408" or status >= "500")
    return float(record["own_no_bids"] / max(record["requests"], 1) + errors / max(result["sent"], 1))


def lost_share(record: Mapping[str, Any]) -> float:
    """The share of auctions that were given up, failed or never answered."""
    result = record["result"]
    return given_up(record) + float((result["failed"] + result["unanswered"]) / max(result["sent"], 1))


def cpu_and_p99(record: Mapping[str, Any]) -> Sample:
    """The p99, and the CPU of an auction that was not given up."""
    answered = max(record["requests"] * (1 - given_up(record)), 1)
    return Sample(p99(record), 1e6 * record["cpu_s"] / answered, lost_share(record), lag(record))


def p99(record: Mapping[str, Any]) -> float:
    """The 99th percentile in ms over all auctions offered; a lost auction counts as never answered.

    A given-up auction is answered fast: without this rule, a setting could meet any target by refusing. The given-up
    share is assumed to be the fastest answers, and moved to the end: the result is the percentile 99 + that share, and
    infinite beyond 100.
    """
    result = record["result"]
    if lost_share(record) == 0:
        return float(result["latency_ms"]["p99"])
    distribution = result["distribution"]
    counts = [
        ((step + 1) * distribution["step_ms"], answers)
        for spread in distribution["by_tmax"] or ()
        for steps in spread["answers"].values()
        for step, answers in enumerate(steps)
    ]
    answered = sum(answers for _, answers in counts)
    needed = (0.99 + given_up(record)) * result["sent"]
    return percentile([{"counts": counts}], needed / answered) if needed <= answered else math.inf
