"""The section of docs/benchmarks.md about the peers, written between two markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.peers import table
from bench.peers.results import TIMES, Comparison, Row

BEGIN, END = "<!-- peers:begin -->", "<!-- peers:end -->"
PLOT = "benchmarks-peers.png"

TEXT = """\
## Against model servers

One DeepFM (32 features, k=8, hidden layers 128-64-32, a table of 2²⁰ rows), asked for one prediction a request as JSON
over HTTP, in a closed loop of {connections} connections from `bin/loadgen`. Every server runs alone on the same {cores}
cores as the generator, in a network namespace of its own where one can be made. Before it is measured, its answers to
the version's golden rows must be right to 1e-5, asked 32 at a time. Each server is shown in the best configuration
found ([decision](decisions/{decision}) says what was tried), Gavel too ([`eager`, with Eigen's
kernels and `GOMAXPROCS=4`](decisions/0012-direct.md)), and some also as they come. CPU is of all
processes of a server, a prediction; memory counts shared pages once. Medians of {repeats} × {seconds:g} s.

![Requests a second, CPU a prediction and p99 of every server]({plot})

{table}
{verdict}
Measured on {machine}. Versions: {versions}. Again: `make bench-peers`; the measurements behind the medians are kept in
`var/bench/peers/`.
"""


def section(
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
    *,
    connections: Sequence[int],
    seconds: float,
    repeats: int,
    cores: int,
    machine: str,
    versions: Mapping[str, str],
    decision: str,
) -> str:
    """Return the section without its markers."""
    return TEXT.format(
        connections=" and ".join(map(str, connections)),
        cores=cores,
        decision=decision,
        repeats=repeats,
        seconds=seconds,
        plot=PLOT,
        table=table.markdown(rows, connections),
        verdict="".join(_sentence(comparison) for comparison in comparisons),
        machine=machine,
        versions=", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
    )


def _sentence(comparison: Comparison) -> str:
    return (
        f"At {comparison.connections} connections the best peer by requests a second is {comparison.best}. Gavel "
        f"answers {comparison.requests:.1f} × as many, at 1/{comparison.cpu:.1f} of the CPU a prediction and "
        f"{comparison.p99:.2f} × the p99 (wanted: {TIMES} ×, 1/{TIMES}, below 1).\n"
    )


def insert(document: str, section: str) -> str:
    """Return the document with the section between its markers, or at its end if it has none.

    Raises
    ------
    ValueError
        The document does not have each marker once, in order.
    """
    marked = f"{BEGIN}\n{section.strip()}\n{END}"
    counts = document.count(BEGIN), document.count(END)
    if counts == (0, 0):
        return f"{document.rstrip()}\n\n{marked}\n".lstrip()
    if counts != (1, 1) or document.index(BEGIN) > document.index(END):
        raise ValueError(f"the document must have {BEGIN} and {END} once each, in this order")
    before, rest = document.split(BEGIN)
    return before + marked + rest.split(END)[1]


def write(path: Path, section: str) -> None:
    """Insert the section into a file, which is created if it does not exist. The file is replaced as a whole."""
    document = path.read_text() if path.exists() else "# Benchmarks\n"
    aside = path.with_suffix(".new")
    aside.write_text(insert(document, section))
    aside.replace(path)


def named(machine: Mapping[str, Any]) -> str:
    """Return the machine in words."""
    return (
        f"{machine['cpu']} ({machine['cores']} cores), Linux {str(machine['kernel']).split('-')[0]}, Go {machine['go']}"
    )
