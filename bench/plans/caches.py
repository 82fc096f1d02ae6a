"""Caches: what they give when rows repeat by Zipf's law, for models of texts, of tables, and a DeepFM.

The k-th of DIFFERENT rows is asked in proportion to 1/k^exponent. Each cache is on alone, and compared with none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.plans import sides, systems
from bench.plans.fleets import Fleet
from bench.plans.keys import Found
from bench.report import median, number, table

DIFFERENT = 1_000_000  # rows
BYTES = 8 << 20  # of a cache: it fills, so that its work includes what it throws out
EXPONENTS = (0.0, 0.9, 1.2, 1.5)
CALLS = 20_000  # a round, after as many that fill the cache
MOST_ROUNDS = 3
OFF, STAGES, ROWS = "off", "stage", "row"


@dataclass(frozen=True)
class Case:
    """Models that are asked the same stream of rows, and the caches that they have a use for."""

    name: str
    fleet: Fleet
    models: list[tuple[str, str]]
    caches: tuple[str, ...] = (ROWS,)

    @property
    def file(self) -> Path:
        settings = {OFF: {}, STAGES: {"stage_cache": BYTES}, ROWS: {"row_cache": BYTES}}
        variants = [{"name": name, "options": settings[name]} for name in (OFF, *self.caches)]
        return self.fleet.variant(f"caches-{len(self.models)}", models=self.models, variants=variants)


def run(made: dict[str, Fleet], found: Found, *, rounds: int) -> None:
    """Measure each case at each exponent."""
    text, tabular = made["text"], made["tabular"]
    deepfm = systems.deepfm_fleet()
    cases = [
        Case(f"{len(text.models)} text models", text, text.models, (STAGES, ROWS)),
        Case("1 text model", text, text.models[:1], (STAGES, ROWS)),
        Case("10 tabular models", tabular, tabular.models[:10]),
        Case("1 DeepFM", deepfm, deepfm.models),
    ]
    raw = {case.name: _measure(case, min(rounds, MOST_ROUNDS)) for case in cases}
    found.raw["caches"] = raw
    table(f"caches of {BYTES >> 20} MiB, {DIFFERENT:,} different rows by Zipf's law", columns(raw), lines(raw))


def _measure(case: Case, rounds: int) -> list[dict[str, Any]]:
    """Return a line for each exponent: times are medians of rounds, ratios are taken within a round."""
    measured = []
    with sides.gavel("repeated", case.file) as side:
        for i, exponent in enumerate(EXPONENTS):
            answers = [
                {v["name"]: v for v in side.ask(rows=DIFFERENT, zipf=exponent, calls=CALLS, seed=seed)["variants"]}
                for seed in range(1 + i * rounds, 1 + (i + 1) * rounds)
            ]
            line: dict[str, Any] = {"exponent": exponent, OFF: median([a[OFF]["row_us"] for a in answers])}
            for name in case.caches:
                line[name] = {
                    "hits": median([a[name]["hits"] for a in answers]),
                    "ratio": median([a[name]["row_us"] / a[OFF]["row_us"] for a in answers]),
                }
            measured.append(line)
    return measured


def lines(raw: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """Return the table: a line a case and cache, with the share of hits and the time by that without, per exponent."""
    found = []
    for case, measured in raw.items():
        for cache in (STAGES, ROWS):
            if cache in measured[0]:
                cells = [f"{line[cache]['hits']:.0%}: {line[cache]['ratio']:.2f} ×" for line in measured]
                at = pays_from(measured, cache)
                pays = "never" if at is None else f"{at:.0%} of hits"
                found.append([f"{case}, {cache} cache", number(median([m[OFF] for m in measured])), *cells, pays])
    return found


def columns(raw: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the heads of the table's columns."""
    exponents = [f"exponent {line['exponent']:g}" for line in next(iter(raw.values()))]
    return ["", "no cache, µs", *exponents, "pays from"]


def pays_from(measured: list[dict[str, Any]], cache: str) -> float | None:
    """Return the share of hits from which a cache pays, between two measured shares; None if it never does."""
    points = sorted((line[cache]["hits"], line[cache]["ratio"]) for line in measured if cache in line)
    if not points or points[-1][1] >= 1:
        return None
    for (hits, ratio), (more, less) in pairwise(points):
        if ratio >= 1 > less:
            return float(hits + (more - hits) * (ratio - 1) / (ratio - less))
    return 0.0
