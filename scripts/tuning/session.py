"""A run at work: bidders that are kept alive in turn, the time that is left, and each measurement, made or found.

Load goes to one bidder at a time while the others idle, so that noise of the machine meets all alike. What a record of
the journal took counts as used, whenever it was made; so a run that goes on decides as the one that was stopped did.
"""

from __future__ import annotations

import subprocess
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from bench.bidder import Bidder, running
from bench.load import Load, offer
from scripts.loop.processes import LoopError
from scripts.tuning.display import Display, say
from scripts.tuning.errors import OutOfTime, TuneError
from scripts.tuning.journal import Journal, Record
from scripts.tuning.samples import lost_share
from scripts.tuning.world import Trial

MOST_ALIVE = 12
MEMORY_SHARE = 0.5  # of what is free, for bidders
OVERHEAD_S = 0.4  # of a measurement, besides load and warm-up
STALL_S = 10.0  # by which a measurement may take longer before it is made again, TRIES times at most
TRIES = 3
START_S = 1.5  # of a bidder, before one was seen


class Clock:
    """Seconds used of those that a run may take."""

    def __init__(self, given_s: float) -> None:
        self.given_s = given_s
        self._began = time.monotonic()
        self._measuring_s = 0.0  # of this process: in its records instead, or not counted
        self._charged_s = 0.0  # by records, of this process and of earlier ones

    def charge(self, took_s: float, *, now: bool) -> None:
        """Count a record; now: it was made in this process."""
        self._charged_s += took_s
        self._measuring_s += took_s if now else 0.0

    def excuse(self, stood_s: float) -> None:
        """Leave time out in which the machine stood still."""
        self._measuring_s += stood_s

    @property
    def used_s(self) -> float:
        return self._charged_s + time.monotonic() - self._began - self._measuring_s

    @property
    def left_s(self) -> float:
        return self.given_s - self.used_s


class Fleet:
    """Running bidders by name; the one unused for longest ends where another needs its place."""

    def __init__(self, trial: Trial, most: int | None = None) -> None:
        self.trial = trial
        self.most = most  # None: by the memory that the first one takes
        self.start_s = START_S
        self._alive: OrderedDict[str, tuple[ExitStack, Bidder]] = OrderedDict()

    def get(self, name: str, settings: Mapping[str, Any]) -> Bidder:
        """The bidder of this name, started if it is not running."""
        if name in self._alive:
            self._alive.move_to_end(name)
            return self._alive[name][1]
        while self.most is not None and len(self._alive) >= self.most:
            self.stop(next(iter(self._alive)))
        begin = time.monotonic()
        stack = ExitStack()
        bidder = stack.enter_context(running(self.trial, name, settings))
        self._alive[name] = stack, bidder
        self.start_s = time.monotonic() - begin
        if self.most is None:
            self.most = min(max(int(free_mib() * MEMORY_SHARE / bidder.read().rss_mib), 1), MOST_ALIVE)
        return bidder

    def stop(self, name: str) -> None:
        """End a bidder, if it runs."""
        if name in self._alive:
            stack, _ = self._alive.pop(name)
            stack.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as all_:
            for stack, _ in self._alive.values():
                all_.enter_context(stack)
            self._alive.clear()


