#!/usr/bin/env python3
"""Find the batcher's settings for a latency target with the least CPU, on this machine and with your model.

Sweeps policy × max_rows × max_wait × runners against offered load on real bidders, in the time given, and
recommends settings; verifies them; writes them down. docs/tuning.md shows how to read what comes out.

    .venv/bin/python scripts/tune_batch.py --quick
    .venv/bin/python scripts/tune_batch.py --config bidder.yaml --bodies requests.jsonl --slo-p99-ms 8
    .venv/bin/python scripts/tune_batch.py verify --settings var/tune/batch/latest/settings.yaml

Exit status: 0 recommended and verified, 1 the verification missed the target, 2 something to mend first, 3 no setting
meets the target, 130 stopped (run it again to go on). The last line of stdout is one JSON object.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parents[1]))

import typer

from scripts.tuning import batch
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
from scripts.tuning.session import Pace
from scripts.tuning.settings import POLICIES, Grid, microseconds

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)

Slo = Annotated[
    float, typer.Option("--slo-p99-ms", help="The p99 to meet, ms: at all --rates, or at those found where it can be.")
]


@app.callback(invoke_without_command=True)
def sweep(
    context: typer.Context,
    slo_p99_ms: Slo = 10,
    headroom: Annotated[float, typer.Option(help="Share of the target kept for noise.")] = 0.1,
    rates: Rates = "",
    shares: Annotated[str, typer.Option(help="Without --rates: loads as shares of a capacity found first.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="A small plan, under 5 minutes in all.")] = False,
    minutes: Annotated[float, typer.Option(help="Time for all of it; 0: 4 with --quick, else 60.")] = 0,
    seconds: Annotated[float, typer.Option(help="Of a measurement; 0: 2.5 with --quick, else 6.")] = 0,
    policies: Annotated[str, typer.Option(help="To sweep.")] = ",".join(POLICIES),
    max_rows: Annotated[str, typer.Option(help="To sweep.")] = "32,64,128,256,512",
    max_wait: Annotated[str, typer.Option(help="To sweep.")] = "500us,1ms,2ms,4ms,8ms",
    runners: Annotated[str, typer.Option(help="To sweep; empty: 1 and more, by the cores there are.")] = "",
    verify_rounds: Annotated[int, typer.Option(help="Of the verification, at every load.")] = 3,
    connections: Connections = 256,
    candidates: Candidates = 1,
    config: Config = None,
    bodies: Bodies = None,
    fresh: Fresh = False,
    most_rounds: Rounds = 12,
    directory: Directory = TUNE,
) -> None:
    """Find the batcher's settings for a latency target with the least CPU."""
    if context.invoked_subcommand is not None:
        return

    def run() -> int:
        grid = Grid(
            policies=names(policies),
            max_rows=[int(n) for n in numbers(max_rows, "--max-rows", least=1)],
            max_waits_us=[microseconds(text.strip()) for text in max_wait.split(",")],
            runners=[int(n) for n in numbers(runners, "--runners", least=1)] if runners else default_runners(),
        )
        if not 0 <= headroom < 1 or slo_p99_ms <= 0:
            raise TuneError("--slo-p99-ms must be above 0, --headroom at least 0 and below 1")
        return batch.run(
            batch.Options(
                slo_p99_ms=slo_p99_ms,
                headroom=headroom,
                grid=grid,
                common=Common(
                    rates=numbers(rates, "--rates", least=1) if rates else [],
                    shares=numbers(shares or ("0.4,0.8" if quick else "0.25,0.5,0.8"), "--shares", least=0.01),
                    minutes=minutes or (4 if quick else 60),
                    pace=Pace(seconds or (2.5 if quick else 6), 0.7 if quick else 1.0),
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
    slo_p99_ms: Annotated[float, typer.Option("--slo-p99-ms", help="0: as the file says it was tuned for.")] = 0,
    rates: Rates = "",
    rounds: Annotated[int, typer.Option(help="At every load; medians count.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of a measurement.")] = 4,
    connections: Connections = 256,
    candidates: Candidates = 1,
    config: Config = None,
    bodies: Bodies = None,
    directory: Directory = TUNE,
) -> None:
    """Measure the settings of a file, and say whether they meet the target."""

    def run() -> int:
        return batch.run_verify(
            settings,
            slo_p99_ms=slo_p99_ms or None,
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


def names(text: str) -> list[str]:
    """Policies, checked."""
    found = [name.strip() for name in text.split(",")]
    if unknown := [name for name in found if name not in POLICIES]:
        raise TuneError(f"--policies: {', '.join(unknown)} is none of {', '.join(POLICIES)}")
    return found


def default_runners() -> list[int]:
    """1, 2, 4 … up to the cores."""
    cores = os.cpu_count() or 1
    return sorted({1, *(2**i for i in range(1, 11) if 2**i <= cores)})


if __name__ == "__main__":
    app()
