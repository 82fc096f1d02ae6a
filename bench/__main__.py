"""`python -m bench NAME`: the benchmarks of the bidder. `make bench-NAME` builds the binaries first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench import auction as auction_
from bench import baseline as baseline_
from bench import batcher as batcher_
from bench import isolation as isolation_
from bench import overload as overload_
from bench import soak as soak_
from scripts.loop.settings import ROOT

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)

Directory = Annotated[Path, typer.Option(help="Directory of worlds, logs and state.")]
Seconds = Annotated[float, typer.Option(help="Seconds of each measurement.")]
Rounds = Annotated[int, typer.Option(help="How often each side is measured.")]
WORK = ROOT / "var/bench"


@app.command()
def batcher(
    count: Annotated[int, typer.Option(help="How often each case is measured.")] = 5,
    benchtime: Annotated[str, typer.Option(help="Length of each measurement, as for go test.")] = "300000x",
) -> None:
    """The batcher's own cost a row, and its allocations, by batch size and concurrency."""
    raise typer.Exit(batcher_.run(count=count, benchtime=benchtime))


@app.command()
def auction(
    candidates: Annotated[int, typer.Option(help="Rows an auction.")] = 1,
    rate: Annotated[float, typer.Option(help="Auctions a second; 0: the highest that batching off holds.")] = 0,
    seconds: Seconds = 8,
    rounds: Rounds = 5,
    directory: Directory = WORK,
) -> None:
    """Compute calls, CPU of scoring and added latency, against batching off; and the same with plans."""
    raise typer.Exit(auction_.run(directory, candidates=candidates, rate=rate, seconds=seconds, rounds=rounds))


@app.command()
def baseline(
    rate: Annotated[float, typer.Option(help="Auctions a second, open loop.")] = 8000,
    seconds: Seconds = 8,
    rounds: Rounds = 5,
    directory: Directory = WORK,
) -> None:
    """CPU of an auction with 1 and 8 candidates against decoding the same request and answering 204."""
    raise typer.Exit(baseline_.run(directory, rate=rate, seconds=seconds, rounds=rounds))


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(help="Minutes of the soak.")] = 10,
    swaps: Annotated[int, typer.Option(help="Versions to swap in during the soak.")] = 20,
    share: Annotated[float, typer.Option(help="Load, as a share of the capacity.")] = 0.8,
    rate: Annotated[float, typer.Option(help="Auctions a second; 0: the share of the capacity that is found.")] = 0,
    directory: Directory = WORK,
) -> None:
    """Late answers, p99 around version swaps, and memory, at a share of capacity."""
    raise typer.Exit(soak_.run(directory, minutes=minutes, swaps=swaps, share=share, rate=rate))


@app.command()
def overload(
    candidates: Annotated[int, typer.Option(help="Rows an auction.")] = 1,
    rate: Annotated[float, typer.Option(help="The capacity; 0: it is searched for first.")] = 0,
    seconds: Seconds = 10,
    rounds: Rounds = 3,
    directory: Directory = WORK,
) -> None:
    """Goodput, late answers and the time to shed, at twice the capacity."""
    raise typer.Exit(overload_.run(directory, candidates=candidates, rate=rate, seconds=seconds, rounds=rounds))


@app.command()
def isolation(
    rate: Annotated[float, typer.Option(help="Auctions a second of the small model.")] = 3000,
    slow_rate: Annotated[float, typer.Option(help="Auctions a second of the slow model, 8 rows each.")] = 300,
    seconds: Seconds = 8,
    rounds: Rounds = 5,
    directory: Directory = WORK,
) -> None:
    """A small model's p99 beside a slow model, against its p99 alone."""
    raise typer.Exit(isolation_.run(directory, rate=rate, slow_rate=slow_rate, seconds=seconds, rounds=rounds))


if __name__ == "__main__":
    app()
