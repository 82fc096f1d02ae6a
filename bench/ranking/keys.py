"""The figures of `make bench-ranking`: what each is, what is wanted, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.plans.keys import Key
from bench.report import Target

KEYS = {
    "bank_max_difference": Key("a probability of /rank against scikit-learn's predict_proba", 1e-6, 0, least=False),
    "rows_compared": Key("probabilities compared", 300_000),
    "models_compared": Key("models compared", 300),
    "score_us": Key("CPU µs: all 5,000 classifiers for a user, one core", 60, 30, least=False),
    "score_p99_ms": Key("the same, p99 in ms", 0.5, least=False),
    "score_50k_us": Key("CPU µs: 50,000 classifiers", 300, least=False),
    "bank_mb": Key("MiB of 5,000 classifiers that know 1,795 values each", 120, least=False),
    "bank_merge_mb": Key("the most MiB while all of them are replaced", 240, least=False),
    "vs_pipeline_loop": Key("times faster than a loop over scikit-learn's pipelines", 1e5),
    "vs_paper_encoder_loop": Key("times faster than a loop over dict encoders and predict_proba", 5000),
    "rank_cpu_us": Key("CPU µs of the saturated server, a /rank over HTTP with limit 10", 100, 50, least=False),
    "predictions_per_core_second": Key("predictions for a second of the server's CPU, saturated", 4e7, 1e8),
    "churn_p99_ratio": Key("p99 with 500 changed files a minute, by p99 with none", 1.5, least=False),
    "churn_half_loaded": Key("probabilities of no whole file", 0, least=False),
    "churn_late": Key("answers after 20 ms while files change", 0, least=False),
    "retrained_per_minute": Key("classifiers retrained a minute, all cores", 0),
    "workers_max_difference": Key("a probability of workers against predict_proba", 0, least=False),
    "workers_vs_pipeline_loop": Key("CPU of a pipeline in a loop by that of a worker's task", 25),
    "workers_batch_gain": Key("time in single tasks by time in batches", 1.4),
    "workers_idle_tail": Key("share of the makespan after a worker's last answer", 0.1, least=False),
    "workers_in_200_ms": Key("classifiers that 2 workers answer within 200 ms", 2000),
}


@dataclass
class Found:
    """What the parts have measured.

    Attributes
    ----------
    values
        Figures by key, and others that are told beside them.
    raw
        All measurements by part, for docs/ranking.md and plots.
    """

    values: dict[str, float] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)

    def targets(self) -> list[Target]:
        """Return the targets of what was measured."""
        return [
            Target(name, self.values[name], key.want or (None if key.least else 0), least=key.least)
            for name, key in KEYS.items()
            if name in self.values
        ]

    def figures(self) -> dict[str, Any]:
        """Return every key, null where its part was not run, and what is told beside them."""
        return {**dict.fromkeys(KEYS), **self.values}
