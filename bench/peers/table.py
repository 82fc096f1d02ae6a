"""The table of servers, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from bench import report
from bench.peers.results import Figure, Result, Row, ratios

FIGURES = ("req/s", "CPU-ms", "p50 ms", "p99 ms", "Gavel's req/s", "Gavel's CPU")
HEADER = ["server", *FIGURES, "MiB"]
ABSENT = "–"


def ordered(rows: Sequence[Row], connections: int) -> list[Row]:
    """Sort by requests a second; skipped servers come last."""

    def speed(row: Row) -> float:
        return row.results[connections].requests_per_s.median if connections in row.results else -1.0

    return sorted(rows, key=speed, reverse=True)


def cells(rows: Sequence[Row], row: Row, connections: int) -> list[str]:
    """Return the FIGURES of one server. The last two compare Gavel with it."""
    result = row.results[connections]
    against = ratios(rows, row, connections)
    return [
        _requests(result),
        f"{result.cpu_ms.median:.4f}" if result.cpu_ms.median < 0.1 else f"{result.cpu_ms.median:.3f}",
        f"{result.p50_ms.median:.1f}",
        f"{result.p99_ms.median:.1f}",
        *((f"{against[0]:.1f} ×", f"1/{against[1]:.1f}") if against else (ABSENT, ABSENT)),
    ]


def _requests(result: Result) -> str:
    refused = result.refused_per_s.median
    return _with_spread(result.requests_per_s) + (f", {refused:,.0f} refused" if refused >= 1 else "")


def _with_spread(figure: Figure) -> str:
    return f"{figure.median:,.0f}" + (f" ±{100 * figure.spread:.0f} %" if figure.high > figure.low else "")


def lines(rows: Sequence[Row], connections: int) -> list[list[str]]:
    """Return one line for each measured server."""
    return [
        [row.server.title, *cells(rows, row, connections), f"{row.results[connections].memory_mib.median:,.0f}"]
        for row in ordered(rows, connections)
        if connections in row.results
    ]


def skipped(rows: Sequence[Row]) -> list[str]:
    """Return the skipped servers with the reasons."""
    return [f"{row.server.title} is skipped: {row.skipped}" for row in rows if row.skipped]


def show(rows: Sequence[Row], connections: Sequence[int]) -> None:
    """Print a table for each number of connections, then the skipped servers."""
    for n in connections:
        report.table(f"{n} connections: medians, ± half the range", HEADER, lines(rows, n))
    for line in skipped(rows):
        report.console.print(line, highlight=False, soft_wrap=True)


def markdown(rows: Sequence[Row], connections: Sequence[int]) -> str:
    """Return the same as Markdown."""
    parts = []
    for n in connections:
        table = [HEADER, [":--", *["--:"] * (len(HEADER) - 1)], *lines(rows, n)]
        parts.append(f"{n} connections:\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in table))
    parts += [line.splitlines()[0] + "\n" for line in skipped(rows)]
    return "\n".join(parts)
