"""The search of both commands: what is bounded must stay within its limit at every load, with the least cost.

For `tune_batch` the p99 is bounded and CPU is the cost; for `tune_latency` the share of late answers is bounded, and
bids that do not come in time are the cost. A *candidate* is a choice of settings; the *base* is the one in force.

1. The *capacity* is found with the base: the highest load of which 99 % is answered within 100 ms. The loads to tune at
   are 40 and 80 % of it, unless the user names others.
2. Round 1 measures the candidates once at each load: the base first, then by how much they change of it, as many as
   leave time for two more rounds. Every candidate gets a bidder of its own, in every round.
3. More rounds measure the base and the three best of the others until the time ends: those that are within the limit at
   the most loads, the cheapest first. Every other round goes backwards, so that a machine which grows slower favours
   none.
4. Medians over the rounds decide. A load at which no candidate is within the limit is left out, highest first, and the
   result names it. But if the user named the loads, there is no recommendation then.
5. Among the candidates within the limit at every load left, the least cost wins; it is compared with the base's within
   a round. If the base is among them, it is kept unless another saves at least `close`. Of those that save so much, the
   first in order is taken whose cost is less than `close` above the least.
6. The recommendation is verified: three more rounds, whose medians must meet the target at every load.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.report import console, say, table
from scripts.tuning import plots
from scripts.tuning.config import DONE, MISSED, UNREACHABLE, TuneError
from scripts.tuning.figures import Sample
from scripts.tuning.journal import Record
from scripts.tuning.output import write_settings
from scripts.tuning.session import VERIFY_ROUNDS, Common, Session, finish, session, shown
from scripts.tuning.trial import Trial

FINALISTS = 4  # candidates that are measured again, the base among them
LEAST_ROUNDS, MOST_ROUNDS = 3, 7
LATE_GENERATOR_MS = 2.5  # p99 of its own lateness that spoils the figures


@dataclass(frozen=True)
class Candidate:
    """Settings to try."""

    name: str  # for people, files and records; equal for settings that do the same
    changes: Mapping[str, Any]  # of the configuration, by dotted keys
    group: str  # for its colour in the picture


@dataclass(frozen=True)
class Question:
    """What is asked of the candidates."""

    tool: str
    target: float
    limit: float  # of the search: the target, less what is kept for noise
    bounded: str  # what Sample.bounded is, with its unit
    cost: str  # what Sample.cost is, with its unit
    sample: Callable[[Record], Sample]
    excess: Callable[[float, float], float]  # how much more a cost is than the base's
    close: float  # excesses that differ by less are equal
    bodies: Callable[[Trial], Path]  # the requests
    about: Mapping[str, Any]  # what `verify` has to know
    depends: Any = None  # what measurements depend on, besides the candidates


@dataclass
class Measured:
    """What was measured, by the candidates' names in their order; the base is the first."""

    question: Question
    rounds: dict[str, list[Mapping[float, Sample]]] = field(default_factory=dict)  # a round: samples by load
    groups: dict[str, str] = field(default_factory=dict)

    def add(self, candidate: Candidate, records: Mapping[float, Record]) -> None:
        """Add a round of a candidate."""
        samples = {rate: self.question.sample(record) for rate, record in records.items()}
        self.rounds.setdefault(candidate.name, []).append(samples)
        self.groups[candidate.name] = candidate.group

    @property
    def base(self) -> str:
        return next(iter(self.rounds))

    def values(self, name: str, figure: str, rate: float) -> list[float]:
        """A figure of Sample at a load, in each round."""
        return [getattr(samples[rate], figure) for samples in self.rounds[name]]

    def median(self, name: str, figure: str, rate: float) -> float:
        return statistics.median(self.values(name, figure, rate))

    def within(self, name: str, rates: Sequence[float], limit: float) -> bool:
        """Whether the medians are within a limit at each of the loads."""
        return all(self.median(name, "bounded", rate) <= limit for rate in rates)

    def excesses(self, name: str, rate: float) -> list[float]:
        """Cost beyond the base's at a load, in each round."""
        pairs = zip(self.values(name, "cost", rate), self.values(self.base, "cost", rate), strict=False)
        return [self.question.excess(one, base) for one, base in pairs]

    def excess(self, name: str, rates: Sequence[float]) -> float:
        """Cost beyond the base's: the median over the rounds, the mean over the loads."""
        return statistics.fmean(statistics.median(self.excesses(name, rate)) for rate in rates)

    def best(self, rate: float) -> str:
        """The candidate whose bounded figure is least at a load."""
        return min(self.rounds, key=lambda name: self.median(name, "bounded", rate))

    def noise(self, rates: Sequence[float]) -> float:
        """How much a candidate's cost beyond the base's differs between rounds, usually (the median of the ranges)."""
        found = [self.excesses(name, rate) for name in self.rounds if name != self.base for rate in rates]
        ranges = [max(values) - min(values) for values in found if len(values) > 1]
        return statistics.median(ranges) if ranges else math.nan


