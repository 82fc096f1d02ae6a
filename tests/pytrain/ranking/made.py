"""Small campaigns, recipes and classifiers for the tests of this room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pytrain.ranking import fitting, recipe, writing
from pytrain.ranking.classifier import Classifier, Feature, Golden
from pytrain.ranking.datasets import Column, Examples

BEGIN_MS = 1_760_000_000_000
PRIOR = """\
features:
  - name: system
  - name: browser
  - {name: both, of: [system, browser]}
data: {min_rows: 50}
trainer: {kind: prior, l2: 3, intercept_l2: 0.3, prior_l2: 1, refit_growth: 0.5}
"""
SKLEARN = """\
features: [{name: system}, {name: browser}, {name: both, of: [system, browser]}]
data: {min_rows: 50, min_positives: 1}
trainer: {kind: scikit-learn%s}
"""
SYSTEMS, BROWSERS = ("ios", "android", "", "windows"), ("safari", "chrome", "firefox")


def columns(n: int, *, seed: int = 0, rate: float = 0.1) -> dict[str, Any]:
    """Fields, times and labels (n,) of one campaign; sales depend on the system."""
    rng = np.random.default_rng(seed)
    system, browser = rng.integers(len(SYSTEMS), size=n), rng.integers(len(BROWSERS), size=n)
    p = rate * (1 + (system == 0) - 0.5 * (browser == 1))
    return {
        "fields": {"system": [SYSTEMS[i] for i in system], "browser": [BROWSERS[i] for i in browser]},
        "time_ms": BEGIN_MS + np.arange(n) * 1000,
        "label": rng.random(n) < p,
    }


def write(directory: Path, campaign: str, n: int = 400, **options: Any) -> Path:
    return writing.write(directory, campaign, **columns(n, **options))


def examples(n: int = 400, *, campaign: str = "shoes", **options: Any) -> Examples:
    made = columns(n, **options)
    fields = {}
    for name, texts in made["fields"].items():
        values, codes = np.unique(texts, return_inverse=True)
        fields[name] = Column(tuple(values.tolist()), codes.astype(np.int32))
    return Examples(campaign, fields, made["time_ms"], made["label"].astype(float), np.ones(n))


def recipe_of(text: str) -> recipe.RankRecipe:
    return recipe.parse(text.encode(), where="test recipe")


def classifier(**changes: Any) -> Classifier:
    found: dict[str, Any] = {
        "kind": "classifier",
        "campaign": "shoes/42 é",
        "version": 1_760_000_000_001,
        "prior": 0,
        "trainer": "prior",
        "data": bytes(range(32)),
        "trained_ms": 1_760_000_000_001,
        "rows": 1000,
        "positives": 3,
        "intercept": -5.5,
        "variance": 0.25,
        "features": (
            Feature("system", ("system",), ("", "android", "ios", "é"), np.array([0.5, -1.0, 2.0, 1e-9]), -0.25),
            Feature("both", ("system", "browser"), ("\x1f", "ios\x1fsafari"), np.array([0.125, 1.0]), 0.0),
        ),
        "golden": Golden((), (), np.empty(0)),
    } | changes
    return Classifier(**found)


def prior() -> Classifier:
    plain = classifier(kind="prior", campaign="", variance=0.0, version=7, intercept=-4.0)
    return fitting.with_golden(plain, None)


def delta() -> Classifier:
    return fitting.with_golden(classifier(prior=7), prior())
