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

`make bench-peers` compares Gavel with other model servers on one model: a DeepFM with 32 features, k = 8, hidden layers
128-64-32, and a table of 2²⁰ rows. A request asks for one prediction, as JSON over HTTP. `bin/loadgen` sends the
requests in a closed loop of {connections} connections.

Only one server runs at a time. It shares {cores} cores with the generator. If the system allows it, the server gets a
network namespace of its own. A server is measured only if its answers to the version's golden rows are right to 1e-5.
The golden rows are sent 32 at a time.

Each server is shown in the best configuration found, and some in their default configuration too. The
[decision](decisions/{decision}) lists what was tried. The best configuration of Gavel is
[`eager`, with Eigen's kernels and `GOMAXPROCS=4`](decisions/0012-direct.md).

The figures are medians of {repeats} rounds of {seconds:g} s, ± half the range.

- *CPU-ms*: the CPU time of all processes of the server, per prediction.
- *Gavel's req/s*: how many times as many requests Gavel answers as this server.
- *Gavel's CPU*: Gavel's CPU time per prediction, as a share of this server's.
- *MiB*: the memory of all processes of the server; a page that they share counts once.
- *refused*: requests a second that were answered with another status than 200, or not at all.

![Requests a second, CPU per prediction and p99 of every server]({plot})

{table}
{verdict}
Measured on {machine}. Versions: {versions}.

`make bench-peers` keeps each measurement in `var/bench/peers/`.
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
        f"- At {comparison.connections} connections, the best peer by requests a second is {comparison.best}. Gavel "
        f"answers {comparison.requests:.1f} × as many requests, with 1/{comparison.cpu:.1f} of the CPU per prediction. "
        f"Gavel's p99 is {comparison.p99:.2f} × the peer's. The targets are {TIMES} ×, 1/{TIMES}, and below 1.\n"
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
