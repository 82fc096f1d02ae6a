"""One part of the bidder, on and off: `python -m bench.onoff --side with --side without=/tmp/without/bidder`.

A side is NAME[=BINARY][,VARIABLE=VALUE…][,setting=value…]: a bidder's binary (default bin/bidder), environment
variables in upper case, and settings of its configuration, named by dotted keys. All sides run at once and get each
load in turn, round after round. A load is a rate in auctions a second, or 0 for a closed loop, which shows the
capacity. CORES=0,1 gives the bidders and the load generator a core each.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from bench.bidder import BINARY, Bidder, running
from bench.load import Load, offer
from bench.report import finish, median, say, table
from bench.world import World
from scripts.loop.settings import ROOT


@dataclass
class Side:
    """A variant of the bidder."""

    name: str
    binary: Path = BINARY
    environment: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Side:
        """Read NAME[=BINARY][,VARIABLE=VALUE…][,setting=value…]."""
        head, *assignments = text.split(",")
        name, _, binary = head.partition("=")
        side = cls(name, Path(binary).resolve() if binary else BINARY)
        for assignment in assignments:
            key, equals, value = assignment.partition("=")
            if not equals:
                raise typer.BadParameter(f"{assignment!r} is not KEY=VALUE", param_hint="--side")
            if key.isupper():
                side.environment[key] = value
            else:
                side.settings[key] = (
                    yaml.safe_load(value) if value != "off" else value
                )  # YAML takes a policy for a bool
        return side


@dataclass(frozen=True)
class Offered:
    """A load of the comparison."""

    rate: float  # auctions a second; 0: a closed loop
    connections: int

    @classmethod
    def parse(cls, text: str) -> Offered:
        """Read RATE[x CONNECTIONS], as 24000x512."""
        rate, _, connections = text.partition("x")
        return cls(float(rate), int(connections or 64))

    def __str__(self) -> str:
        what = f"{self.rate:,.0f}/s" if self.rate else "closed loop"
        return f"{what}, {self.connections} connections"


def row(side: str, loads: Sequence[Load]) -> list[str]:
    """A line of the table: medians of the rounds, late bids their sum."""

    def mid(value: Any) -> float:
        return median([float(value(load)) for load in loads])

    return [
        side,
        f"{mid(lambda x: x.result['good'] / x.result['seconds']):,.0f}",
        f"{sum(x.result['late'] for x in loads):,}",
        *(f"{mid(lambda x, key=key: x.latency(key, 200)):.2f}" for key in ("mean", "p50", "p99")),
        f"{mid(lambda x: x.latency('p99', 204)):.2f}",
        f"{mid(lambda x: x.cpu_us):.1f}",
        f"{mid(lambda x: x.used.scoring_cpu_s / x.requests * 1e6):.1f}",
        f"{mid(lambda x: x.used['gavel_batcher_claims_total'] / max(x.used['gavel_batcher_batches_total'], 1)):.2f}",
    ]


COLUMNS = ["side", "bids/s", "late", "mean ms", "p50", "p99", "shed p99", "CPU µs", "scoring CPU µs", "claims/batch"]


def main(
    side: Annotated[list[str], typer.Option(help="NAME[=BINARY][,VARIABLE=VALUE…][,setting=value…]; several.")],
    load: Annotated[list[str], typer.Option(help="RATE[xCONNECTIONS], 0 for a closed loop; several.")],
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 6,
    rounds: Annotated[int, typer.Option(help="How often each side is measured.")] = 3,
    candidates: Annotated[int, typer.Option(help="Rows an auction.")] = 1,
    directory: Annotated[Path, typer.Option(help="Where worlds, logs and state lie.")] = ROOT / "var/bench",
) -> None:
    """Compare variants of the bidder in alternated rounds."""
    sides, offered = [Side.parse(s) for s in side], [Offered.parse(s) for s in load]
    world = World(directory / "world", candidates=candidates)
    world.prepare()
    measured: dict[Offered, dict[str, list[Load]]] = {o: {s.name: [] for s in sides} for o in offered}
    with ExitStack() as stack:
        bidders: list[Bidder] = [
            stack.enter_context(running(world, f"onoff-{i}", s.settings, binary=s.binary, environment=s.environment))
            for i, s in enumerate(sides)
        ]
        for o in offered:
            for round_ in range(rounds):
                for s, bidder in zip(sides, bidders, strict=True):
                    say(f"round {round_ + 1} of {rounds}: {s.name}, {o}")
                    measured[o][s.name].append(
                        offer(
                            bidder,
                            world.bodies,
                            rate=o.rate,
                            seconds=seconds,
                            warmup_s=1.5,
                            connections=o.connections,
                            seed=round_ + 1,
                        )
                    )
    for o, loads in measured.items():
        table(f"{o} (rows an auction: {candidates})", COLUMNS, [row(name, rounds_) for name, rounds_ in loads.items()])
    raw = {str(o): {name: [dict(x.result) for x in xs] for name, xs in loads.items()} for o, loads in measured.items()}
    figures = {"sides": side, "loads": load, "seconds": seconds, "rounds": rounds, "candidates": candidates}
    finish("onoff", figures, [], raw=raw)


if __name__ == "__main__":
    typer.run(main)
