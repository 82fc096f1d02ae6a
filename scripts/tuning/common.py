"""What both tools begin with: the options they share, the plan's directory, the session, the loads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.report import machine
from scripts.loop.settings import ROOT
from scripts.tuning import capacity
from scripts.tuning.display import Display, clock, say
from scripts.tuning.errors import DONE, MISSED, TuneError
from scripts.tuning.journal import Journal, fingerprint
from scripts.tuning.output import point_latest
from scripts.tuning.session import Clock, Fleet, Pace, Session
from scripts.tuning.world import Trial

REPORT_S = 8.0  # kept for plots and pages


@dataclass(frozen=True)
class Common:
    """What a run of either tool is asked for."""

    rates: Sequence[float]  # auctions a second
    shares: Sequence[float]  # where no rates are given: loads as shares of a capacity that is found first
    minutes: float
    pace: Pace
    verify_rounds: int
    connections: int
    candidates: int = 1
    config: Path | None = None
    bodies: Path | None = None
    fresh: bool = False
    most_rounds: int = 12
    directory: Path = ROOT / "var/tune"


BESIDES = {"config", "bodies", "fresh", "verify_rounds", "directory"}  # options that name no plan


def plan_of(tool: str, common: Common, swept: Mapping[str, Any]) -> tuple[Path, Trial]:
    """The plan's directory, named by all that its measurements depend on, and its world.

    Targets are not among it: for another one, measurements can be used again.
    """
    trial = Trial(
        common.directory / tool,
        models=common.directory / "store",
        candidates=common.candidates,
        config=common.config,
        recorded=common.bodies,
    )
    depends = {key: value for key, value in asdict(common).items() if key not in BESIDES}
    here = {key: value for key, value in machine().items() if key in {"cpu", "cores"}}
    name = fingerprint({**depends, "inputs": trial.inputs(), "swept": dict(swept), "machine": here})
    directory = common.directory / tool / name
    return directory, replace(trial, directory=directory / "world")


@contextmanager
def session(
    title: str, directory: Path, trial: Trial, *, minutes: float, connections: int, fresh: bool, latest: bool = True
) -> Iterator[Session]:
    """A session over the plan's journal; bidders end and the journal is let go of when it does."""
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(directory, fresh=fresh))
        if latest:
            point_latest(directory)
        display = stack.enter_context(Display(title))
        fleet = stack.enter_context(Fleet(trial))
        opened = Session(journal, fleet, Clock(minutes * 60), display, connections=connections)
        display.plan(minutes * 60)
        where = directory.relative_to(ROOT) if directory.is_relative_to(ROOT) else directory
        say(f"{where}: " + (f"{journal.found} records, going on" if journal.found else "begun"))
        trial.prepare()
        yield opened
        made, load = opened.made, len(journal.of("load"))
        say(f"{made} measurements made, {load - made} found; {clock(opened.clock.used_s)} in all")


@contextmanager
def verifying(tool: str, common: Common) -> Iterator[tuple[Session, Trial]]:
    """A session that measures the settings of a file anew, in a directory of its own, and the world it does so in."""
    _, trial = plan_of(tool, common, {})
    directory = common.directory / tool / "verify"
    trial = replace(trial, directory=directory / "world")
    with session(
        f"tune_{tool} verify",
        directory,
        trial,
        minutes=common.minutes,
        connections=common.connections,
        fresh=True,
        latest=False,
    ) as opened:
        yield opened, trial


def tell_verified(tool: str, document: Mapping[str, Any], *, met: bool) -> int:
    """Print a verification for programs; the exit status."""
    print(json.dumps({"tool": f"tune_{tool} verify", **document, "machine": machine()}), flush=True)
    return DONE if met else MISSED


def told(about: Mapping[str, Any], given: float | None, name: str, option: str, file: Path) -> float:
    """A target: the one given, or that which a file's head says it was tuned for."""
    if target := given or about.get(name):
        return float(target)
    raise TuneError(f"{file} does not say what target it was tuned for; name one with {option}")


def loads(
    opened: Session, name: str, settings: Mapping[str, Any], bodies: Path, common: Common
) -> tuple[list[float], float | None]:
    """The loads to offer, least first, and the capacity that they are shares of, if they are."""
    if common.rates:
        return sorted(set(common.rates)), None
    short = Pace(max(common.pace.seconds * 0.8, 1.5), common.pace.warmup_s)
    found = capacity.find(opened, name, settings, bodies, pace=short, within_s=min(common.minutes * 10, 120))
    return sorted({rounded(found * share) for share in common.shares}), found


def rounded(rate: float) -> float:
    """Two digits, as people say loads."""
    step = 10 ** max(len(str(int(rate))) - 2, 0)
    return float(max(round(rate / step) * step, 1))
