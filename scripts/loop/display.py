"""The live status: one table on a terminal, one line every ten seconds elsewhere (both on stderr)."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

PLAIN_EVERY_S = 10.0


class Sample(Protocol):
    """What can be shown."""

    @property
    def elapsed_s(self) -> float:
        """Since the traffic began."""

    def rows(self) -> list[tuple[str, str]]:
        """The rows of the table: label and value."""


@dataclass(frozen=True)
class Status:
    """One sample of the loop. Some values are of the last interval, others of the whole run so far."""

    elapsed_s: float
    auctions_per_s: float  # over the last interval
    bid_rate: float  # bids per auction, so far
    p50_ms: float  # as the exchange saw it, over the last seconds
    p99_ms: float
    mean_batch_rows: float  # over the last interval
    flushes: dict[str, float]  # by cause, so far
    spend_micros: int
    budget_micros: int
    clicks_seen: float
    clicks_predicted: float  # sum of the served probabilities of the same impressions
    versions: dict[str, int]  # active version by model
    version_age_s: dict[str, float]
    late: int
    errors: int

    def rows(self) -> list[tuple[str, str]]:
        """The rows of the table: label and value."""
        flushes = sum(self.flushes.values())
        causes = (
            "  ".join(f"{c} {100 * n / flushes:.0f} %" for c, n in sorted(self.flushes.items()) if n)
            if flushes
            else "–"
        )
        models = "  ".join(
            f"{m} v{v} ({self.version_age_s.get(m, 0):.0f} s old)" for m, v in sorted(self.versions.items())
        )
        return [
            ("auctions", f"{self.auctions_per_s:,.0f}/s"),
            ("bid rate", f"{100 * self.bid_rate:.1f} %"),
            ("latency p50 / p99", f"{number(self.p50_ms)} / {number(self.p99_ms)} ms"),
            ("late, errors", f"{self.late}, {self.errors}"),
            ("batch", f"{number(self.mean_batch_rows)} rows"),
            ("flushes", causes),
            ("spend / budget today", f"{self.spend_micros / 1e6:,.2f} / {self.budget_micros / 1e6:,.0f}"),
            ("clicks seen / predicted", f"{self.clicks_seen:,.0f} / {self.clicks_predicted:,.0f}"),
            ("models", models or "–"),
        ]


def number(value: float) -> str:
    """A figure with one decimal, or a dash if there is none yet."""
    return "–" if math.isnan(value) else f"{value:.1f}"


class Display:
    """Shows a status as it changes; use as a context manager."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(file=sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._last_plain = -math.inf

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, status: Sample) -> None:
        """Show a new sample."""
        if self._live:
            table = Table(title=f"{self._title}  {status.elapsed_s:.0f} s", show_header=False, min_width=64)
            for label, value in status.rows():
                table.add_row(label, value)
            self._live.update(table, refresh=True)
        elif time.monotonic() - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = time.monotonic()
            line = "; ".join(f"{label} {value}" for label, value in status.rows())
            self._console.print(f"{status.elapsed_s:4.0f} s  {line}", soft_wrap=True, highlight=False)
