"""Twice the bidder's capacity: how many bids it still answers, whether any is late, how fast it sheds the rest.

The capacity is the highest load at which nearly every auction gets its bid in time. The overload uses more connections,
so that requests wait in the bidder, which can shed them, not in the generator.
"""

from __future__ import annotations

from pathlib import Path

from bench import capacity
from bench.bidder import running
from bench.load import MANY_CONNECTIONS, Load, offer
from bench.report import Target, finish, median, say, table
from bench.world import World


def run(directory: Path, *, candidates: int, seconds: float, rounds: int, rate: float) -> int:
    """Measure and report; return 0 if the targets are met. With rate 0, the capacity is searched for."""
    world = World(directory / "world", candidates=candidates)
    world.prepare()
    at_full: list[Load] = []
    at_twice: list[Load] = []
    with running(world, "overload") as bidder:
        full = rate or capacity.find(bidder, world.bodies, start=6000, connections=MANY_CONNECTIONS)
        for round_ in range(rounds):
            for loads, times in ((at_full, 1), (at_twice, 2)):
                say(f"round {round_ + 1} of {rounds}: {times} × capacity, {times * full:,.0f} auctions/s")
                loads.append(
                    offer(
                        bidder,
                        world.bodies,
                        rate=times * full,
                        seconds=seconds,
                        warmup_s=2.0,
                        connections=MANY_CONNECTIONS,
                        seed=round_ + 1,
                    )
                )
    return report(at_full, at_twice, full)


def goodput(load: Load) -> float:
    """Bids in time a second."""
    return float(load.result["good"]) / float(load.result["seconds"])


def report(at_full: list[Load], at_twice: list[Load], full: float) -> int:
    rows = [
        [
            name,
            f"{median([load.result['rate'] for load in loads]):,.0f}",
            f"{median([goodput(load) for load in loads]):,.0f}",
            f"{sum(load.result['late'] for load in loads):,}",
            *(f"{median([load.latency(key, 200) for load in loads]):.2f}" for key in ("p50", "p99")),
            *(f"{median([load.latency(key, 204) for load in loads]):.2f}" for key in ("p50", "p99")),
            f"{median([load.latency('p99') for load in loads]):.2f}",
            f"{median([load.result['send_lag_ms']['p99'] for load in loads]):.2f}",
        ]
        for name, loads in (("capacity", at_full), ("twice", at_twice))
    ]
    columns = ["load", "offered/s", "bids/s", "late", "bid p50", "p99", "shed p50", "p99", "all p99", "send lag p99"]
    table(f"Bids in time at and beyond the capacity of {full:,.0f} auctions/s (ms)", columns, rows)
    targets = [
        Target("goodput_ratio", median([goodput(load) for load in at_twice]) / full, 0.9),
        Target("late_answers", sum(load.result["late"] for load in at_twice), 0, least=False),
        Target("shed_p99_ms", median([load.latency("p99", 204) for load in at_twice])),
    ]
    raw = {name: [dict(load.result) for load in loads] for name, loads in (("full", at_full), ("twice", at_twice))}
    return finish("overload", {"capacity": full, "connections": MANY_CONNECTIONS}, targets, raw=raw)
