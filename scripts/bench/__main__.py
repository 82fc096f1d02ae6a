"""`python -m scripts.bench NAME`: the benchmarks of the bidder. `make bench-NAME` builds first and runs them so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scripts.bench import auction as auction_
from scripts.bench import baseline as baseline_
from scripts.loop.settings import ROOT

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Directory = Annotated[Path, typer.Option(help="Where worlds, logs and state lie.")]
Seconds = Annotated[float, typer.Option(help="Of each measurement.")]
Rounds = Annotated[int, typer.Option(help="How often each side is measured.")]
WORK = ROOT / "var/bench"


@app.command()
def auction(
    candidates: Annotated[int, typer.Option(help="Rows an auction.")] = 1,
    rate: Annotated[float, typer.Option(help="Auctions a second; 0: the highest that batching off can hold.")] = 0,
    seconds: Seconds = 8,
    rounds: Rounds = 5,
    directory: Directory = WORK,
) -> None:
    """Compute calls, TensorFlow's CPU and added latency, against batching off."""
    raise typer.Exit(auction_.run(directory, candidates=candidates, rate=rate, seconds=seconds, rounds=rounds))


@app.command()
def baseline(
    rate: Annotated[float, typer.Option(help="Auctions a second, open loop: 8000 are 480,000 a minute.")] = 8000,
    seconds: Seconds = 8,
    rounds: Rounds = 5,
    directory: Directory = WORK,
) -> None:
    """CPU of an auction with 1 and 8 candidates against decoding the same request and answering 204."""
    raise typer.Exit(baseline_.run(directory, rate=rate, seconds=seconds, rounds=rounds))


if __name__ == "__main__":
    app()
