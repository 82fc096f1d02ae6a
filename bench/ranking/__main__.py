"""`python -m bench.ranking`: the parts, a table, and one JSON object as the last line of stdout."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bench.ranking import bank, exact, loops, programs, retrain, serving, sweep, workers
from bench.ranking.keys import Found
from bench.ranking.programs import Fleet
from bench.report import finish, say
from scripts.loop.settings import ROOT

WORK = ROOT / "var/bench/ranking"


@dataclass(frozen=True)
class Size:
    """How large a run is. Targets are those of the full one."""

    campaigns: int
    known: int
    values: int
    users: int  # that the bank scores, a round
    rounds: int
    fitted: tuple[int, int, int]  # campaigns, rows of each, users: of the comparison with scikit-learn
    looped: tuple[int, int]  # classifiers and users of the loops
    times: serving.Times
    retrained: tuple[int, int]  # campaigns, rows of each
    sweep: sweep.Sweep


FULL = Size(5000, 1795, 182_666, 20_000, 3, (300, 3000, 1000), (60, 5), serving.Times(), (300, 10_000), sweep.Sweep())
SMALL = Size(
    200, 60, 3000, 500, 1, (6, 400, 30), (5, 2), serving.Times(1.5, 1, 0), (4, 400),
    sweep.Sweep(classifiers=(5, 20), workers=(1, 2), rounds=2),
)  # fmt: skip


def main(
    data: Annotated[Path | None, typer.Option(help="TalkingData's directory, or the one that has it.")] = None,
    only: Annotated[str, typer.Option(help="Parts to run, as exact,bank.", envvar="ONLY")] = "",
    size: Annotated[str, typer.Option(help="full, or small: a check of the parts, without targets.")] = "full",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that train.")] = os.cpu_count() or 1,
    directory: Annotated[Path, typer.Option(help="Where fleets and classifiers lie.")] = WORK,
) -> None:
    """Rank thousands of campaigns: exactness, time, memory, changes while serving, and the paper's figures."""
    if size not in ("full", "small"):
        raise typer.BadParameter("it is full or small", param_hint="--size")
    of, found = FULL if size == "full" else SMALL, Found()
    fleet = Fleet(directory / f"fleet-{size}", of.campaigns, of.known, of.values)
    campaigns, rows, users = of.fitted
    parts: dict[str, Callable[[], None]] = {
        "exact": lambda: exact.run(
            directory / "exact", found, campaigns=campaigns, rows=rows, users=users, data=talkingdata(data), jobs=jobs
        ),
        "bank": lambda: bank.run(fleet, found, users=of.users, rounds=of.rounds),
        "loops": lambda: loops.run(fleet, found, count=of.looped[0], users=of.looped[1]),
        "rank": lambda: serving.run(fleet, found, times=of.times, churn="churn" in chosen),
        "retrain": lambda: retrain.run(
            directory / "retrain", found, campaigns=of.retrained[0], rows=of.retrained[1], jobs=jobs
        ),
        "workers": lambda: workers.run(found),
        "figures": lambda: sweep.run(fleet, found, of.sweep),
    }
    chosen = [name for name in only.split(",") if name] or [*parts, "churn"]
    if unknown := set(chosen) - parts.keys() - {"churn"}:
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: the parts are {', '.join(parts)}, churn", param_hint="--only"
        )
    if "churn" in chosen:
        chosen.append("rank")  # whose ranker it changes
    programs.build()
    if set(chosen) & {"loops", "rank", "figures"}:
        fleet.write()
    seconds = {}
    for name in [name for name in parts if name in chosen]:
        began = time.monotonic()
        parts[name]()
        seconds[name] = time.monotonic() - began
        say(f"{name} took {seconds[name]:.0f} s")
    found.raw["seconds"] = seconds
    targets = found.targets() if size == "full" else []
    raise typer.Exit(finish("ranking", found.figures(), targets, raw=found.raw))


def talkingdata(directory: Path | None) -> Path | None:
    """Return where TalkingData's log is: there, or in the directory of its name."""
    if directory is None or (directory / "train_sample.csv").exists():
        return directory
    return directory / "talkingdata_100k"


if __name__ == "__main__":
    typer.run(main)
