"""A tuning run: its plan's directory, its loads, and its measurements, made now or found in the journal.

A *visit* is one bidder, started for it, measured at every load, and stopped. Only one bidder runs at a time, and what
one process happens to be like (its memory's layout, its neighbours) is part of the noise that rounds show.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from bench import capacity
from bench.bidder import Bidder, running
from bench.load import Load, offer
from bench.report import machine, say
from scripts.loop.processes import LoopError
from scripts.loop.settings import ROOT
from scripts.tuning.config import TuneError
from scripts.tuning.figures import kept, lost_share, p99
from scripts.tuning.journal import Journal, Record, digest, fingerprint, opened
from scripts.tuning.trial import Trial

SHARES = (0.4, 0.8)  # loads to tune at, of the capacity, where none are named
HELD_MS = 100.0  # a load is held if 99 % of its auctions are answered within
VERIFY_ROUNDS = 3
CONNECTIONS = 256
CLOSED_CONNECTIONS = 64  # of the closed loop: enough to fill batches, too few to be shed
WARMUP_S, OVERHEAD_S = 1.0, 0.5  # of a measurement besides --seconds: the load's warm-up; processes, metrics pages


@dataclass(frozen=True)
class Common:
    """What a run of either command is asked for."""

    rates: Sequence[float]  # auctions a second; empty: shares of a capacity that is found first
    minutes: float
    seconds: float  # of a measurement
    candidates: int
    config: Path | None
    bodies: Path | None
    fresh: bool
    directory: Path


@dataclass
class Session:
    """One run over one plan."""

    common: Common
    directory: Path  # the plan's
    trial: Trial
    journal: Journal
    rates: list[float]  # to tune at, least first; `begin` finds them where none were named
    capacity: float | None = None
    start_s: float = 0.0  # that a bidder takes to start and to stop
    used_s: float = 0.0  # until the first visit
    began: float = field(default_factory=time.monotonic)

    @property
    def visit_s(self) -> float:
        return self.start_s + len(self.rates) * (self.common.seconds + WARMUP_S + OVERHEAD_S)

    def visits(self) -> int:
        """How many visits there is time for, those of the verification left out.

        The journal's first record decides, not a clock: an interrupted run goes on with the same plan.
        """
        return max(int((self.common.minutes * 60 - self.used_s) / self.visit_s) - VERIFY_ROUNDS, 0)

    def begin(self, settings: Mapping[str, Any], bodies: Path) -> None:
        """Check that requests reach the model, time a bidder's start, and find the loads where none were named."""

        def make() -> dict[str, Any]:
            starts = time.monotonic()
            with self.bidder("capacity", settings) as bidder:
                ready = time.monotonic()
                say("closed loop, to see what the bidder can do at all")
                closed = self.offer(bidder, bodies, rate=0, connections=CLOSED_CONNECTIONS)
                if not closed.used["gavel_batcher_rows_total"]:
                    raise TuneError(
                        f"no request reached the model (answers by status: {closed.result['status']}); --config and "
                        "--bodies belong together: do the campaigns match the requests, and has the model a version?"
                    )
                found = None if self.common.rates else self.find_capacity(bidder, bodies, closed)
                stops = time.monotonic()
            start_s = ready - starts + time.monotonic() - stops
            return {"start_s": start_s, "used_s": time.monotonic() - self.began, "capacity": found}

        record = self.journal.record("begin", make)
        self.start_s, self.used_s, self.capacity = record["start_s"], record["used_s"], record["capacity"]
        if self.capacity is not None:
            self.rates = [rounded(self.capacity * share) for share in SHARES]
            say(f"capacity {self.capacity:,.0f} auctions/s; loads: {', '.join(f'{r:,.0f}' for r in self.rates)}")

    def find_capacity(self, bidder: Bidder, bodies: Path, closed: Load) -> float:
        return capacity.find(
            bidder,
            bodies,
            start=0.7 * closed.rate,
            seconds=self.common.seconds,
            connections=CONNECTIONS,
            is_held=lambda load: p99(kept(load)) <= HELD_MS,
            precision=1.2,
            confirm=0,
            distribution_us=500,
        )

    def visit(self, name: str, settings: Mapping[str, Any], round_: str, bodies: Path) -> dict[float, Record]:
        """The records of one visit by load; a bidder is started only for what the journal does not have."""

        def key(rate: float) -> str:
            return f"{round_}/{name}/{rate:g}"

        missing = [rate for rate in self.rates if key(rate) not in self.journal.records]
        if missing:
            with self.bidder(name.replace(" ", "-"), settings) as bidder:
                for rate in missing:
                    seed = len(self.journal.records)
                    record = self.journal.record(
                        key(rate),
                        lambda: kept(self.offer(bidder, bodies, rate=rate, seed=seed)),  # noqa: B023 - called at once
                    )
                    say(
                        f"round {round_}: {name} at {rate:,.0f}/s: p99 {p99(record):.1f} ms, {lost_share(record):.2%} "
                        f"lost, CPU {1e6 * record['cpu_s'] / max(record['requests'], 1):.0f} µs an auction"
                    )
        return {rate: self.journal.records[key(rate)] for rate in self.rates}

    @contextmanager
    def bidder(self, name: str, settings: Mapping[str, Any]) -> Iterator[Bidder]:
        """A running bidder; what goes wrong with it or its load ends the run with a sentence."""
        try:
            with running(self.trial, name, settings) as bidder:
                try:
                    yield bidder
                except (subprocess.CalledProcessError, httpx.HTTPError, OSError) as error:
                    said = bidder.child.died() or str(getattr(error, "stderr", "") or error)
                    raise TuneError(f"{name} could not be measured: {said}") from error
        except LoopError as error:
            raise TuneError(str(error)) from error

    def offer(
        self, bidder: Bidder, bodies: Path, *, rate: float, seed: int = 1, connections: int = CONNECTIONS
    ) -> Load:
        return offer(
            bidder,
            bodies,
            rate=rate,
            seconds=self.common.seconds,
            warmup_s=WARMUP_S,
            connections=connections,
            deadline_ms=1000,
            seed=seed,
            distribution_us=500,
        )


