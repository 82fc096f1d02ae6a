"""The results of the measurements: medians with their spread, the best peer, and Gavel's ratios to it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.peers.catalogue import GAVEL, Server
from bench.peers.measure import Measurement
from bench.report import Target

TIMES = 6  # target: requests ÷ the best peer's, and the best peer's CPU ÷ Gavel's


@dataclass(frozen=True)
class Figure:
    """A median, with the lowest and the highest value."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> Figure:
        return Figure(statistics.median(values), min(values), max(values))

    @property
    def spread(self) -> float:
        """Half the range, as a share of the median."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0


@dataclass(frozen=True)
class Result:
    """One server at one number of connections."""

    connections: int
    requests_per_s: Figure
    refused_per_s: Figure
    cpu_ms: Figure
    p50_ms: Figure
    p99_ms: Figure
    memory_mib: Figure
    others_cores: Figure

    @staticmethod
    def of(measurements: Sequence[Measurement]) -> Result:
        """Take the medians of repeats."""

        def figure(value: Callable[[Measurement], float]) -> Figure:
            return Figure.of([value(measurement) for measurement in measurements])

        return Result(
            connections=measurements[0].connections,
            requests_per_s=figure(lambda m: m.requests_per_s),
            refused_per_s=figure(lambda m: m.refused_per_s),
            cpu_ms=figure(lambda m: m.cpu_ms),
            p50_ms=figure(lambda m: m.p50_ms),
            p99_ms=figure(lambda m: m.p99_ms),
            memory_mib=figure(lambda m: m.memory_mib),
            others_cores=figure(lambda m: m.others_cores),
        )


@dataclass(frozen=True)
class Row:
    """One server: its results by number of connections, or the reason why there are none."""

    server: Server
    results: Mapping[int, Result]
    skipped: str = ""

    @staticmethod
    def of(server: Server, repeats: Sequence[Sequence[Measurement]], skipped: str = "") -> Row:
        """Join the repeats. Each has one measurement for every number of connections."""
        by_connections: dict[int, list[Measurement]] = {}
        for repeat in repeats:
            for measurement in repeat:
                by_connections.setdefault(measurement.connections, []).append(measurement)
        return Row(server, {n: Result.of(taken) for n, taken in by_connections.items()}, skipped)

    def json(self) -> dict[str, Any]:
        """Return the server's part of the last line of stdout."""
        if self.skipped:
            return {"title": self.server.title, "skipped": self.skipped}
        names = ("requests_per_s", "refused_per_s", "cpu_ms", "p50_ms", "p99_ms", "memory_mib", "others_cores")
        figures = {str(n): {name: vars(getattr(result, name)) for name in names} for n, result in self.results.items()}
        return {"title": self.server.title, "role": self.server.role, "connections": figures}


def best_peer(rows: Sequence[Row], connections: int) -> Row | None:
    """Return the peer with the most requests a second; None if no peer was measured."""
    peers = [row for row in rows if row.server.peer != GAVEL.peer and connections in row.results]
    return max(peers, key=lambda row: row.results[connections].requests_per_s.median, default=None)


def telling(rows: Sequence[Row], connections: Sequence[int]) -> list[Row]:
    """Return the rows of the page: each peer's best configuration, its default one, and those skipped."""

    def leads(row: Row, n: int) -> bool:
        rivals = [r for r in rows if r.server.peer == row.server.peer and n in r.results]
        return max(rivals, key=lambda r: r.results[n].requests_per_s.median, default=None) is row

    return [
        row for row in rows if row.skipped or row.server.role == "default" or any(leads(row, n) for n in connections)
    ]


def ratios(rows: Sequence[Row], row: Row, connections: int) -> tuple[float, float] | None:
    """Return Gavel's requests ÷ a peer's, and the peer's CPU ÷ Gavel's; None if either was not measured."""
    gavel = next((r for r in rows if r.server == GAVEL and connections in r.results), None)
    if gavel is None or row.server.peer == GAVEL.peer or connections not in row.results:
        return None
    ours, theirs = gavel.results[connections], row.results[connections]
    requests = ours.requests_per_s.median / theirs.requests_per_s.median
    return requests, theirs.cpu_ms.median / ours.cpu_ms.median


@dataclass(frozen=True)
class Comparison:
    """Gavel against the best peer at one number of connections."""

    connections: int
    best: str  # the peer's title
    requests: float  # a second: Gavel's ÷ the peer's
    cpu: float  # a prediction: the peer's ÷ Gavel's
    p99: float  # Gavel's ÷ the peer's

    @staticmethod
    def of(rows: Sequence[Row], connections: int) -> Comparison | None:
        """Compare medians; None if either side was not measured."""
        best = best_peer(rows, connections)
        against = ratios(rows, best, connections) if best else None
        if best is None or against is None:
            return None
        p99 = {row.server.name: row.results[connections].p99_ms.median for row in rows if connections in row.results}
        return Comparison(connections, best.server.title, *against, p99[GAVEL.name] / p99[best.server.name])

    def targets(self) -> list[Target]:
        """Return the targets."""
        n = self.connections
        return [
            Target(f"requests_ratio_{n}", self.requests, TIMES),
            Target(f"cpu_ratio_{n}", self.cpu, TIMES),
            Target(f"p99_ratio_{n}", self.p99, 1, least=False),
        ]

    def json(self) -> dict[str, Any]:
        n = self.connections
        return {
            f"best_peer_{n}": self.best,
            f"requests_ratio_{n}": self.requests,
            f"cpu_ratio_{n}": self.cpu,
            f"p99_ratio_{n}": self.p99,
            f"p99_lower_{n}": self.p99 < 1,
        }