def free_mib() -> float:
    """Memory that processes could still take."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return 1024.0


@dataclass(frozen=True)
class Pace:
    """How long a measurement lasts."""

    seconds: float
    warmup_s: float

    @property
    def cost_s(self) -> float:
        return self.seconds + self.warmup_s + OVERHEAD_S


@dataclass
class Session:
    """One run over one plan."""

    journal: Journal
    fleet: Fleet
    clock: Clock
    display: Display
    connections: int = 256
    distribution_us: int = 100  # step of the distribution of latencies that a record keeps
    reserve_s: float = 0.0  # kept for what comes after the measurements under way
    over: bool = False  # the plan was measured to its end: nothing new is measured
    made: int = 0  # measurements made in this process

    def measure(
        self,
        name: str,
        settings: Mapping[str, Any],
        *,
        phase: str,
        round_: int,
        rate: float,
        pace: Pace,
        bodies: Path,
        **values: Any,
    ) -> Record:
        """A measurement from the journal, or made now; `values` are copied into its record.

        Raises
        ------
        OutOfTime
            It is not in the journal, and there is no time for it.
        """
        key = f"{phase}/{round_}/{name}/{rate:g}"
        if found := self.journal.get("load", key):
            self.clock.charge(found["took_s"], now=False)
            self.display.at(self.clock.used_s, key)
            return found
        if self.over or self.clock.left_s - self.reserve_s < pace.cost_s:
            raise OutOfTime(key)
        self.display.at(self.clock.used_s, f"{phase}, round {round_}: {name} at {rate:,.0f}/s")
        load, took = self.steady(name, settings, bodies=bodies, rate=rate, pace=pace, seed=round_)
        record = self.journal.add(
            "load",
            key,
            phase=phase,
            round=round_,
            name=name,
            rate=rate,
            took_s=round(took, 3),
            **values,
            **used(load),
            result=load.result,
        )
        self.clock.charge(took, now=True)
        self.made += 1
        self.display.at(self.clock.used_s, key)
        lost = f", {lost_share(record):.2%} lost" if lost_share(record) else ""
        self.display.line(
            f"{phase}, round {round_}: {name} at {rate:,.0f}/s: p99 {load.latency('p99'):.1f} ms{lost}, "
            f"CPU {load.cpu_us:.0f} µs an auction"
        )
        return record

    def steady(self, name: str, settings: Mapping[str, Any], *, pace: Pace, **options: Any) -> tuple[Load, float]:
        """An offer and the seconds it took; made again where the machine stood still meanwhile, as virtual ones do.

        That time is not counted: a machine that sleeps for an hour does not end the run.
        """
        for left in reversed(range(TRIES)):
            begin = time.monotonic()
            load = self.offer(name, settings, pace=pace, **options)
            took = time.monotonic() - begin
            if took < 2 * pace.cost_s + STALL_S or not left:
                break
            self.clock.excuse(took - pace.cost_s)
            say(f"{name}: {took:.0f} s in place of {pace.cost_s:.0f}, for the machine stood still; measured again")
        return load, took

    def offer(
        self,
        name: str,
        settings: Mapping[str, Any],
        *,
        bodies: Path,
        rate: float,
        pace: Pace,
        seed: int = 1,
        connections: int = 0,
    ) -> Load:
        """Load for a bidder of these settings; what goes wrong with either says why."""
        try:
            bidder = self.fleet.get(name, settings)
        except LoopError as error:
            raise TuneError(str(error)) from error
        try:
            return offer(
                bidder,
                bodies,
                rate=rate,
                seconds=pace.seconds,
                warmup_s=pace.warmup_s,
                connections=connections or self.connections,
                deadline_ms=1000,
                seed=seed,
                distribution_us=self.distribution_us,
            )
        except (subprocess.CalledProcessError, httpx.HTTPError, OSError) as error:
            said = bidder.child.died() or str(getattr(error, "stderr", "") or error)
            raise TuneError(f"{name} at {rate:,.0f}/s could not be measured: {said}") from error


def used(load: Load) -> dict[str, Any]:
    """What the bidder used and counted, as a record keeps it; warm-up included."""
    prefix = "gavel_openrtb_no_bids_total{reason="
    return {
        "cpu_s": load.used.cpu_s,
        "tensorflow_cpu_s": load.used.tensorflow_cpu_s,
        "rss_mib": load.used.rss_mib,
        "requests": load.requests,
        "rows": load.used["gavel_batcher_rows_total"],
        "runs": load.used["gavel_batcher_runs_total"],
        "timed_out": load.used["gavel_openrtb_connections_timed_out_total"],
        "no_bids": {
            name.removeprefix(prefix).removesuffix("}"): count
            for name, count in load.used.counters.items()
            if name.startswith(prefix) and count
        },
    }