@contextmanager
def session(tool: str, common: Common, swept: Any, *, verify: bool = False) -> Iterator[Session]:
    """A session over the journal of the plan that these options make; a verification always measures anew.

    The directory is named by everything that measurements depend on. Targets are not among it: another target is judged
    by the same measurements.
    """
    store, config, recorded = common.directory / "store", common.config, common.bodies
    trial = Trial(common.directory, common.candidates, models=store, config=config, recorded=recorded)
    asked = [common.rates, common.minutes, common.seconds, common.candidates]
    host = [machine()[key] for key in ("cpu", "cores")]
    plan = {"asked": asked, "inputs": trial.inputs(), "swept": swept, "host": host, "code": digest(Path(__file__))}
    directory = common.directory / tool / ("verify" if verify else fingerprint(plan))
    trial = replace(trial, directory=directory / "world")
    with opened(directory, fresh=common.fresh or verify) as journal:
        if not verify:
            latest = directory.parent / "latest"
            latest.unlink(missing_ok=True)
            latest.symlink_to(directory.name)
        say(f"{shown(directory)}: " + (f"{len(journal.records)} records found" if journal.records else "begun"))
        run = Session(common, directory, trial, journal, sorted(set(common.rates)))
        trial.prepare()
        yield run


def shown(path: Path) -> str:
    """A path as people type it from the repository's root."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def rounded(rate: float) -> float:
    """A load with two significant digits."""
    return float(f"{rate:.2g}")


def finish(tool: str, run: Session, document: Mapping[str, Any]) -> None:
    """Write the result, and print it as the last line of stdout."""
    made = {"directory": shown(run.directory), "capacity": run.capacity, "measured_now": run.journal.made}
    whole = {"tool": tool, **document, **made, "machine": machine()}
    (run.directory / "result.json").write_text(json.dumps(whole, indent=1) + "\n")
    print(json.dumps(whole), flush=True)
