"""What the commands share: options, lists of numbers, and how a run that cannot go on ends."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from scripts.loop.settings import ROOT
from scripts.tuning.errors import BAD, INTERRUPTED, TuneError

Rates = Annotated[str, typer.Option(help="Auctions a second to offer, as 1000,2500; empty: shares of a capacity.")]
Connections = Annotated[int, typer.Option(help="Of the load generator.")]
Candidates = Annotated[int, typer.Option(help="Rows an auction, in the world of the benchmarks.")]
Config = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Your bidder's configuration, with its store and campaigns."),
]
Bodies = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Your recorded bid requests, one JSON object a line."),
]
Rounds = Annotated[int, typer.Option("--rounds", help="At most; time may end them before.")]
Directory = Annotated[Path, typer.Option("--directory", help="Where plans, measurements and reports lie.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what was measured of this plan, begin anew.")]


TUNE = ROOT / "var/tune"


def numbers(text: str, option: str, *, least: float) -> list[float]:
    """A list of numbers as 1,2.5,10, sorted, each once."""
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise TuneError(f"{option} {text!r} is not a list of numbers such as 1,2.5,10") from None
    if found[0] < least or not math.isfinite(found[-1]):
        raise TuneError(f"{option} {text!r}: each must be at least {least:g}")
    return found


def guarded(run: Callable[[], int]) -> int:
    """Run, and turn what ends it early into an exit status and a sentence; SIGTERM is as Ctrl-C."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        return run()
    except TuneError as error:
        print(f"tune: {error}", file=sys.stderr)
        return BAD
    except KeyboardInterrupt:
        print("tune: stopped; run the same command again to go on from here", file=sys.stderr)
        return INTERRUPTED
