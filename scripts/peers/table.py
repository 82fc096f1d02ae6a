"""The servers side by side, as cells: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from scripts.bench.report import console
from scripts.peers.results import Figure, Result, Row


def columns(connections: Sequence[int]) -> list[str]:
    """The header of the table."""
    figures = ("req/s", "CPU-ms", "p50 ms", "p99 ms")
    return ["server", *(f"{n}: {figure}" for n in connections for figure in figures), "MiB"]


def lines(rows: Sequence[Row], connections: Sequence[int]) -> Iterator[list[str]]:
    """One line a server, the fastest first; those skipped come last, with their reason."""
    width = len(columns(connections))
    for row in ordered(rows, connections):
        if row.skipped:
            yield [row.server.title, f"skipped: {row.skipped.splitlines()[0]}", *[""] * (width - 2)]
            continue
        cells = [cell for n in connections for cell in _cells(row.results[n])]
        yield [row.server.title, *cells, f"{row.results[connections[0]].memory_mib.median:,.0f}"]


def ordered(rows: Sequence[Row], connections: Sequence[int]) -> list[Row]:
    """Order by requests a second at the most connections."""

    def speed(row: Row) -> float:
        return -1.0 if row.skipped else row.results[connections[-1]].requests_per_s.median

    return sorted(rows, key=speed, reverse=True)


def _cells(result: Result) -> list[str]:
    refused = result.refused_per_s.median
    requests = _with_spread(result.requests_per_s) + (f", {refused:,.0f} refused" if refused >= 1 else "")
    cpu = f"{result.cpu_ms.median:.4f}" if result.cpu_ms.median < 0.1 else f"{result.cpu_ms.median:.3f}"
    return [requests, cpu, *(f"{figure.median:.1f}" for figure in (result.p50_ms, result.p99_ms))]


def _with_spread(figure: Figure) -> str:
    return f"{figure.median:,.0f}" + (f" ±{100 * figure.spread:.0f} %" if figure.high > figure.low else "")


def show(rows: Sequence[Row], connections: Sequence[int]) -> None:
    """Print the table for people."""
    out = Table(title="The same model, generator and cores: medians, ± half the range", title_justify="left")
    for i, column in enumerate(columns(connections)):
        out.add_column(column, justify="left" if i == 0 else "right", no_wrap=i == 0)
    skipped = []
    for row, line in zip(ordered(rows, connections), lines(rows, connections), strict=True):
        if row.skipped:
            skipped.append(f"{row.server.title} {line[1]}")
        else:
            out.add_row(*line)
    console.print(out, *skipped, sep="\n", highlight=False, soft_wrap=bool(skipped) and not console.is_terminal)


def markdown(rows: Sequence[Row], connections: Sequence[int]) -> str:
    """Write the table as Markdown."""
    header = columns(connections)
    ruler = [":--", *["--:"] * (len(header) - 1)]
    table = [header, ruler, *lines(rows, connections)]
    return "".join(f"| {' | '.join(line)} |\n" for line in table)
