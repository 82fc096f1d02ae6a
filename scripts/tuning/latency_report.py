"""What `tune_latency` tells: tables and a verdict for people, the picture, the page, one JSON object for programs."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report import console, machine, table
from scripts.tuning.display import busy
from scripts.tuning.margins import settled, total, unnoticed
from scripts.tuning.page import Cell as PageCell
from scripts.tuning.page import Page, Row
from scripts.tuning.settings import duration
from scripts.tuning.telling import facts, finite, show_written, shown

if TYPE_CHECKING:
    from scripts.tuning.latency_sweep import Outcome, Verification

READING = """The margin is taken from the exchange's tmax: the bidder gives up that much earlier. Too little, and
answers come late (above); too much, and bids are given up that would have been in time (below). A control that never
gives up tells what could have been."""
TRIMMED = """Of three rounds or more, the worst third is left out, for all margins alike; the line never rises, since
more margin cannot make more answers late. Hollow points: none was late, and the point says how many could have gone
unnoticed."""


def share(value: float) -> str:
    """A share as people read it."""
    return "–" if math.isnan(value) else "0" if value == 0 else f"{value:.2%}" if value >= 0.001 else f"{value:.1e}"


def verdict(outcome: Outcome) -> str:
    """The result in a sentence or two."""
    choice, options = outcome.choice, outcome.options
    where = f"at {', '.join(f'{r:,.0f}' for r in outcome.rates)} auctions/s and tmax {ms_list(options.tmax_ms)} ms"
    network = f", with {options.network_ms:g} ms of network added" if options.network_ms else ""
    if not choice.meets:
        return (
            f"No margin keeps the late answers at {share(options.late_share)} {where}{network}. The fewest: "
            f"{share(choice.late_share)}, with a margin of {choice.margin_ms:g} ms. No margin helps against stalls: "
            "look for what holds up the bidder or its machine, lessen the load, or accept more with --late-share."
            f"{busy(outcome.lags_ms, bearable_ms=5)}"
        )
    text = (
        f"Recommended: auction.tmax_margin {duration(choice.margin_ms * 1e3)} (now {outcome.base_ms:g} ms), "
        f"{choice.why} {where}{network}: {share(choice.late_share)} late, target {share(options.late_share)}."
    )
    if "limits.read_timeout" in outcome.changes:
        text += f" Timeouts {outcome.changes['limits.read_timeout']}: those in force break connections."
    counted = total(outcome.margins[choice.margin_ms].values())
    if counted.sent * options.late_share < 3:
        text += (
            f" {counted.sent:,} answers are few to judge so small a share by: up to "
            f"{share(unnoticed(counted.late, counted.sent))} could have gone unnoticed; give more --minutes."
        )
    return f"{text} {verified_text(outcome.verification)}{busy(outcome.lags_ms, bearable_ms=5)}"


def ms_list(values: Any) -> str:
    return ", ".join(f"{v:g}" for v in values)


def verified_text(verification: Verification | None) -> str:
    if verification is None:
        return "There was no time left to verify it."
    counted = verification.total
    found = f"{counted.late} of {counted.sent:,} late"
    return f"Verified: {found}." if verification.met else f"The verification MISSED the target: {found}."


def lost(outcome: Outcome, margin: float) -> float:
    """The bids given up too early with a margin: the mean over loads and deadlines."""
    values = [c.given_up_early for c in outcome.margins[margin].values()]
    known = [v for v in values if not math.isnan(v)]
    return statistics.fmean(known) if known else math.nan


def show(outcome: Outcome) -> None:
    """The margins, the timeouts and the verdict, on stdout."""
    tmax = outcome.options.tmax_ms
    late = settled(outcome.margins)

    def figures(margin: float, tmax: int) -> str:
        key = worst_rate[tmax], tmax
        return f"{share(late[margin].get(key, math.nan))} / {share(outcome.margins[margin][key].given_up_early)}"

    worst_rate = {t: max(outcome.rates, key=lambda r: late[outcome.choice.margin_ms].get((r, t), 0)) for t in tmax}
    table(
        "late answers / bids given up too early, by margin and tmax, at the load where most are late",
        ["margin", *(f"tmax {t} ({worst_rate[t]:,.0f}/s)" for t in tmax), "rounds"],
        [
            [
                f"{m:g} ms" + (" ← now" if m == outcome.base_ms else ""),
                *(figures(m, t) for t in tmax),
                str(min(len(c.rounds) for c in cells.values())),
            ]
            for m, cells in sorted(outcome.margins.items())
        ],
    )
    if outcome.timeouts:
        table(
            f"read and write timeouts at {outcome.rates[-1]:,.0f} auctions/s",
            ["timeouts", "requests", "connections broken", "bids"],
            [
                ["as now" if t.us is None else duration(t.us), f"{t.sent:,}", str(t.broken), f"{t.bid_share:.4f}"]
                for t in outcome.timeouts
            ],
        )
    console.print(verdict(outcome), highlight=False)
    if outcome.written is not None:
        show_written(outcome.written)


def show_verification(verification: Verification) -> None:
    table(
        "verification",
        ["load, tmax", "requests", "late", "share", "bids in time"],
        [
            [f"{rate:,.0f}/s, {tmax} ms", f"{c.sent:,}", str(c.late), share(c.late_share), f"{c.bid_share:.4f}"]
            for (rate, tmax), c in ((key, cell.total) for key, cell in sorted(verification.cells.items()))
        ],
    )
    met = "met" if verification.met else "MISSED"
    console.print(f"late share of {share(verification.late_share)}: {met}", highlight=False)


def verified(verification: Verification) -> dict[str, Any]:
    """A verification, for programs."""
    counted = verification.total
    return {
        "met": verification.met,
        "late_share_wanted": verification.late_share,
        "late": counted.late,
        "sent": counted.sent,
        "late_share": finite(counted.late_share, 6),
        "could_be": finite(unnoticed(counted.late, counted.sent), 6),
        "cells": {
            f"{rate:g}/{tmax}": {"sent": c.sent, "late": c.late, "bids_in_time": finite(c.bid_share, 6)}
            for (rate, tmax), c in ((key, cell.total) for key, cell in sorted(verification.cells.items()))
        },
    }


def write(outcome: Outcome, directory: Path) -> None:
    """The picture and the page."""
    from scripts.tuning import plots  # noqa: PLC0415 - matplotlib takes a second, which a run that fails early spares

    picture = plots.margins(
        outcome.margins,
        outcome.rates,
        outcome.options.tmax_ms,
        target=outcome.options.late_share,
        chosen=outcome.choice.margin_ms if outcome.choice.meets else None,
        now=outcome.base_ms,
    )
    (directory / "margins.png").write_bytes(picture)
    late = settled(outcome.margins)
    rows = []
    for margin, cells in sorted(outcome.margins.items()):
        for (rate, tmax), cell in sorted(cells.items()):
            c = cell.total
            gave_up = statistics.median(outcome.given_up[margin, rate])
            smooth = late[margin].get((rate, tmax), math.nan)
            figures = [c.bid_share, c.late_share, smooth, cell.given_up_early, gave_up]
            rows.append(
                Row(
                    [
                        PageCell(f"{margin:g}", margin),
                        PageCell(f"{rate:,.0f}", rate),
                        PageCell(str(tmax), tmax),
                        PageCell(f"{c.sent:,}", c.sent),
                        PageCell(str(c.late), c.late),
                        PageCell(str(c.late_bids), c.late_bids),
                        *(PageCell(share(v), -1 if math.isnan(v) else v) for v in figures),
                        PageCell(str(len(cell.rounds)), len(cell.rounds)),
                    ],
                    "pick"
                    if outcome.choice.meets and margin == outcome.choice.margin_ms
                    else "now"
                    if margin == outcome.base_ms
                    else "",
                )
            )
    Page(
        title="tmax margin: late answers against lost bids",
        verdict=verdict(outcome),
        good=outcome.status == 0,
        notes=[READING, TRIMMED],
        picture=picture,
        picture_says="the share of late answers and of bids given up too early against the margin",
        columns=[
            "margin ms",
            "auctions/s",
            "tmax ms",
            "requests",
            "late",
            "late bids",
            "bids in time",
            "late share",
            "settled",
            "given up too early",
            "given up at that load",
            "rounds",
        ],
        rows=rows,
        settings=outcome.written.fragment.read_text() if outcome.written else "",
        facts=facts(),
    ).write(directory / "report.html")


def document(outcome: Outcome, directory: Path) -> dict[str, Any]:
    """The JSON object."""
    late = settled(outcome.margins)
    return {
        "tool": "tune_latency",
        "met": outcome.status == 0,
        "status": outcome.status,
        "late_share_wanted": outcome.options.late_share,
        "network_ms": outcome.options.network_ms,
        "rates": list(outcome.rates),
        "tmax_ms": list(outcome.options.tmax_ms),
        "capacity": outcome.capacity,
        "recommended": outcome.changes if outcome.choice.meets else None,
        "margin_ms": outcome.choice.margin_ms if outcome.choice.meets else None,
        "now_ms": outcome.base_ms,
        "why": outcome.choice.why,
        "late_share": finite(outcome.choice.late_share, 6),
        "best_reachable": {"margin_ms": outcome.choice.margin_ms, "late_share": finite(outcome.choice.late_share, 6)},
        "margins": {
            f"{margin:g}": {
                "late_share": finite(max(late[margin].values(), default=math.nan), 6),
                "given_up_early": finite(lost(outcome, margin)),
                "requests": total(cells.values()).sent,
                "late": total(cells.values()).late,
            }
            for margin, cells in sorted(outcome.margins.items())
        },
        "timeouts": [
            {"timeout": "as now" if t.us is None else duration(t.us), "requests": t.sent, "broken": t.broken}
            for t in outcome.timeouts
        ],
        "verification": verified(outcome.verification) if outcome.verification else None,
        "files": {
            "directory": shown(directory),
            "settings": shown(outcome.written.fragment) if outcome.written else None,
            "config": shown(outcome.written.whole) if outcome.written and outcome.written.whole else None,
            "page": shown(directory / "report.html"),
            "picture": shown(directory / "margins.png"),
        },
        "machine": machine(),
    }
