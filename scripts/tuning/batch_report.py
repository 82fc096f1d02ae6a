"""What `tune_batch` tells: a table and a verdict for people, the picture, the page, one JSON object for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report import console, machine, table
from scripts.tuning.choice import pareto, reachable
from scripts.tuning.display import busy
from scripts.tuning.page import Cell, Page, Row
from scripts.tuning.samples import Cost, Standing, cost
from scripts.tuning.telling import facts, finite, show_written, shown

if TYPE_CHECKING:
    from scripts.tuning.batch import Outcome, Verification

SHOWN = 14  # settings in the table for the terminal
READING = """Each point is a setting: the median of its rounds, with their range. Left and low is better. What lies on
the line can only be improved in one of the two by giving up the other."""
MEETS = """A setting meets the target if its p99 is at most {limit:g} ms (the target less {headroom:.0%} for noise) at
every load that the recommendation is for. An auction that the bidder gives up (shed, expired) or never answers counts
as one that takes for ever."""


def ms(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "lost"


def spoken(value: float) -> str:
    """A p99 in a sentence."""
    return f"{value:.1f} ms" if math.isfinite(value) else "none, for 1 % of the auctions or more are lost,"


def verdict(outcome: Outcome) -> str:
    """The result in a sentence or two."""
    choice, target = outcome.choice, outcome.target
    if not choice.meets:
        text = (
            f"No setting meets a p99 of {target.slo_p99_ms:g} ms at every load. Best reachable: "
            f"{spoken(choice.worst_p99_ms)} at {choice.worst_rate:,.0f} auctions/s, with {choice.setting}."
        )
        for rate, (setting, p99) in reachable(outcome.race.standings, target).items():
            text += f" At {rate:,.0f}/s alone: {spoken(p99)} with {setting}."
        return text + lateness(outcome)
    text = (
        f"Recommended: {choice.setting}. Its p99 is {ms(choice.worst_p99_ms)} ms at worst ({choice.worst_rate:,.0f} "
        f"auctions/s; target {target.slo_p99_ms:g} ms), its CPU {choice.cost.ratio:.2f} of what {outcome.race.base} "
        f"takes. Why: {choice.why}."
    )
    return f"{text} {verified(outcome.verification)}{unreached(outcome)}{lateness(outcome)}"


def unreached(outcome: Outcome) -> str:
    """The loads that the recommendation is not for, and what is reachable there."""
    best = reachable(outcome.race.standings, outcome.race.target)
    text = ""
    for rate in outcome.unreached:
        setting, p99 = best[rate]
        text += f" It is NOT for {rate:,.0f}/s, where the target could not be met as well; "
        text += f"best: {spoken(p99)} with {setting}."
    return text


def lateness(outcome: Outcome) -> str:
    lags = [s.lag for standing in outcome.race.standings for s in standing.samples]
    return busy(lags, bearable_ms=outcome.race.target.slo_p99_ms / 4)


def verified(verification: Verification | None) -> str:
    if verification is None:
        return "There was no time left to verify it."
    found = ", ".join(f"{spoken(verification.standing.p99(r))} at {r:,.0f}/s" for r in verification.target.rates)
    return f"Verified: {found}." if verification.met else f"The verification MISSED the target: {found}."


def ranked(outcome: Outcome) -> list[tuple[Standing, Cost, bool]]:
    """The settings with their cost, and whether they are on the front of worst p99 against cost; best first."""
    race = outcome.race
    standings = race.standings
    base = next(s for s in standings if s.setting == race.base)
    rates = outcome.target.rates
    costs = [cost(s, base, rates) for s in standings]
    front = set(pareto([(c.ratio, s.miss(rates, 1.0)) for s, c in zip(standings, costs, strict=True)]))
    rows = [(s, c, i in front) for i, (s, c) in enumerate(zip(standings, costs, strict=True))]
    limit = race.target.slo_p99_ms
    return sorted(
        rows,
        key=lambda row: (
            row[0].setting != outcome.choice.setting,
            row[0].miss(rates, limit) > 1,
            row[1].ratio,
        ),
    )


def show(outcome: Outcome) -> None:
    """The best settings and the verdict, on stdout."""
    rates = outcome.race.target.rates
    rows = ranked(outcome)
    table(
        f"p99 in ms / CPU in µs an auction, medians (target {outcome.race.target.slo_p99_ms:g} ms)",
        ["setting", "rounds", *(f"at {rate:,.0f}/s" for rate in rates), "CPU ratio", "front"],
        [
            [
                str(s.setting) + (" ← now" if s.setting == outcome.race.base else ""),
                str(s.rounds),
                *(f"{ms(s.p99(rate))} / {s.median('cpu_us', rate):.0f}" for rate in rates),
                f"{c.ratio:.3f}",
                "yes" if on_front else "",
            ]
            for s, c, on_front in rows[:SHOWN]
        ],
    )
    if len(rows) > SHOWN:
        console.print(f"and {len(rows) - SHOWN} more in the page", highlight=False)
    console.print(verdict(outcome), highlight=False)
    if outcome.written is not None:
        show_written(outcome.written)


def show_verification(verification: Verification) -> None:
    table(
        f"{verification.standing.setting}, medians of {verification.record()['rounds']} rounds",
        ["load", "p99 ms", "range", "lost", "CPU µs an auction"],
        [
            [
                f"{rate:,.0f}/s",
                ms(verification.standing.p99(rate)),
                " to ".join(f"{v:.1f}" for v in verification.standing.range("p99", rate)),
                f"{verification.standing.median('lost', rate):.5f}",
                f"{verification.standing.median('cpu_us', rate):.0f}",
            ]
            for rate in verification.target.rates
        ],
    )
    met = "met" if verification.met else "MISSED"
    console.print(f"p99 of {verification.target.slo_p99_ms:g} ms: {met}", highlight=False)


def write(outcome: Outcome, directory: Path) -> None:
    """The picture and the page."""
    from scripts.tuning import plots  # noqa: PLC0415 - matplotlib takes a second, which a run that fails early spares

    race, choice = outcome.race, outcome.choice
    picture = plots.front(race.standings, race.target, choice, race.base)
    (directory / "front.png").write_bytes(picture)
    rates = race.target.rates
    per_rate = ("p99 ms", "p99 range", "p999 ms", "CPU µs/auction", "CPU µs/row", "rows/batch", "lost")
    columns = ["setting", "rounds", "CPU ratio", "front", *(f"{c} at {r:,.0f}/s" for r in rates for c in per_rate)]
    settings = ""
    if outcome.written is not None:
        settings = outcome.written.fragment.read_text()
    notes = [READING, MEETS.format(limit=race.target.limit_ms, headroom=race.target.headroom)]
    if not outcome.complete:
        notes.append("Time ran out before the last round; the choice is made of what was measured.")
    Page(
        title="Batcher settings: p99 against CPU",
        verdict=verdict(outcome),
        good=outcome.status == 0,
        notes=notes,
        picture=picture,
        picture_says="p99 against CPU of an auction at each load, with the Pareto front",
        columns=columns,
        rows=[page_row(s, c, on_front, outcome, rates) for s, c, on_front in ranked(outcome)],
        settings=settings,
        facts=facts(),
    ).write(directory / "report.html")


def page_row(s: Standing, c: Cost, on_front: bool, outcome: Outcome, rates: Sequence[float]) -> Row:
    def figure(value: float, digits: int) -> Cell:
        return Cell(f"{value:.{digits}f}" if math.isfinite(value) else "–", value if math.isfinite(value) else 1e300)

    cells = [Cell(str(s.setting)), Cell(str(s.rounds), s.rounds), figure(c.ratio, 3), Cell("yes" if on_front else "")]
    for rate in rates:
        low, high = s.range("p99", rate)
        cells += [
            Cell(ms(s.p99(rate)), min(s.p99(rate), 1e300)),
            Cell(f"{low:.1f} to {high:.1f}", high - low),
            figure(s.median("p999", rate), 1),
            figure(s.median("cpu_us", rate), 1),
            figure(s.median("row_us", rate), 1),
            figure(s.median("batch_rows", rate), 1),
            figure(s.median("lost", rate), 5),
        ]
    pick = outcome.choice.meets and s.setting == outcome.choice.setting
    return Row(cells, "pick" if pick else "now" if s.setting == outcome.race.base else "")


def document(outcome: Outcome, directory: Path) -> dict[str, Any]:
    """The JSON object."""
    race, choice = outcome.race, outcome.choice
    by_setting = {s.setting: s for s in race.standings}

    def figures(standing: Standing) -> dict[str, Any]:
        rates = race.target.rates
        return {
            **standing.setting.values(),
            "rounds": standing.rounds,
            "p99_ms": {f"{r:g}": finite(standing.p99(r)) for r in rates},
            "cpu_us": {f"{r:g}": round(standing.median("cpu_us", r), 2) for r in rates},
            "row_us": {f"{r:g}": round(standing.median("row_us", r), 2) for r in rates},
        }

    rows = ranked(outcome)
    return {
        "tool": "tune_batch",
        "met": outcome.status == 0,
        "status": outcome.status,
        "slo_p99_ms": race.target.slo_p99_ms,
        "headroom": race.target.headroom,
        "rates": list(outcome.target.rates),
        "rates_unreached": outcome.unreached,
        "capacity": outcome.capacity,
        "recommended": figures(by_setting[choice.setting]) if choice.meets else None,
        "why": choice.why,
        "cost_ratio": round(choice.cost.ratio, 4),
        "cost_error": round(choice.cost.error, 4),
        "ties": [str(s) for s in choice.ties],
        "now": figures(by_setting[race.base]),
        "best_reachable": {
            f"{rate:g}": {"setting": str(setting), "p99_ms": finite(p99)}
            for rate, (setting, p99) in reachable(race.standings, race.target).items()
        },
        "verification": outcome.verification.record() if outcome.verification else None,
        "front": [str(s.setting) for s, _, on_front in rows if on_front],
        "settings_tried": len(rows),
        "complete": outcome.complete,
        "files": {
            "directory": shown(directory),
            "settings": shown(outcome.written.fragment) if outcome.written else None,
            "config": shown(outcome.written.whole) if outcome.written and outcome.written.whole else None,
            "page": shown(directory / "report.html"),
            "picture": shown(directory / "front.png"),
        },
        "machine": machine(),
    }
