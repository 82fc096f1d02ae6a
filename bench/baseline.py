"""What an auction costs beyond decoding: the bidder against `bidder baseline`, which decodes and answers 204.

All sides run at once on the same machine and get the same open-loop load in turn, round after round. A ratio is taken
within each round, and the median of the rounds is reported.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.bidder import Bidder, running
from bench.load import Load, offer
from bench.report import Target, finish, median, say, table
from bench.world import World

LIMITS = {1: 1.7, 8: 2.5}  # candidates → most CPU of an auction ÷ CPU of the baseline


def run(directory: Path, *, rate: float, seconds: float, rounds: int) -> int:
    """Measure and report; return 0 if the targets are met."""
    worlds = {n: World(directory / "world", candidates=n) for n in LIMITS}
    for world in worlds.values():
        world.prepare()
    bodies = worlds[1].bodies
    with ExitStack() as stack:
        sides: dict[str, Bidder] = {"baseline": stack.enter_context(running(worlds[1], "baseline", command="baseline"))}
        for n, world in worlds.items():
            sides[f"auction, candidates: {n}"] = stack.enter_context(running(world, f"candidates-{n}"))
        loads: dict[str, list[Load]] = {side: [] for side in sides}
        for round_ in range(rounds):
            for side, bidder in sides.items():
                say(f"round {round_ + 1} of {rounds}: {side} at {rate:,.0f} auctions/s for {seconds:.0f} s")
                loads[side].append(offer(bidder, bodies, rate=rate, seconds=seconds, seed=round_ + 1))
    return report(loads, rate)


def report(loads: dict[str, list[Load]], rate: float) -> int:
    base = [load.cpu_us for load in loads["baseline"]]
    ratios = {
        side: median([load.cpu_us / b for load, b in zip(rounds, base, strict=True)]) for side, rounds in loads.items()
    }
    rows = [
        [
            side,
            f"{median([r.rate for r in rounds]):,.0f}",
            f"{median([r.cpu_us for r in rounds]):.1f}",
            f"{min(r.cpu_us for r in rounds):.1f} to {max(r.cpu_us for r in rounds):.1f}",
            f"{ratios[side]:.2f}",
            f"{median([r.good_share for r in rounds]):.4f}",
            f"{median([r.latency('p99') for r in rounds]):.2f}",
        ]
        for side, rounds in loads.items()
    ]
    table(
        f"CPU of an auction at {rate:,.0f} a second, medians of {len(base)} rounds",
        ["side", "answered/s", "CPU µs", "range", "× baseline", "bids", "p99 ms"],
        rows,
    )
    figures: dict[str, Any] = {"rate": rate, "baseline_cpu_us": median(base)}
    targets = []
    for n, limit in LIMITS.items():
        side = f"auction, candidates: {n}"
        figures[f"auction_cpu_us_{n}"] = median([r.cpu_us for r in loads[side]])
        targets.append(Target(f"cpu_ratio_{n}_candidates", ratios[side], limit, least=False))
    raw = {side: [{**r.result, "bidder_cpu_us": r.cpu_us} for r in rounds] for side, rounds in loads.items()}
    return finish("baseline", figures, targets, raw=raw)
