"""The result of a run: one JSON object, and the faults that make the run a failure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from scripts.loop import quality, sources
from scripts.loop.settings import Run, base_rate_of, label_wait_of, model_of


@dataclass
class Result:
    """The result of a run. If all checks passed, `faults` is empty. `notes` do not make the run fail."""

    figures: dict[str, Any]
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The figures, NaN as null, and the faults."""
        clean = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in self.figures.items()}
        return clean | {"faults": self.faults}


def summarise(
    run: Run,
    books: dict[str, Any],
    before: sources.Metrics,
    bidder: sources.Metrics,
    *,
    has_teacher: bool,
) -> Result:
    """Collect the run's figures and check them against each other.

    Parameters
    ----------
    run
        The run, for its archive, outcomes and versions.
    books
        The exchange's report: its own counts of auctions, wins and spend.
    before, bidder
        The bidder's metrics before the traffic and after it.
    has_teacher
        Whether the clicks come from a hidden model that recorded its probabilities.
    """
    click = model_of(run.recipes[0])

    def grown(name: str, **labels: str) -> float:
        return bidder.sum(name, **labels) - before.sum(name, **labels)

    batches = grown("gavel_batcher_batches_total")
    internal = grown("gavel_openrtb_panics_total") + grown("gavel_batcher_run_errors_total")
    spend = int(grown("gavel_spend_micros_total"))
    archived = quality.read_archive(run.archive / click)
    versions = sorted({int(v) for v in archived["version"] if v > 0}) if not archived.empty else []
    figures: dict[str, Any] = {
        "auctions": books["auctions"],
        "bids": books["bids"],
        "wins": books["wins"],
        "clicks": books["clicks"],
        "conversions": books.get("conversions", 0),
        "late": books["late"],
        "errors": int(books["errors"] + books.get("invalid", 0) + internal),
        "p50_ms": books["p50_ms"],
        "p99_ms": books["p99_ms"],
        "mean_batch_rows": round(grown("gavel_batcher_rows_total") / batches, 2) if batches else math.nan,
        "model_versions_served": len(versions),
        "versions": versions,
        "examples": len(archived),
        "spend_micros": spend,
        "exchange_spend_micros": books["spend_micros"],
        "budget_micros": int(bidder.sum("gavel_budget_micros")),
    }
    result = Result(figures)
    if spend != books["spend_micros"]:
        result.faults.append(f"the bidder booked {spend} micros, the exchange {books['spend_micros']}")
    if spend > figures["budget_micros"]:
        result.faults.append(f"spent {spend} micros of a budget of {figures['budget_micros']}")
    if figures["errors"]:
        result.faults.append(f"{figures['errors']} errors; see the logs in {run.logs}")
    if has_teacher:
        compared = quality.compare(run.archive / click, run.outcomes, run.first_version)
        figures |= of_served(compared)
        if compared is not None:
            print_windows(compared.windows, "Served predictions against the hidden truth, by tenth of the run")
    else:
        judged = quality.judge(run.archive / click, base_rate=base_rate_of(run.recipes[0]))
        if judged is not None:
            windows = pd.concat([judged.windows, pd.DataFrame([{"versions": "all"} | judged.overall])])
            print_windows(windows, "Served predictions by window (prior: the click rate before the window)")
            figures |= judged.overall
    if not figures["examples"]:
        wait = label_wait_of(run.recipes[0])
        short = (
            f"too short to judge: an impression is learnt from only when its click has been waited for, {wait:g} s, "
            "and none was by the end; take a DURATION of 30 or more"
        )
        (result.notes if has_teacher else result.faults).append(short)  # a replay is only run for its evaluation
    return result


def of_served(compared: quality.Quality | None) -> dict[str, float]:
    """The figures of the served predictions; NaN if nothing could be compared."""
    return {
        "logloss_first": compared.first if compared else math.nan,
        "logloss_last": compared.last if compared else math.nan,
        "logloss_teacher": compared.teacher if compared else math.nan,
        "logloss_impressions": compared.impressions if compared else 0,
        "logloss_gap_first_tenth": compared.gap_first_tenth if compared else math.nan,
        "logloss_gap_last_half": compared.gap_last_half if compared else math.nan,
        "calibration_first_tenth": compared.calibration_first_tenth if compared else math.nan,
        "calibration_last_half": compared.calibration_last_half if compared else math.nan,
    }


def print_windows(windows: pd.DataFrame, title: str) -> None:
    """Print a table of figures by window."""
    table = Table(title=title, box=box.SIMPLE)
    for column in windows.columns:
        table.add_column(str(column).replace("_", "\n"), justify="right", no_wrap=True)
    for values in windows.to_dict("records"):
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in values.values()))
    Console(width=110).print(table)
