"""The highest load that a bidder holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.bidder import Bidder
from bench.load import Load, offer
from bench.report import say

HELD_GOOD = 0.999  # share of requests that must be answered within the deadline
STEP = 1.25
PRECISION = 1.04
CONFIRM = 3  # the result must hold this many times as long as the loads of the search
LOWER = STEP**0.25  # divides a load that does not hold so long
LOWERED = 8  # times at most: a search off by more than a third has another cause


def held(load: Load) -> bool:
    """Whether nearly every request was answered in time."""
    return load.good_share >= HELD_GOOD


def find(
    bidder: Bidder,
    bodies: Path,
    *,
    start: float = 3000,
    seconds: float = 4,
    connections: int = 64,
    is_held: Callable[[Load], bool] = held,
    precision: float = PRECISION,
    confirm: float = CONFIRM,
    **options: Any,
) -> float:
    """Return requests a second: raise the load by quarters until it is not held twice, then bisect.

    A load that fails once is tried again, because other programs on the machine may have caused a stall. As the better
    of two short runs counts, the search overestimates. So its result must hold for a longer time, and is lowered until
    it does; a `confirm` of 0 leaves that out. `options` are those of bench.load.command.
    """
    seeds = itertools.count(1)

    def holds(rate: float, seconds: float = seconds) -> bool:
        for attempt in range(2):
            load = offer(
                bidder,
                bodies,
                rate=rate,
                seconds=seconds,
                warmup_s=1.0,
                connections=connections,
                seed=next(seeds),
                **options,
            )
            good = is_held(load)
            verdict = "held" if good else "not held"
            say(
                f"{bidder.name}: {rate:,.0f} a second {verdict} for {seconds:g} s: "
                f"answered in time {load.good_share:.4f}, p99 {load.latency('p99'):.1f} ms"
                + (", once more" if attempt == 0 and not good else "")
            )
            if good:
                return True
        return False

    low, high = 0.0, start
    while holds(high):
        low, high = high, high * STEP
    if low == 0:
        while not holds(high / STEP):
            high /= STEP
        low = high / STEP
    while high / low > precision:
        middle = (low * high) ** 0.5
        if holds(middle):
            low = middle
        else:
            high = middle
    for _ in range(LOWERED):
        if confirm == 0 or holds(low, confirm * seconds):
            return low
        low /= LOWER
    say(f"{bidder.name}: beware, no load was held for {confirm * seconds:g} s; {low:,.0f} a second is a guess")
    return low
