"""The highest load that a bidder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.bench.bidder import Bidder
from scripts.bench.load import Load, offer
from scripts.bench.report import say

HELD_GOOD = 0.999  # of the auctions offered must get a bid within the deadline
STEP = 1.25
PRECISION = 1.04


@dataclass(frozen=True)
class Capacity:
    """The highest load held, and what was tried."""

    rate: float  # auctions offered a second
    tried: list[Load]


def held(load: Load) -> bool:
    """Whether nearly every auction got its bid in time."""
    return load.good_share >= HELD_GOOD


def find(bidder: Bidder, bodies: Path, *, start: float = 3000, seconds: float = 4, connections: int = 64) -> Capacity:
    """Climb by quarters until a load is not held twice, then halve the gap between held and not held.

    A load that fails once is tried again before it counts: other tenants of the machine make stalls of their own.
    """
    tried: list[Load] = []

    def holds(rate: float) -> bool:
        for attempt in range(2):
            load = offer(
                bidder, bodies, rate=rate, seconds=seconds, warmup_s=1.0, connections=connections, seed=len(tried) + 1
            )
            tried.append(load)
            verdict = "held" if held(load) else "not held"
            say(
                f"{bidder.name}: {rate:,.0f} auctions/s {verdict}: bids in time {load.good_share:.4f}, "
                f"p99 {load.latency('p99'):.1f} ms" + (", once more" if attempt == 0 and not held(load) else "")
            )
            if held(load):
                return True
        return False

    low, high = 0.0, start
    while holds(high):
        low, high = high, high * STEP
    if low == 0:
        while not holds(high / STEP):
            high /= STEP
        low = high / STEP
    while high / low > PRECISION:
        middle = (low * high) ** 0.5
        if holds(middle):
            low = middle
        else:
            high = middle
    return Capacity(rate=low, tried=tried)
