"""What the two commands share: options, lists of numbers, and how a run that cannot go on ends."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from scripts.loop.settings import ROOT
from scripts.tuning.config import BAD, INTERRUPTED, TuneError
from scripts.tuning.session import Common


def parser(text: str) -> argparse.ArgumentParser:
    """The options that both commands have; `text` is what --help says first."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("verb", nargs="?", choices=["tune", "verify"], default="tune", help="verify: measure --settings")
    made.add_argument("--settings", type=Path, help="with verify: a file this command wrote, or a configuration")
    made.add_argument("--rates", default="", help="auctions a second, as 1000,2500; none: 40 and 80 %% of a capacity")
    made.add_argument("--quick", action="store_true", help="few candidates, under 5 minutes in all")
    made.add_argument("--minutes", type=float, help="for the whole run (4 with --quick, else 60)")
    made.add_argument("--seconds", type=float, help="of a measurement (2.5 with --quick, else 6)")
    made.add_argument("--candidates", type=int, default=1, help="rows an auction, in the benchmarks' world")
    made.add_argument("--config", type=Path, help="your bidder's configuration, with its store and campaigns")
    made.add_argument("--bodies", type=Path, help="your recorded bid requests, one JSON object a line")
    made.add_argument("--fresh", action="store_true", help="forget what was measured of this plan, begin anew")
    made.add_argument("--directory", type=Path, default=ROOT / "var/tune", help="where plans and results lie")
    return made


def common(options: argparse.Namespace) -> Common:
    """The shared options, checked."""
    if options.verb == "verify" and options.settings is None:
        raise TuneError("verify measures the settings of a file; name it with --settings")
    for name in ("settings", "config", "bodies"):
        if (path := getattr(options, name)) is not None and not path.is_file():
            raise TuneError(f"--{name} {path} is not a file")
    return Common(
        rates=numbers(options.rates, "--rates", least=1),
        minutes=options.minutes or (4 if options.quick else 60),
        seconds=options.seconds or (2.5 if options.quick else 6),
        candidates=options.candidates,
        config=options.config,
        bodies=options.bodies,
        fresh=options.fresh,
        directory=options.directory.resolve(),
    )


def numbers(text: str, option: str, *, least: float) -> list[float]:
    """A list of numbers as 1,2.5,10, sorted, each once; empty for an empty text."""
    try:
        found = sorted({float(part) for part in text.split(",")}) if text else []
    except ValueError:
        raise TuneError(f"{option} {text!r} is not a list of numbers such as 1,2.5,10") from None
    if found and not least <= found[0] <= found[-1] < math.inf:
        raise TuneError(f"{option} {text!r}: each must be at least {least:g}")
    return found


def guarded(run: Callable[[], int]) -> int:
    """The exit status of a run, or of what ended it early, with a sentence; SIGTERM is as Ctrl-C."""

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
