#!/usr/bin/env python3
"""Find the least auction.tmax_margin with which answers reach the exchange in time, on this machine.

Sweeps the margin against offered load and the exchanges' deadlines on real bidders, says for each which answers come
late and which bids are given up too early, tries shorter read and write timeouts, recommends, verifies and writes the
settings down. docs/tuning.md shows how to read what comes out.

    .venv/bin/python scripts/tune_latency.py --quick
    .venv/bin/python scripts/tune_latency.py --config bidder.yaml --bodies requests.jsonl --network-ms 12
    .venv/bin/python scripts/tune_latency.py verify --settings var/tune/latency/latest/settings.yaml

Exit status: 0 recommended and verified, 1 the verification missed the target, 2 something to mend first, 3 no margin
meets the target, 130 stopped (run it again to go on). The last line of stdout is one JSON object.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parents[1]))

import typer

from scripts.tuning import latency
from scripts.tuning.cli import (
    TUNE,
    Bodies,
    Candidates,
    Config,
    Connections,
    Directory,
    Fresh,
    Rates,
    Rounds,
    guarded,
    numbers,
)
from scripts.tuning.common import Common
from scripts.tuning.errors import TuneError
from scripts.tuning.latency_sweep import Options
from scripts.tuning.session import Pace
from scripts.tuning.settings import microseconds

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)

OFFSETS_MS = (2, 5, 10, 15, 20, 30)  # margins to sweep, besides the network's delay


@app.callback(invoke_without_command=True)
def sweep(
    context: typer.Context,
    late_share: Annotated[float, typer.Option(help="Answers that may be late, of all.")] = 1e-4,
    network_ms: Annotated[float, typer.Option(help="Delay to the exchange and back, added to what is measured.")] = 0,
    margins: Annotated[str, typer.Option(help="To sweep, in ms; empty: 2 to 30 beyond the network's delay.")] = "",
    tmax: Annotated[str, typer.Option(help="Deadlines of the requests, in ms, mixed.")] = "50,75,100,150",
    timeouts: Annotated[str, typer.Option(help="Read and write timeouts to try; empty: none.")] = "250ms,1s",
    rates: Rates = "",
    shares: Annotated[str, typer.Option(help="Without --rates: loads as shares of a capacity found first.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="A small plan, under 5 minutes in all.")] = False,
    minutes: Annotated[float, typer.Option(help="Time for all of it; 0: 4 with --quick, else 45.")] = 0,
    seconds: Annotated[float, typer.Option(help="Of a measurement; 0: 3 with --quick, else 10.")] = 0,
    verify_rounds: Annotated[int, typer.Option(help="Of the verification, at every load.")] = 3,
    connections: Connections = 256,
    candidates: Candidates = 1,
    config: Config = None,
    bodies: Bodies = None,
    fresh: Fresh = False,
    most_rounds: Rounds = 12,
    directory: Directory = TUNE,
) -> None:
    """Find the least margin with which answers reach the exchange in time."""
    if context.invoked_subcommand is not None:
        return

    def run() -> int:
        deadlines = [int(t) for t in numbers(tmax, "--tmax", least=10)]
        if not 0 < late_share < 1 or not 0 <= network_ms < deadlines[0]:
            raise TuneError("--late-share must be above 0 and below 1, --network-ms at least 0 and below each --tmax")
        swept = numbers(margins, "--margins", least=1) if margins else [network_ms + extra for extra in OFFSETS_MS]
        return latency.run(
            Options(
                late_share=late_share,
                margins_ms=swept,
                tmax_ms=deadlines,
                network_ms=network_ms,
                timeouts_us=[microseconds(text.strip()) for text in timeouts.split(",")] if timeouts else [],
                common=Common(
                    rates=numbers(rates, "--rates", least=1) if rates else [],
                    shares=numbers(shares or ("0.5,0.8" if quick else "0.25,0.5,0.8"), "--shares", least=0.01),
                    minutes=minutes or (4 if quick else 45),
                    pace=Pace(seconds or (3 if quick else 10), 0.7 if quick else 1.0),
                    verify_rounds=verify_rounds,
                    connections=connections,
                    candidates=candidates,
                    config=config,
                    bodies=bodies,
                    fresh=fresh,
                    most_rounds=most_rounds,
                    directory=directory,
                ),
            )
        )

    raise typer.Exit(guarded(run))


@app.command()
def verify(
    settings: Annotated[Path, typer.Option(help="A file that this script wrote, or any bidder configuration.")],
    late_share: Annotated[float, typer.Option(help="0: as the file says it was tuned for.")] = 0,
    network_ms: Annotated[float, typer.Option(help="-1: as the file says it was tuned for.")] = -1,
    tmax: Annotated[str, typer.Option(help="Deadlines in ms; empty: as the file says.")] = "",
    rates: Rates = "",
    rounds: Annotated[int, typer.Option(help="At every load.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of a measurement.")] = 6,
    connections: Connections = 256,
    candidates: Candidates = 1,
    config: Config = None,
    bodies: Bodies = None,
    directory: Directory = TUNE,
) -> None:
    """Measure the settings of a file, and say whether so few answers are late."""

    def run() -> int:
        return latency.run_verify(
            settings,
            late_share=late_share or None,
            network_ms=None if network_ms < 0 else network_ms,
            tmax_ms=[int(t) for t in numbers(tmax, "--tmax", least=10)] if tmax else [],
            common=Common(
                rates=numbers(rates, "--rates", least=1) if rates else [],
                shares=[0.25, 0.5, 0.8],
                minutes=12 * 60,
                pace=Pace(seconds, 1.0),
                verify_rounds=rounds,
                connections=connections,
                candidates=candidates,
                config=config,
                bodies=bodies,
                directory=directory,
            ),
        )

    raise typer.Exit(guarded(run))


if __name__ == "__main__":
    app()
