"""The figures of `make bench-plans`: what each is, what is wanted, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.report import Target, number, table


@dataclass(frozen=True)
class Key:
    """A figure: at least `want`, or at most if not `least`; `aim` is where it should come to."""

    what: str
    want: float
    aim: float | None = None
    least: bool = True


KEYS = {
    "text_row_vs_sklearn": Key("one row, another text and model each call: scikit-learn's time by Gavel's", 50, 150),
    "text_row_vs_onnxruntime": Key("the same, onnxruntime's time by Gavel's", 15, 30),
    "text_batch_vs_sklearn": Key("batches of 1,000 texts: scikit-learn's time by Gavel's", 8, 15),
    "shared_text_gain": Key("all models on one text: time without shared results by time with them", 2, 3),
    "memory_vs_sklearn": Key(
        "all models loaded and called once: share of scikit-learn's memory", 0.067, 0.04, least=False
    ),
    "load_vs_sklearn": Key("loading all, checked whole: share of scikit-learn's time", 0.05, 0.02, least=False),
    "second_process_share": Key(
        "private pages of a second process, as a share of the first's memory", 0.2, least=False
    ),
    "cold_vs_hot_p99": Key("p99 of first calls after the load by p99 of later ones", 4, least=False),
    "tabular_row_vs_sklearn": Key("one row of a table: scikit-learn's time by Gavel's", 500),
    "tabular_batch_vs_sklearn": Key("batches of 1,000 rows of a table: scikit-learn's time by Gavel's", 4, 8),
    "trees_vs_onnxruntime": Key("100 trees of 31 leaves, 100 rows: onnxruntime's time by Gavel's", 2, 4),
    "trees_vs_lightgbm": Key("the same, LightGBM's time by Gavel's", 3),
    "deepfm_row_vs_tensorflow": Key("DeepFM, one row: TensorFlow's time by Gavel's", 5, 12),
    "deepfm_batch_vs_tensorflow": Key("DeepFM, 128 rows: TensorFlow's time by Gavel's", 1),
    "shared_context_gain": Key(
        "DeepFM, 16 candidates of one request: time a row apart by time with what they share", 1.2, 1.5
    ),
    "auction_scoring_share": Key("scoring of an auction by plans, as a share of that by TensorFlow", 0.5, least=False),
    "isolation_p99": Key("p99 of one row beside a loaded model, by its p99 alone", 2, least=False),
    "allocations": Key("allocations a call", 0, least=False),
    "rows_beyond_tolerance": Key("rows whose answers differ from the library that trained", 0, least=False),
    "rows_compared": Key("rows compared", 300_000),
    "models_compared": Key("models compared", 100),
}


@dataclass
class Found:
    """What the parts have measured.

    Attributes
    ----------
    values
        Figures by key.
    reasons
        Why a key has no figure.
    notes
        What a figure depends on, as measured.
    raw
        All measurements by part, for docs/plans.md and plots.
    """

    values: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)

    def none(self, reason: str, *keys: str) -> None:
        """Say why keys have no figure; never invent one."""
        self.reasons |= dict.fromkeys(keys, reason)

    def targets(self) -> list[Target]:
        return [Target(k, self.values[k], key.want, least=key.least) for k, key in KEYS.items() if k in self.values]

    def figures(self) -> dict[str, Any]:
        """Return every key, null where there is no figure, with the reasons, and the notes."""
        reasons = {k: self.reasons.get(k, "its part was not run") for k in KEYS if k not in self.values}
        return {**{k: self.values.get(k) for k in KEYS}, "reasons": reasons, "notes": self.notes}

    def show(self) -> None:
        rows = []
        for name, key in KEYS.items():
            bound = f"{'≥' if key.least else '≤'} {number(key.want)}" + (f" ({number(key.aim)})" if key.aim else "")
            value = number(self.values[name]) if name in self.values else "–"
            rows.append([f"{name}: {noted(key, self.notes.get(name))}", value, bound])
        table("plans", ["figure", "measured", "wanted (aim)"], rows)


def noted(key: Key, note: str | None) -> str:
    """Return what a figure is, with its note if there is one."""
    return f"{key.what}; {note}" if note else key.what