def finalists(measured: Measured, rates: Sequence[float]) -> list[str]:
    """The candidates to measure again, from what round 1 found."""

    def order(name: str) -> tuple[int, float]:
        within = sum(measured.within(name, [rate], measured.question.limit) for rate in rates)
        return -within, measured.excess(name, rates)

    base, *others = measured.rounds
    return [base, *sorted(others, key=order)[: FINALISTS - 1]]


def choose(measured: Measured, rates: Sequence[float], *, named: bool) -> tuple[str, list[float]] | None:
    """The candidate to recommend and the loads it is for, by the rules 4 and 5 of this file's head; None if none is.

    Only candidates that were measured as often as the base are asked, so that none wins by one lucky round.
    """
    most = len(measured.rounds[measured.base])
    asked = [name for name, rounds in measured.rounds.items() if len(rounds) == most]
    for n in range(len(rates), 0, -1):
        good = [name for name in asked if measured.within(name, rates[:n], measured.question.limit)]
        if good:
            excess = {name: measured.excess(name, rates[:n]) for name in good}
            least, close = min(excess.values()), measured.question.close
            if measured.base in good and least > -close:
                return measured.base, list(rates[:n])
            saving = [name for name in good if excess[name] <= -close or measured.base not in good]
            return next(name for name in saving if excess[name] < least + close), list(rates[:n])
        if named:
            break
    return None


