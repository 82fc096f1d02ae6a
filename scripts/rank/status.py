"""A sample of the running ranking loop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from scripts.loop import sources
from scripts.rank.settings import Run

PROBED = 100  # campaigns of a ranking whose versions are looked at


@dataclass
class Versions:
    """Versions that the ranker answered with, in the rankings that were asked for."""

    classifiers: set[tuple[str, int]] = field(default_factory=set)  # campaign, version
    priors: set[int] = field(default_factory=set)
    newest_ms: int = 0  # of the newest classifier; a version is when it was trained

    def probe(self, run: Run) -> None:
        """Ask for one ranking, and take its versions."""
        asked = {"profile": {}, "limit": PROBED}
        answer = httpx.post(run.url(run.ports.rank, "/rank"), json=asked, timeout=2.0)
        answer.raise_for_status()
        for row in answer.json()["ranking"]:
            if row["version"]:
                self.classifiers.add((row["campaign"], row["version"]))
                self.newest_ms = max(self.newest_ms, row["version"])
            if row["prior"]:
                self.priors.add(row["prior"])


@dataclass(frozen=True)
class Status:
    """Some values are of the last interval, others of the last whole 10 s or of the whole run so far."""

    elapsed_s: float
    clicks: int
    clicks_per_s: float
    p50_ms: float
    p99_ms: float
    ranking: dict[str, Any]  # the exchange's books
    classifiers: int
    trained: int
    newest_age_s: float  # since the newest classifier was trained
    policies: dict[str, float]
    partial: int
    unstored: int
    errors: int

    def rows(self) -> list[tuple[str, str]]:
        """The rows of the table: label and value."""
        recent, books = self.ranking["recent"], self.ranking
        clicks = max(sum(self.policies.values()), 1)
        per_1000 = [1000 * recent[key] / max(recent["clicks"], 1) for key in ("shown", "best", "chance")]
        return [
            ("clicks", f"{self.clicks_per_s:,.0f}/s ({books['from_auctions']:,} of {books['clicks']:,} from auctions)"),
            ("latency p50 / p99", f"{self.p50_ms:.1f} / {self.p99_ms:.1f} ms"),
            ("sales", f"{books['sales']:,} (expected {books['shown']:,.0f})"),
            ("sales per 1,000, last 10 s", "shown {:.2f}, best {:.2f}, chance {:.2f}".format(*per_1000)),
            ("lift, last 10 s / so far", f"{lift(recent):.3f} / {books['lift_share']:.3f}"),
            (
                "classifiers",
                f"{self.classifiers:,} serve, {self.trained:,} trained, the newest {self.newest_age_s:.0f} s old",
            ),
            ("policy", "  ".join(f"{p} {100 * n / clicks:.0f} %" for p, n in sorted(self.policies.items()) if n)),
            ("partial, unstored, errors", f"{self.partial}, {self.unstored}, {self.errors}"),
        ]


def lift(totals: dict[str, Any]) -> float:
    """The gain over chance as a share of the largest possible one; 0 without clicks."""
    best, chance = float(totals["best"]), float(totals["chance"])
    return (float(totals["shown"]) - chance) / (best - chance) if best > chance else 0.0


def take(run: Run, began: float, last: Status | None, versions: Versions) -> Status:
    """Take a sample; `last` gives the rate over the interval.

    Raises
    ------
    httpx.HTTPError
        A process did not answer in time.
    """
    ports = run.ports
    ranker = sources.scrape(run.url(ports.ranker_admin, "/metrics"))
    trainer = sources.scrape(run.url(ports.trainer, "/metrics"))
    exchange = sources.exchange_status(run.url(ports.exchange, "/status"))
    versions.probe(run)
    elapsed = time.monotonic() - began
    books = exchange["ranking"]
    clicks = int(books["clicks"])
    return Status(
        elapsed_s=elapsed,
        clicks=clicks,
        clicks_per_s=(clicks - (last.clicks if last else 0)) / max(elapsed - (last.elapsed_s if last else 0), 0.1),
        p50_ms=float(books["p50_ms"]),
        p99_ms=float(books["p99_ms"]),
        ranking=books,
        classifiers=int(ranker.sum("gavel_bank_classifiers")),
        trained=int(trainer.sum("gavel_rank_training_trained_total")),
        newest_age_s=max(0.0, time.time() - versions.newest_ms / 1000) if versions.newest_ms else 0.0,
        policies=ranker.by("gavel_rank_choices_total", "policy"),
        partial=int(ranker.sum("gavel_rank_partial_total")),
        unstored=int(ranker.sum("gavel_rank_clicks_unstored_total")),
        errors=int(exchange["errors"]),
    )
