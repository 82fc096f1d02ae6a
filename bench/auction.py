"""What the autobatcher and plans save, and what batching costs in latency, on whole auctions over HTTP.

Four bidders serve the same version, run at once and get the same open-loop load in turn:

    off, default     batching off, TensorFlow's default session: one run an auction, in TensorFlow's own threads
    off, caller      batching off, one run an auction, in the caller's thread
    adaptive         Gavel as shipped: TensorFlow, autobatched
    plan             the same with the version's plan in place of its SavedModel

The benchmark first finds the highest load that `off, default` holds. It measures savings there, and added latency at
half of it. Ratios are taken within a round; medians of the rounds are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import capacity
from bench.bidder import running_all
from bench.load import Load, offer
from bench.report import Target, finish, median, say, table
from bench.world import MODEL, World

OFF_DEFAULT, OFF_CALLER, ADAPTIVE, PLAN = "off, default", "off, caller", "adaptive", "plan"
SIDES: Mapping[str, Mapping[str, Any]] = {
    OFF_DEFAULT: {"batcher.policy": "off", "tensorflow.threading": "default"},
    OFF_CALLER: {"batcher.policy": "off"},
    ADAPTIVE: {},
    PLAN: {f"models.{MODEL}.engine": "plan"},
}

Rounds = dict[str, list[Load]]


def run(directory: Path, *, candidates: int, seconds: float, rounds: int, rate: float) -> int:
    """Measure and report; return 0 if the targets are met. With rate 0, the rate is searched for."""
    world = World(directory / "world", candidates=candidates)
    world.prepare()
    with running_all([(world, side.replace(", ", "-"), settings) for side, settings in SIDES.items()]) as bidders:
        sides = dict(zip(SIDES, bidders, strict=True))
        full = rate or capacity.find(sides[OFF_DEFAULT], world.bodies)

        def measure(rate: float) -> Rounds:
            loads: Rounds = {side: [] for side in sides}
            for round_ in range(rounds):
                for side, bidder in sides.items():
                    say(f"round {round_ + 1} of {rounds}: {side} at {rate:,.0f} auctions/s for {seconds:.0f} s")
                    loads[side].append(offer(bidder, world.bodies, rate=rate, seconds=seconds, seed=round_ + 1))
            return loads

        at_full, at_half = measure(full), measure(full / 2)
    return report(at_full, at_half, full, candidates)


def compare(loads: Rounds, value: Callable[[Load], float], side: str, against: str = ADAPTIVE) -> float:
    """Return the median over the rounds of a side's value ÷ the adaptive bidder's."""
    return median([value(a) / max(value(b), 1e-9) for a, b in zip(loads[side], loads[against], strict=True)])


def runs_each(load: Load) -> float:
    """Calls of the scoring engine an auction."""
    return load.used.runs / load.requests


def scoring_us(load: Load) -> float:
    """CPU of the scoring engine an auction, in µs: of TensorFlow or of the plan."""
    return load.used.scoring_cpu_s / load.requests * 1e6


def added(loads: Rounds, key: str) -> float:
    """Return the latency in ms that batching adds to the better side without batching, the median over the rounds."""
    rounds = zip(loads[ADAPTIVE], loads[OFF_DEFAULT], loads[OFF_CALLER], strict=True)
    return median([a.latency(key) - min(d.latency(key), c.latency(key)) for a, d, c in rounds])


def show(title: str, loads: Rounds) -> None:
    table(
        title,
        [
            "side",
            "answered/s",
            "in time",
            "calls/auction",
            "scoring CPU µs",
            "bidder CPU µs",
            "mean ms",
            "p50",
            "p99",
            "p999",
        ],
        [
            [
                side,
                f"{median([r.rate for r in rounds]):,.0f}",
                f"{median([r.good_share for r in rounds]):.4f}",
                f"{median([runs_each(r) for r in rounds]):.3f}",
                f"{median([scoring_us(r) for r in rounds]):.1f}",
                f"{median([r.cpu_us for r in rounds]):.1f}",
                *(f"{median([r.latency(key) for r in rounds]):.2f}" for key in ("mean", "p50", "p99", "p999")),
            ]
            for side, rounds in loads.items()
        ],
    )


def report(at_full: Rounds, at_half: Rounds, full: float, candidates: int) -> int:
    show(
        f"At {full:,.0f} auctions/s, the highest load that '{OFF_DEFAULT}' holds (rows an auction: {candidates})",
        at_full,
    )
    show(f"At half of it, {full / 2:,.0f} auctions/s", at_half)
    targets = [
        Target("compute_calls_ratio", compare(at_full, runs_each, OFF_DEFAULT)),
        Target("tf_cpu_ratio", compare(at_full, scoring_us, OFF_DEFAULT), 5),
        Target("tf_cpu_ratio_caller", compare(at_full, scoring_us, OFF_CALLER), 2.5),
        Target("auction_scoring_share", compare(at_full, scoring_us, PLAN), 0.5, least=False),
        Target("added_latency_mean_ms", added(at_half, "mean"), 1, least=False),
        Target("added_latency_p99_ms", added(at_half, "p99"), 3, least=False),
    ]
    figures = {
        "rate": full,
        "candidates": candidates,
        "calls_an_auction": {side: median([runs_each(load) for load in loads]) for side, loads in at_full.items()},
        "scoring_cpu_us": {side: median([scoring_us(load) for load in loads]) for side, loads in at_full.items()},
        "bidder_cpu_ratio": compare(at_full, lambda load: load.cpu_us, OFF_DEFAULT),
        "bidder_cpu_ratio_caller": compare(at_full, lambda load: load.cpu_us, OFF_CALLER),
        "bidder_cpu_share_plan": compare(at_full, lambda load: load.cpu_us, PLAN),
    }
    raw = {
        name: {
            side: [dict(r.result) | {"counters": dict(r.used.counters)} for r in rounds]
            for side, rounds in loads.items()
        }
        for name, loads in (("full", at_full), ("half", at_half))
    }
    return finish("auction", figures, targets, raw=raw)
