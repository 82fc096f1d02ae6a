"""The measurements of `tune_latency`, in order: all margins, those near the choice, timeouts, the verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.tuning.common import REPORT_S, Common, loads
from scripts.tuning.display import say
from scripts.tuning.errors import DONE, MISSED, UNREACHABLE, OutOfTime, TuneError
from scripts.tuning.journal import Record
from scripts.tuning.margins import Cell, Counts, Key, MarginChoice, bracket, choose, counts, too_many, total
from scripts.tuning.output import Written
from scripts.tuning.samples import VERIFYING, given_up
from scripts.tuning.session import Session
from scripts.tuning.settings import duration, microseconds
from scripts.tuning.world import Trial

CONTROL = "control"
CONTROL_TMAX_MS = 1000  # the longest that the bidder takes an exchange's word for
ALL_ROUNDS = 2  # that every margin is measured in; later rounds are for those near the choice
TIMEOUT_ROUNDS = 2
LEAST_MARGINS = 3
TIMEOUTS = ("limits.read_timeout", "limits.write_timeout")


@dataclass(frozen=True)
class Options:
    """What a run is asked for."""

    late_share: float
    margins_ms: Sequence[float]
    tmax_ms: Sequence[int]
    network_ms: float
    timeouts_us: Sequence[int]  # to try for limits.read_timeout and write_timeout, besides those in force
    common: Common


@dataclass(frozen=True)
class Timeouts:
    """What a read and write timeout did at the greatest load, with the margin chosen."""

    us: int | None  # None: those in force
    sent: int
    broken: int  # connections that ended under a request, or were closed
    bid_share: float


@dataclass(frozen=True)
class Verification:
    """The chosen margin, measured once more by a bidder started for it."""

    cells: Mapping[Key, Cell]
    late_share: float

    @property
    def met(self) -> bool:
        """Whether neither any load and deadline nor all of them had more late answers than chance explains."""
        listed = [cell.total for cell in self.cells.values()] + [self.total]
        return all(not too_many(c.late, c.sent, self.late_share) for c in listed)

    @property
    def total(self) -> Counts:
        return total(self.cells.values())


@dataclass
class Outcome:
    """What a run ends with."""

    options: Options
    rates: Sequence[float]
    capacity: float | None
    base_ms: float  # the margin in force
    margins: dict[float, dict[Key, Cell]]
    given_up: dict[tuple[float, float], list[float]]  # by margin and load: the share of no-bids of the bidder's making
    choice: MarginChoice
    lags_ms: list[float] = field(default_factory=list)  # how late the generator itself was, p99 of each measurement
    timeouts: list[Timeouts] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)  # what to write, by dotted key
    verification: Verification | None = None
    written: Written | None = None

    @property
    def status(self) -> int:
        if not self.choice.meets:
            return UNREACHABLE
        return DONE if self.verification is not None and self.verification.met else MISSED


class Tuning:
    """The measurements of one run."""

    def __init__(self, opened: Session, trial: Trial, options: Options) -> None:
        self.opened, self.trial, self.options, self.pace = opened, trial, options, options.common.pace
        self.mixed = trial.with_tmax("mixed", options.tmax_ms)
        self.patient = trial.with_tmax("patient", [CONTROL_TMAX_MS])
        auction = trial.section("auction")
        self.base_ms = microseconds(str(auction["tmax_margin"])) / 1e3
        most_ms = microseconds(str(auction["tmax_default"])) / 1e3
        margins = sorted({*options.margins_ms, self.base_ms})
        if margins[0] < 1 or margins[-1] >= most_ms:
            raise TuneError(
                f"margins must be at least 1 ms and less than auction.tmax_default ({most_ms:g} ms): {margins[0]:g} to "
                f"{margins[-1]:g} were asked for. Name others with --margins, or give the bidder a longer tmax_default"
            )
        self.margins = margins
        self.records: dict[tuple[str, float], dict[int, Record]] = {}  # by name and load: by round
        self.rates: list[float] = []

    def run(self) -> Outcome:
        opened, options, common = self.opened, self.options, self.options.common
        self.rates, capacity = loads(opened, CONTROL, {}, self.trial.bodies, common)
        verification_s = common.verify_rounds * len(self.rates) * self.pace.cost_s + opened.fleet.start_s
        timeouts_s = TIMEOUT_ROUNDS * (len(options.timeouts_us) + 1) * self.pace.cost_s
        opened.reserve_s = verification_s + timeouts_s + REPORT_S
        self.margins = self.planned()
        done = f"{options.late_share:g}/{options.network_ms:g}"
        opened.over = opened.journal.get("done", done) is not None
        self.sweep()
        margins = self.cells()
        if not margins:
            raise TuneError(f"time ran out before a margin was measured; give more than {common.minutes:g} --minutes")
        outcome = Outcome(
            options=options,
            rates=self.rates,
            capacity=capacity,
            base_ms=self.base_ms,
            margins=margins,
            given_up={
                (m, r): [given_up(rec) for rec in self.records.get((name_of(m), r), {}).values()]
                for m in margins
                for r in self.rates
            },
            choice=choose(margins, options.late_share),
        )
        if outcome.choice.meets:
            outcome.changes = {"auction.tmax_margin": duration(outcome.choice.margin_ms * 1e3)}
            opened.reserve_s = verification_s + REPORT_S
            self.try_timeouts(outcome)
            opened.reserve_s = REPORT_S
            say(f"verification: {outcome.changes}")
            with suppress(OutOfTime):
                outcome.verification = self.verify(outcome.changes, common.verify_rounds)
        every = [record for rounds in self.records.values() for record in rounds.values()]
        outcome.lags_ms = [record["result"]["send_lag_ms"]["p99"] for record in every]
        if not opened.over:
            opened.journal.add("done", done)
        return outcome

    def planned(self) -> list[float]:
        """As many margins as there is time for, the outermost first to go; the one in force always."""
        if found := self.opened.journal.get("plan", "margins"):
            return [float(m) for m in found["margins"]]
        opened, margins = self.opened, list(self.margins)
        left = opened.clock.left_s - opened.reserve_s

        def cost_s(n: int, rounds: int) -> float:
            runs = rounds * (n + 1) + (min(n + 1, 5) if rounds == ALL_ROUNDS else 0)
            return runs * len(self.rates) * self.pace.cost_s + (n + 1) * opened.fleet.start_s

        while cost_s(len(margins), ALL_ROUNDS) > left and len(margins) > LEAST_MARGINS:
            ends = [m for m in (margins[-1], margins[0]) if m != self.base_ms]
            margins.remove(ends[len(margins) % len(ends)])
        needed = cost_s(len(margins), 1)
        if needed > left:
            raise TuneError(
                f"{max(left, 0):.0f} s are left to compare margins, {needed:.0f} are needed: give more --minutes"
            )
        opened.journal.add("plan", "margins", margins=margins)
        shown = ", ".join(f"{m:g}" for m in margins)
        say(f"plan: margins of {shown} ms and a control, at {len(self.rates)} loads")
        return margins

    def sweep(self) -> None:
        """All margins in every round, then those near the choice; the control in each, for comparison within rounds."""
        margins = self.margins
        for round_ in range(1, self.options.common.most_rounds + 1):
            if round_ > ALL_ROUNDS:
                margins = bracket(self.cells(), self.options.late_share, self.base_ms)
            for margin in margins if round_ % 2 else reversed(margins):
                if not self.both(margin, round_):
                    return

    def both(self, margin: float, round_: int) -> bool:
        """A margin at every load, and the control if this round does not have it yet; False if time ran out."""
        for rate in self.rates if round_ % 2 else reversed(self.rates):
            try:
                if round_ not in self.records.get((CONTROL, rate), {}):
                    self.measure(CONTROL, {}, rate, round_, "sweep", self.patient)
                self.measure(name_of(margin), changes_of(margin), rate, round_, "sweep", self.mixed)
            except OutOfTime:
                return False
        return True

    def measure(
        self, name: str, changes: Mapping[str, Any], rate: float, round_: int, phase: str, bodies: Path
    ) -> Record:
        record = self.opened.measure(
            name, changes, phase=phase, round_=round_, rate=rate, pace=self.pace, bodies=bodies, changes=dict(changes)
        )
        self.records.setdefault((name, rate), {})[round_] = record
        return record

    def cell(self, name: str, rate: float, tmax: int) -> Cell:
        """One of the measurements' names at a load and a deadline, beside the control."""
        deadline = tmax - self.options.network_ms

        def counted(name: str, tmax_ms: int) -> dict[int, Counts]:
            records = self.records.get((name, rate), {})
            return {n: counts(r, tmax_ms=tmax_ms, deadline_ms=deadline) for n, r in records.items()}

        return Cell(counted(name, tmax), counted(CONTROL, CONTROL_TMAX_MS))

    def cells(self) -> dict[float, dict[Key, Cell]]:
        """The margins that were measured at every load."""
        found = {}
        for margin in self.margins:
            if all(self.records.get((name_of(margin), rate)) for rate in self.rates):
                found[margin] = {
                    (rate, tmax): self.cell(name_of(margin), rate, tmax)
                    for rate in self.rates
                    for tmax in self.options.tmax_ms
                }
        return found

    def try_timeouts(self, outcome: Outcome) -> None:
        """Other timeouts at the greatest load. Those in force stay, unless they break connections and others do not."""
        rate = self.rates[-1]
        tried: dict[int | None, list[Record]] = {}
        with suppress(OutOfTime):
            for round_ in range(1, TIMEOUT_ROUNDS + 1):
                for us in [None, *self.options.timeouts_us]:
                    extra = {} if us is None else dict.fromkeys(TIMEOUTS, duration(us))
                    name = name_of(outcome.choice.margin_ms) + ("" if us is None else f"-t{us}")
                    record = self.measure(
                        name, {**outcome.changes, **extra}, rate, 500 + round_, "timeouts", self.mixed
                    )
                    tried.setdefault(us, []).append(record)
        for us, records in tried.items():
            sent = sum(r["result"]["sent"] for r in records)
            outcome.timeouts.append(
                Timeouts(
                    us=us,
                    sent=sent,
                    broken=sum(int(r["result"]["reconnects"] + r["timed_out"]) for r in records),
                    bid_share=sum(r["result"]["good"] for r in records) / max(sent, 1),
                )
            )
        now = next((t for t in outcome.timeouts if t.us is None), None)
        whole = [t.us for t in outcome.timeouts if t.us is not None and not t.broken]
        if now is not None and now.broken and whole:
            outcome.changes |= dict.fromkeys(TIMEOUTS, duration(max(whole)))

    def verify(self, changes: Mapping[str, Any], rounds: int) -> Verification:
        """Measure settings at every load, by a bidder started for it.

        A miss is looked at for as many rounds again: all of them count, less the worst third.
        """

        def measure(first: int) -> Verification:
            for n in range(first, first + rounds):
                for rate in self.rates if n % 2 else reversed(self.rates):
                    self.measure("verify", changes, rate, VERIFYING + n, "verification", self.mixed)
            keys = [(rate, tmax) for rate in self.rates for tmax in self.options.tmax_ms]
            return Verification({key: self.cell("verify", *key) for key in keys}, self.options.late_share)

        found = measure(1)
        if not found.met:
            with suppress(OutOfTime):
                found = measure(rounds + 1)
        return found


def name_of(margin_ms: float) -> str:
    return f"margin-{margin_ms:g}"


def changes_of(margin_ms: float) -> dict[str, Any]:
    return {"auction.tmax_margin": duration(margin_ms * 1e3)}
