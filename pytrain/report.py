"""Evaluations as tables for people, JSON for programs, and a plot. No TensorFlow here."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from pytrain import metrics as mt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytrain.files import Examples
    from pytrain.frames import Float32s

WINDOWS = 10
_MEASURES = ("rows", "base_rate", "log_loss", "normalized_entropy", "auc", "calibration")


def number(value: float | int | None) -> str:
    """Write a measure; a dash if it is not defined."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.5f}"


def summary_table(title: str, summaries: Sequence[tuple[str, mt.Summary]]) -> Table:
    """Put summaries side by side, a row each."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in _MEASURES:
        table.add_column(name, justify="right")
    for name, s in summaries:
        table.add_row(name, *(number(s.wire()[m]) for m in _MEASURES))
    return table


def windows(examples: Examples, p: Float32s, prior: float, count: int = WINDOWS) -> list[dict[str, Any]]:
    """Measure `count` windows of equally many examples in order, a constant prediction of `prior` beside the model."""
    out = []
    r = examples.rows
    for part in np.array_split(np.arange(len(r)), min(count, len(r))):
        s = slice(int(part[0]), int(part[-1]) + 1)
        y, w, t = r.y[s], r.w[s], r.t[s]
        constant = np.full(len(y), prior)
        out.append(
            {
                "from_ms": int(t[0]),
                "to_ms": int(t[-1]),
                **mt.Summary.of(y, p[s], w).wire(),
                "prior_log_loss": finite(mt.log_loss(y, constant, w)),
                "prior_calibration": finite(mt.calibration(y, constant, w)),
            }
        )
    return out


def windows_table(found: list[dict[str, Any]]) -> Table:
    """Write `windows` as a table."""
    table = Table(title="by window", title_justify="left")
    names = (*_MEASURES, "prior_log_loss", "prior_calibration")
    for name in ("from", *names):
        table.add_column(name, justify="right")
    for i, window in enumerate(found, start=1):
        begin = window["from_ms"]
        start = (
            dt.datetime.fromtimestamp(begin / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
            if begin > 0
            else f"window {i}"
        )
        table.add_row(start, *(number(window[name]) for name in names))
    return table


def bins_table(bins: list[mt.Bin]) -> Table:
    """Write calibration bins as a table."""
    table = Table(title="calibration by bin of prediction", title_justify="left")
    for name in ("rows", "from", "to", "predicted", "seen", "ratio"):
        table.add_column(name, justify="right")
    for b in bins:
        ratio = b.predicted / b.seen if b.seen else None
        table.add_row(*(number(v) for v in (b.rows, b.low, b.high, b.predicted, b.seen, ratio)))
    return table


def plot_reliability(bins: list[mt.Bin], title: str, path: Path) -> None:
    """Plot predicted against observed rates, with a 95 % interval of the observed ones, as a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, for one option

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot()
    predicted, seen = np.array([b.predicted for b in bins]), np.array([b.seen for b in bins])
    half = 1.96 * np.sqrt(seen * (1 - seen) / np.array([b.rows for b in bins]))
    top = float(max(predicted.max(), (seen + half).max())) * 1.05 or 1.0
    axes.plot([0, top], [0, top], color="0.6", linewidth=1, label="right")
    axes.errorbar(predicted, seen, yerr=half, marker="o", capsize=3, label="this version")
    axes.set(xlabel="mean prediction", ylabel="share of positives", title=title, xlim=(0, top), ylim=(0, top))
    axes.legend()
    figure.savefig(path, dpi=120, format="png")


def finite(value: float) -> float | None:
    """Return None for NaN and infinities, which JSON does not have."""
    return value if np.isfinite(value) else None
