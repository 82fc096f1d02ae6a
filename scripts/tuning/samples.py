"""What measurements say of settings: a sample is one measurement, a standing all those of one setting."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.tuning.settings import Setting

VERIFYING = 1000  # rounds from here on are of a verification
OWN_REASONS = ("shed", "expired", "internal", "no_model")  # no-bids that are the bidder's, not the campaigns'


def given_up(record: Mapping[str, Any]) -> float:
    """The share of auctions that the bidder answered with a no-bid of its own making, or with an error of its own."""
    no_bids: Mapping[str, float] = record["no_bids"]
    result = record["result"]
    errors = sum(count for status, count in result["status"].items() if status == "408" or status >= "500")
    own = sum(no_bids.get(reason, 0.0) for reason in OWN_REASONS) / max(record["requests"], 1)
    return float(own + errors / max(result["sent"], 1))


def lost_share(record: Mapping[str, Any]) -> float:
    """The auctions given up, failed or never answered, of those offered."""
    result = record["result"]
    return given_up(record) + float((result["failed"] + result["unanswered"]) / max(result["sent"], 1))


def p99(record: Mapping[str, Any]) -> float:
    """The 99th percentile in ms over all auctions offered, where one that was lost is never answered.

    What is given up is answered fast: without this, a setting could meet any target by refusing. The given up are taken
    to be the fastest answers, and moved to the end: the result is the percentile 99 + their share, infinite beyond 100.
    It is as fine as the distribution's steps; where nothing was lost, as the generator's histogram.
    """
    result = record["result"]
    if lost_share(record) == 0:
        return float(result["latency_ms"]["p99"])
    sent = result["sent"]
    needed = math.ceil(0.99 * sent + given_up(record) * sent)
    distribution = result["distribution"]
    counts: Counter[int] = Counter()
    for spread in distribution["by_tmax"] or []:
        for steps in spread["answers"].values():
            counts.update(dict(enumerate(steps)))
    seen = 0
    for step in sorted(counts):
        seen += counts[step]
        if seen >= needed:
            return float((step + 1) * distribution["step_ms"])
    return math.inf


@dataclass(frozen=True)
class Sample:
    """One measurement of one setting at one load."""

    rate: float  # auctions offered a second
    round_: int
    p50: float  # ms, as p99 and p999: from when the request was due
    p99: float  # with those lost, see p99()
    p999: float  # what failed or was never answered counts as answered 2 s after the load
    cpu_us: float  # of the bidder, an auction that it did not give up
    row_us: float  # of the bidder, a row
    batch_rows: float  # mean
    lost: float  # share
    lag: float  # ms, p99: how late the generator itself was

    @staticmethod
    def of(record: Mapping[str, Any]) -> Sample:
        latency = record["result"]["latency_ms"]
        cpu_us = record["cpu_s"] * 1e6
        return Sample(
            rate=record["rate"],
            round_=record["round"],
            p50=latency["p50"],
            p99=p99(record),
            p999=latency["p999"],
            cpu_us=cpu_us / max(record["requests"] * (1 - given_up(record)), 1),
            row_us=cpu_us / max(record["rows"], 1),
            batch_rows=record["rows"] / max(record["runs"], 1),
            lost=lost_share(record),
            lag=record["result"]["send_lag_ms"]["p99"],
        )


@dataclass(frozen=True)
class Standing:
    """A setting and its samples."""

    setting: Setting
    samples: Sequence[Sample]

    @property
    def rounds(self) -> int:
        """In how many rounds it was measured, at the load where those are fewest; verifications left out."""
        counts = [sum(s.round_ < VERIFYING for s in self.at(rate)) for rate in self.rates]
        return min(counts, default=0)

    @property
    def rates(self) -> list[float]:
        return sorted({s.rate for s in self.samples})

    def at(self, rate: float) -> list[Sample]:
        return [s for s in self.samples if s.rate == rate]

    def median(self, name: str, rate: float) -> float:
        """Of the rounds at this load; infinite where there is none."""
        values = [getattr(s, name) for s in self.at(rate)]
        return statistics.median(values) if values else math.inf

    def range(self, name: str, rate: float) -> tuple[float, float]:
        values = [getattr(s, name) for s in self.at(rate)] or [math.inf]
        return min(values), max(values)

    def p99(self, rate: float) -> float:
        """The median 99th percentile in ms; infinite where 1 % of the auctions or more were lost."""
        return self.median("p99", rate)

    def miss(self, rates: Iterable[float], limit_ms: float) -> float:
        """The worst p99 over the loads, as a multiple of the limit: at most 1 meets it."""
        return max(self.p99(rate) / limit_ms for rate in rates)

    def lost(self, rates: Iterable[float]) -> float:
        """The greatest share of auctions lost at a load."""
        return max(self.median("lost", rate) for rate in rates)


@dataclass(frozen=True)
class Cost:
    """CPU of an auction against the base setting's: the geometric mean over the loads, and how sure it is."""

    ratio: float
    error: float  # one standard error of its logarithm; 0 where one round says nothing of it


def cost(standing: Standing, base: Standing, rates: Sequence[float]) -> Cost:
    """Ratios are taken within a round, where noise met both alike, then their median over the rounds."""
    logs, spreads = [], []
    for rate in rates:
        against = {s.round_: s.cpu_us for s in base.at(rate)}
        ratios = [math.log(s.cpu_us / against[s.round_]) for s in standing.at(rate) if s.round_ in against]
        if not ratios:
            return Cost(math.inf, 0.0)
        logs.append(statistics.median(ratios))
        if len(ratios) > 1:
            spreads.append(statistics.stdev(ratios) / math.sqrt(len(ratios)))
    error = math.sqrt(sum(s * s for s in spreads)) / len(rates)
    return Cost(math.exp(statistics.fmean(logs)), error)
