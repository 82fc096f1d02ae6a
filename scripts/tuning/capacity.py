"""The load that a setting holds, found in little time: loads to tune at are shares of it.

A closed loop says what the bidder can do at all; loads are then offered openly, below it, until the gap between one
held and one not held is small. A load that fails is tried again before it counts, for other tenants of the machine make
stalls of their own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.load import Load
from scripts.tuning.display import say
from scripts.tuning.errors import TuneError
from scripts.tuning.samples import given_up, p99
from scripts.tuning.session import Pace, Session, used

DEADLINE_MS = 100.0  # within which 99 % of the auctions must be answered for a load to be held
FIRST = 0.9  # of the closed loop's throughput
STEP = 0.6  # from a load not held to the next, while none is held
PRECISION = 1.2  # between the load held and the one not held, in the end
LEAST = 20.0  # auctions a second, where the search is given up
CONNECTIONS = 64  # of the closed loop: enough to fill batches, too few to be shed


def find(
    session: Session, name: str, settings: Mapping[str, Any], bodies: Path, *, pace: Pace, within_s: float
) -> float:
    """The highest load held, in auctions a second; when time is up, the highest so far."""
    if found := session.journal.get("capacity", name):
        session.clock.charge(found["took_s"], now=False)
        return float(found["rate"])
    session.display.at(session.clock.used_s, "capacity: closed loop")
    begin = time.monotonic()
    closed, _ = session.steady(name, settings, bodies=bodies, rate=0, pace=pace, connections=CONNECTIONS)
    check_traffic(closed)
    low, high = 0.0, goodput(closed) * FIRST / STEP

    def holds(rate: float) -> bool:
        for _ in range(2):
            session.display.at(session.clock.used_s, f"capacity: {rate:,.0f}/s")
            load, _ = session.steady(name, settings, bodies=bodies, rate=rate, pace=pace)
            reached = p99(recorded(load))
            session.display.line(f"capacity: p99 {reached:.1f} ms at {rate:,.0f}/s")
            if reached <= DEADLINE_MS:
                return True
        return False

    while low == 0 or high / low > PRECISION:
        rate = high * STEP if low == 0 else (low * high) ** 0.5
        if rate < LEAST:
            raise TuneError(f"{name} holds not even {rate:.0f} auctions/s; name loads with --rates")
        if holds(rate):
            low = rate
        else:
            high = rate
        if low and time.monotonic() - begin > within_s:
            break
    took = time.monotonic() - begin
    session.clock.charge(took, now=True)
    session.journal.add("capacity", name, rate=low, closed=closed.rate, took_s=round(took, 3))
    say(f"capacity of {name}: {low:,.0f} auctions/s (closed loop: {closed.rate:,.0f})")
    return low


def recorded(load: Load) -> dict[str, Any]:
    return {**used(load), "result": load.result}


def goodput(load: Load) -> float:
    """Auctions answered a second, those given up left out."""
    return load.rate * (1 - given_up(recorded(load)))


def check_traffic(load: Load) -> None:
    """Refuse requests that the model is never asked about: nothing could be tuned with them."""
    if load.used["gavel_batcher_rows_total"] > 0:
        return
    answers = ", ".join(f"{status}: {count}" for status, count in load.result["status"].items()) or "none"
    raise TuneError(
        f"no request reached the model (answers by status: {answers}); do the campaigns match the requests, and is "
        "there a version of the model? --config and --bodies belong together"
    )
