"""The result of a run of the ranking loop: one JSON object, and the faults that make the run a failure."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from scripts.loop.report import Result
from scripts.loop.sources import Metrics
from scripts.rank import baseline
from scripts.rank.settings import Run
from scripts.rank.status import Versions, lift

__all__ = ["Result", "summarise"]

WINDOW_S = 10  # of the exchange's books


def summarise(
    run: Run,
    warm: dict[str, Any],
    books: dict[str, Any],
    before: Metrics,
    ranker: Metrics,
    trainer: Metrics,
    *,
    versions: Versions,
) -> Result:
    """Collect the run's figures.

    Parameters
    ----------
    run
        The run, for its data set and books.
    warm
        What the warm-up log has: clicks, sales, and its end.
    books
        The exchange's report. Expected sales are by the true probabilities.
    before, ranker
        The ranker's metrics before the traffic and after it.
    trainer
        The trainer's metrics after the traffic.
    versions
        The versions that the ranker answered with.
    """
    ranking = books["ranking"]
    clicks = int(ranking["clicks"])

    def grown(name: str, **labels: str) -> int:
        return int(ranker.sum(name, **labels) - before.sum(name, **labels))

    rows = pd.read_csv(run.books)
    chosen = {k: int(v) for k, v in ranker.by("gavel_rank_choices_total", "policy").items() if v}
    windows = ranking.get("windows") or []
    figures: dict[str, Any] = {
        "clicks": clicks,
        "clicks_from_auctions": int(ranking["from_auctions"]),
        "clicks_per_second": round(clicks / max(float(books["seconds"]), 1e-9), 1),
        "sales": int(ranking["sales"]),
        "lift_share": ranking["lift_share"],
        "lift_share_last_minute": lift(total(windows[-7:-1] or windows)),
        "global_model_lift_share": baseline.lift_share(run, rows, ranking, until_ms=int(warm["until_ms"])),
        "best_single_campaign_lift_share": baseline.share(rows, ranking, order=None),
        "sales_per_1000": {key: 1000 * ranking[key] / max(clicks, 1) for key in ("shown", "best", "chance")},
        "explored": run.epsilon if run.policy == "epsilon-greedy" else None,
        "policies": chosen,
        "warmup_clicks": int(warm["clicks"]),
        "warmup_sales": int(warm["sales"]),
        "campaigns": run.world.campaigns,
        "campaigns_begun": int(rows["campaign"].nunique()) - run.world.campaigns,
        "campaigns_shown": int(ranking["campaigns_shown"]),
        "classifiers": int(ranker.sum("gavel_bank_classifiers")),
        "classifiers_trained": int(trainer.sum("gavel_rank_training_trained_total")),
        "classifier_files_served": grown("gavel_classifiers_read_total"),
        "versions_seen": len(versions.classifiers),
        "priors_served": len(versions.priors),
        "examples": int(trainer.sum("gavel_rank_consumer_examples_total")),
        "examples_with_sale": int(trainer.sum("gavel_rank_consumer_examples_total", label="1")),
        "p50_ms": ranking["p50_ms"],
        "p99_ms": ranking["p99_ms"],
        "partial": grown("gavel_rank_partial_total"),
        "unstored": grown("gavel_rank_clicks_unstored_total"),
        "errors": int(books["errors"]) + grown("gavel_rank_panics_total"),
    }
    print_windows(windows)
    result = Result(figures)
    if figures["errors"]:
        result.faults.append(f"{figures['errors']} errors; see the logs in {run.logs}")
    if figures["unstored"]:
        result.faults.append(f"{figures['unstored']} clicks could not be stored in time; see {run.logs / 'ranker.log'}")
    if not clicks:
        result.faults.append("no click came to the ranker")
    return result


def total(windows: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of windows."""
    return {key: sum(w[key] for w in windows) for key in ("clicks", "sales", "shown", "best", "chance")}


def print_windows(windows: list[dict[str, Any]]) -> None:
    """Print the lift by time, at most 15 rows, on stderr."""
    table = Table(title="Sales per 1,000 clicks, by the true probabilities", box=box.SIMPLE)
    for column in ("s", "clicks", "sales", "shown", "best", "chance", "lift"):
        table.add_column(column, justify="right")
    step = max(1, -(-len(windows) // 15))
    for i in range(0, len(windows), step):
        w = total(windows[i : i + step])
        if w["clicks"]:
            per = [f"{1000 * w[key] / w['clicks']:.2f}" for key in ("shown", "best", "chance")]
            table.add_row(str(i * WINDOW_S), str(w["clicks"]), str(w["sales"]), *per, f"{lift(w):.3f}")
    Console(file=sys.stderr, width=100).print(table)