def tune(opened: Session, question: Question, candidates: Sequence[Candidate]) -> Measured:
    """Rules 1 to 3 of this file's head."""
    bodies = question.bodies(opened.trial)
    opened.begin(candidates[0].changes, bodies)
    visits = opened.visits()
    tried = candidates[: max(visits - (LEAST_ROUNDS - 1) * FINALISTS, visits // LEAST_ROUNDS, 2)]
    if len(tried) > visits:
        raise TuneError(
            f"there is time for {visits} candidates at {opened.visit_s:.0f} s each; {len(tried)} are needed at least: "
            "give more --minutes"
        )
    say(f"round 1: {len(tried)} of {len(candidates)} candidates, {opened.visit_s:.0f} s each")
    measured = Measured(question)
    order, n = list(tried), 1
    while n <= MOST_ROUNDS and visits >= len(order):
        for candidate in order if n % 2 else reversed(order):
            measured.add(candidate, opened.visit(candidate.name, candidate.changes, str(n), bodies))
        visits -= len(order)
        if n == 1:
            again = finalists(measured, opened.rates)
            order = [candidate for candidate in tried if candidate.name in again]
        n += 1
    return measured


def verify(opened: Session, question: Question, candidate: Candidate) -> Measured:
    """A candidate in rounds of its own."""
    bodies, found = question.bodies(opened.trial), Measured(question)
    for n in range(1, VERIFY_ROUNDS + 1):
        found.add(candidate, opened.visit(candidate.name, candidate.changes, f"verify{n}", bodies))
    return found


def run(question: Question, candidates: Sequence[Candidate], common: Common) -> int:
    """Measure, choose, verify, write and report; the exit status."""
    swept = [[c.changes for c in candidates], question.depends]
    with session(question.tool, common, swept) as opened:
        measured = tune(opened, question, candidates)
        chosen = choose(measured, opened.rates, named=bool(common.rates))
        taken = next((c for c in candidates if chosen is not None and c.name == chosen[0]), None)
        name, rates = chosen or (None, [])
        verification = None if taken is None else verify(opened, question, taken)
        met = verification is not None and verification.within(verification.base, rates, question.target)
        show(measured, opened.rates)
        said = verdict(measured, name, rates, opened.rates, verification, met=met)
        console.print(said, highlight=False)
        picture = opened.directory / "front.png"
        plots.front(picture, measured, opened.rates, name, rates)
        about = {**question.about, "rates": rates}
        files = write_settings(opened, {} if taken is None else taken.changes, said, about)
        status = UNREACHABLE if taken is None else DONE if met else MISSED
        document = {
            "met": met,
            "status": status,
            **about,
            "rates_unreached": [rate for rate in opened.rates if rate not in rates],
            "recommended": None if taken is None else {**taken.changes, **figures(measured, taken.name)},
            "now": {**candidates[0].changes, **figures(measured, measured.base)},
            "verification": None if verification is None else figures(verification, verification.base),
            "noise": finite(measured.noise(opened.rates)),
            "candidates": {name: figures(measured, name) for name in measured.rounds},
            "files": {**files, "picture": shown(picture)},
        }
        finish(f"tune_{question.tool}", opened, document)
    return status


def run_verify(question: Question, candidate: Candidate, rates: Sequence[float], common: Common) -> int:
    """Measure one candidate anew at these loads, or those found, and say whether it meets the target; the status."""
    with session(question.tool, replace(common, rates=common.rates or rates), None, verify=True) as opened:
        opened.begin(candidate.changes, question.bodies(opened.trial))
        found = verify(opened, question, candidate)
        met = found.within(candidate.name, opened.rates, question.target)
        show(found, opened.rates)
        document = {"met": met, **question.about, "settings": candidate.changes, **figures(found, candidate.name)}
        finish(f"tune_{question.tool} verify", opened, document)
    return DONE if met else MISSED


def finite(number: float) -> float | None:
    """A number as JSON has it: null where it is infinite, or not a number."""
    return float(f"{number:.4g}") if math.isfinite(number) else None


def figures(measured: Measured, name: str) -> dict[str, Any]:
    """A candidate's medians by load, for programs."""
    rounds = measured.rounds[name]
    medians = {
        figure: {f"{rate:g}": finite(measured.median(name, figure, rate)) for rate in rounds[0]}
        for figure in ("bounded", "cost", "lost")
    }
    return {"rounds": len(rounds), **medians}


def show(measured: Measured, rates: Sequence[float]) -> None:
    """A table of the candidates: those measured most often first, then the cheapest."""

    def cell(name: str, rate: float) -> str:
        found = measured.values(name, "bounded", rate)
        spread = f" ({min(found):.3g}-{max(found):.3g})" if len(found) > 1 else ""
        return f"{statistics.median(found):.3g}{spread} / {measured.median(name, 'cost', rate):.3g}"

    question = measured.question
    table(
        f"{question.bounded} (its range) / {question.cost}; target {question.target:g}",
        ["candidate", "rounds", *(f"at {rate:,.0f}/s" for rate in rates), "cost beyond"],
        [
            [
                name + (" (in force)" if name == measured.base else ""),
                str(len(measured.rounds[name])),
                *(cell(name, rate) for rate in rates),
                f"{measured.excess(name, rates):+.1%}",
            ]
            for name in sorted(measured.rounds, key=lambda n: (-len(measured.rounds[n]), measured.excess(n, rates)))
        ],
    )


def verdict(
    measured: Measured,
    name: str | None,
    rates: Sequence[float],
    asked: Sequence[float],
    verification: Measured | None,
    *,
    met: bool,
) -> str:
    """The result in a few sentences."""
    question = measured.question
    if name is None or verification is None:
        said = [f"No candidate keeps {question.bounded}, within {question.limit:g} at every load."]
    else:
        loads = " and ".join(f"{rate:,.0f}" for rate in rates)
        why = "in force; no other saves enough" if name == measured.base else f"in force: {measured.base}"
        found = ", ".join(f"{verification.median(name, 'bounded', rate):.3g}" for rate in rates)
        said = [
            f"Recommended at {loads} auctions/s: {name} ({why}).",
            f"Cost beyond what is in force: {measured.excess(name, rates):+.1%}.",
            f"The verification {'met' if met else 'MISSED'} the target {question.target:g}: {found}.",
        ]
    for rate in asked:
        if rate not in rates:
            best = measured.best(rate)
            least = measured.median(best, "bounded", rate)
            said.append(f"Not for {rate:,.0f} auctions/s: the least there is {least:.3g} ({best}).")
    if not math.isnan(noise := measured.noise(asked)):
        said.append(f"What a candidate saves differs by {noise:.1%} between rounds.")
        if noise > question.close:
            said.append(
                f"That is much, as {question.close:.1%} decide: give more --minutes, and the machine to this alone."
            )
    lag = statistics.median(
        lag for name in measured.rounds for rate in asked for lag in measured.values(name, "lag", rate)
    )
    if lag > LATE_GENERATOR_MS:
        said.append(f"Beware: the load generator was {lag:.1f} ms late itself; something else keeps this machine busy.")
    return " ".join(said)
